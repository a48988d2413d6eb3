"""Names of files as strangers give them."""

from __future__ import annotations

LONGEST_NAME = 255  # characters; what file systems take


def is_inside(name: str) -> bool:
    """Return whether a file's name, as a stranger gives it, stays inside the folder it is joined to."""
    parts = name.split("/")
    return (
        bool(name) and len(name) <= LONGEST_NAME and name.isprintable() and "\\" not in name
        and not any(part in ("", ".", "..") for part in parts)
    )  # fmt: skip
