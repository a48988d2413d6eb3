"""The checks `cache`, `temporary files` and `working folder`: can they be written, and is there room?"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from .check import CheckResult

TIGHT = 2_000_000_000  # bytes free, below which a checkpoint of a small model may not fit
PROBE_SIZE = 1 << 16  # bytes of the file that is written to see whether one can be


def check_cache() -> CheckResult:
    """Return where the hub's client keeps its files, what they take and what is free there."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    advice = "make it writable, or name another folder in HF_HOME or HF_HUB_CACHE"
    return _check("cache", folder, advice, {"size": _size(folder)})


def check_temporary() -> CheckResult:
    """Return where temporary files go, and what is free there."""
    advice = "free some space, or name another folder in TMPDIR"
    try:
        folder = Path(tempfile.gettempdir())
    except FileNotFoundError:
        return CheckResult("temporary files", "failed", "no folder for temporary files can be written", advice)
    return _check("temporary files", folder, advice, {})


def check_working_folder() -> CheckResult:
    """Return what is free in the working folder, to which runs are written."""
    return _check("working folder", Path.cwd(), "run degen in another folder, or give -o a path elsewhere", {})


def _check(name: str, folder: Path, advice: str, facts: dict[str, Any]) -> CheckResult:
    """Return whether a folder, or the nearest one above it that exists, can be written, and how much is free there.

    Args:
        name: of the check.
        folder: need not exist; it is not made.
        advice: what to do where it cannot be written.
        facts: more of it, in bytes.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    facts = {"folder": str(folder), "free": free, **facts}
    finding = f"{folder}{'' if existing == folder else ' (not there yet)'}, {free / 1e9:.1f} GB free"
    if facts.get("size"):
        finding += f", {facts['size'] / 1e9:.1f} GB in it"
    if (reason := _why_not_writable(existing)) is not None:
        return CheckResult(name, "failed", f"{finding}; it cannot be written ({reason})", advice, facts)
    if free < TIGHT:
        advice = f"free some space: less than {TIGHT / 1e9:.0f} GB may be too little for a checkpoint"
        return CheckResult(name, "warning", finding, advice, facts)
    return CheckResult(name, "ok", finding, facts=facts)


def _why_not_writable(folder: Path) -> str | None:
    """Return why no file can be written into a folder; None where one can. The file is deleted again."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(os.urandom(PROBE_SIZE))
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _size(folder: Path) -> int | None:
    """Return the bytes that the models in a cache take; None where they cannot be counted.

    Files are counted once: those of a revision are links to them.
    """
    try:
        return sum(file.stat().st_size for file in folder.glob("*/blobs/*") if file.is_file())
    except OSError:
        return None
