"""The one check of every file that a command writes: an export, a report, a figure."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from degen.errors import DegenError
from degen.paths import expand_user

from .ownership import LOCK, table_names
from .parts import owner_of, part_files
from .run import DOWNLOADS, SAMPLE, TRAINING_FOLDER
from .run_file import RUN_FILE, is_run, kind_of, read_info

# Endings of what degen reads: such a file in a folder that is read would be taken for a part of it.
_READ = (
    ".parquet", ".csv", ".tsv", ".json", ".jsonl", ".gz", ".zst", ".txt", ".toml", ".safetensors", ".bin", ".gguf",
    ".ckpt", ".pt", ".pth", ".distcp",
)  # fmt: skip


def check_output(to: Path, sources: Iterable[str | Path | None] = (), option: str = "") -> Path:
    """Refuse a file to write that would replace what is read, or a file of a run.

    Args:
        to: the file, perhaps with `~`.
        sources: what the command reads: files, folders, names of anything else, or None.
        option: name of the option, for messages; empty for none.

    Returns:
        The file with `~` replaced.

    Raises:
        DegenError: it is a folder or a device, is read by the command, lies among what is read, or is one that degen
            keeps in a run.
    """
    file, shown = expand_user(to), f"{option} {to}".strip()
    try:
        _check_kind(file, shown)
        real = file.resolve()
        _check_run(real, shown)
        for source in sources:
            if source is not None:
                _check_source(real, expand_user(source), shown, option in ("--to", "--out"))
    except OSError as error:
        raise DegenError(f"{shown}: cannot be written ({error.strerror or error}); name another file") from error
    return file


def _check_kind(file: Path, shown: str) -> None:
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise DegenError(f"{shown}: cannot be written (is a folder; name a file)")
    if not stat.S_ISREG(mode):
        raise DegenError(f"{shown}: cannot be written (is a device or a pipe; name a file)")
    if not os.access(file, os.W_OK):
        raise DegenError(f"{shown}: cannot be written (is read-only); name another file")


def _check_run(file: Path, shown: str) -> None:
    """Refuse the files that degen keeps in a run, there or not yet, and those of other programs of the same names."""
    if file.name in (RUN_FILE, SAMPLE):
        raise DegenError(f"{shown}: {file.name} is a file that a run keeps; name another")
    for folder in file.parents:
        if not is_run(folder):
            continue
        info = read_info(folder / RUN_FILE) if kind_of(folder / RUN_FILE) == "run" else None
        first = file.relative_to(folder).parts[0]
        if first in {LOCK, DOWNLOADS, TRAINING_FOLDER, *table_names(info)} or _is_table(folder / first):
            raise DegenError(f"{shown}: lies in {folder / first}, which the run keeps; name another file")


def _is_table(folder: Path) -> bool:
    parts = part_files(folder) if folder.is_dir() else []
    return bool(parts) and owner_of(parts[0]) == "degen"


def _check_source(file: Path, source: Path, shown: str, is_result: bool) -> None:
    """Refuse a file that is a source itself, or would be taken for a part of it."""
    if not source.exists():  # the name of a suite, of a repository, of a corpus
        return
    if file.exists() and file.samefile(source):
        what = "is the table itself, which the result would replace" if is_result else "is read by this command"
        raise DegenError(f"{shown}: {what}; name another file")
    folder = source.resolve()
    if folder.is_dir() and folder in file.parents and not is_run(folder) and file.name.lower().endswith(_READ):
        raise DegenError(f"{shown}: lies in {source}, which this command reads; name another file")
