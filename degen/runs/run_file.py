"""run.json: what tells a run folder from any other, and what is read from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from degen.errors import DegenError, RunFolderError, one_line
from degen.tables import READABLE

RUN_FILE = "run.json"
PROBES_BY_CONFIG = "probes_by_config"  # its key: config_hash -> names of probes, where probes were added to a run
PLANNED = "planned"  # its key: model -> revisions that the scan was to measure
MAX_SIZE = 1 << 26  # bytes; that of a run of ten thousand checkpoints takes one
MAX_THREADS = 1 << 16  # of a CPU
_SETTINGS = {"series", "corpus", "tokens", "context", "seed"}  # every scan keeps them under `asked`

Kind = Literal["absent", "run", "damaged", "foreign"]


def kind_of(file: Path) -> Kind:
    """Return what a file called run.json is.

    Returns:
        `absent`; `run`, of some version of degen; `damaged`, no JSON at all or no object; `foreign`, of another
        program, as trackers of experiments write one.
    """
    if not file.is_file():
        return "absent"
    try:
        document = _load(file)
    except (OSError, ValueError, RecursionError):
        return "damaged"
    if not isinstance(document, dict):
        return "damaged"
    return "run" if _is_ours(document) else "foreign"


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run: its run.json was written by degen, or is damaged and may have been."""
    return kind_of(folder / RUN_FILE) in ("run", "damaged")


def read_info(file: Path) -> dict[str, Any] | None:
    """Read run.json; None where there is none.

    Raises:
        DegenError: the file is damaged, of another program, or of a schema this version does not know.
    """
    if not file.is_file():
        return None
    try:
        document = _load(file)
        if not isinstance(document, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(
            f"{file}: damaged ({one_line(error, 100)})", "start over with `degen scan --fresh`"
        ) from error
    version = document.get("schema_version")
    if isinstance(version, int) and version not in READABLE:
        raise DegenError(
            f"{file}: schema version {str(version)[:20]}; this degen reads {' and '.join(map(str, READABLE))}"
        )
    if not _is_ours(document):
        raise RunFolderError(f"{file}: was written by another program", "name another folder")
    for name, is_sound in _ENTRIES.items():
        if name in document and not is_sound(document[name]):
            raise RunFolderError(
                f"{file}: damaged (its entry {name!r} is of another kind)", "start over with `degen scan --fresh`"
            )
    return document


def _load(file: Path) -> Any:
    if file.stat().st_size > MAX_SIZE:
        raise ValueError(f"it is larger than {MAX_SIZE:,} bytes")
    return json.loads(file.read_text(encoding="utf-8"))


def _is_ours(document: Mapping[str, Any]) -> bool:
    """Return whether an object holds what every scan writes into it, and no other program does."""
    asked = document.get("asked")
    return isinstance(document.get("schema_version"), int) and isinstance(asked, dict) and asked.keys() >= _SETTINGS


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_sample(value: Any) -> bool:
    windows = value.get("windows", {}) if isinstance(value, dict) else None
    return isinstance(windows, dict) and all(
        isinstance(entry, dict) and type(entry.get("documents", 0)) is int and isinstance(entry.get("sha256", ""), str)
        for entry in windows.values()
    )


def _is_planned(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_texts(revisions) for revisions in value.values())


def _is_asked(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("revision_pattern"), str | None)


# The entries that are used when a run is read or continued, and what each must be.
_ENTRIES: dict[str, Callable[[Any], bool]] = {
    "asked": _is_asked,
    "models": _is_texts,
    PLANNED: _is_planned,
    "tables": _is_texts,
    "resolved": lambda value: isinstance(value, dict),
    "batch_tokens": lambda value: isinstance(value, dict) and all(type(n) is int for n in value.values()),
    "sample": _is_sample,
    "threads": lambda value: type(value) is int and 0 < value <= MAX_THREADS,
    "config_hash": lambda value: isinstance(value, str),
}
