"""Checks of file names that come from others: from an index of shards, or from the hub."""

from __future__ import annotations

MAX_NAME = 255  # characters that file systems allow


def is_inside(name: str) -> bool:
    """Return whether a file's name, which may have slashes, stays inside the folder that it is joined to."""
    parts = name.split("/")
    return (
        bool(name) and len(name) <= MAX_NAME and name.isprintable() and "\\" not in name
        and not any(part in ("", ".", "..") for part in parts)
    )  # fmt: skip
