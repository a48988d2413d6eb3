"""Which files of a run folder degen wrote, and so may replace or delete; all others stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from degen.errors import RunFolderError
from degen.tables import CHECKPOINTS, ENGINE_TABLES, NGRAM, SATURATION, SIMILARITY, file_name

from .parts import owner_of
from .run import DOWNLOADS, SAMPLE, TRAINING_FOLDER
from .run_file import RUN_FILE

LOCK = ".lock"
_PARTIAL = re.compile(r"\.[0-9a-f]{16}\.partial")  # what a killed process leaves of `degen.paths.atomic`
_REMEDY = "move it elsewhere, or choose another --out"


def is_leftover(file: Path) -> bool:
    """Return whether a scan that was killed before it wrote run.json may have left a file."""
    if file.name == DOWNLOADS:
        return _only_downloads(file)
    if file.name == SAMPLE:
        return owner_of(file) == "degen"
    if not file.is_file() or file.is_symlink():
        return False
    return bool(_PARTIAL.fullmatch(file.name)) or (file.name == LOCK and not file.stat().st_size)


def delete_partials(path: Path, info: Mapping[str, Any]) -> None:
    """Delete the files that a killed scan was writing: of a run folder, and of its tables.

    Args:
        path: the run folder, which no other scan is writing to.
        info: its run.json.
    """
    for folder in (path, *(path / table for table in sorted(table_names(info)))):
        for file in [*folder.glob(".*.partial"), *(folder.glob("*/.*.partial") if folder != path else ())]:
            if _PARTIAL.fullmatch(file.name) and file.is_file() and not file.is_symlink():
                file.unlink(missing_ok=True)


def table_names(info: Mapping[str, Any] | None) -> set[str]:
    """Return the tables that a run folder may hold, given its run.json; None where that is damaged."""
    return {*ENGINE_TABLES, SATURATION, NGRAM, SIMILARITY, *((info or {}).get("tables") or ())}


def files_of_run(path: Path, info: Mapping[str, Any] | None) -> list[Path]:
    """Return the files of a run folder that degen wrote: the parts of `checkpoints` first, run.json last.

    Args:
        path: the run folder.
        info: its run.json; None where that is damaged.

    Raises:
        RunFolderError: a file in a table's folder, or in place of the sample, is not degen's own; or nothing shows
            that a folder with a damaged run.json is a run.
    """
    files: list[Path] = []
    for table in sorted(table_names(info), key=lambda name: (name != CHECKPOINTS, name)):
        files += files_of_table(path / table, info)
    sample = path / SAMPLE
    owner = owner_of(sample)
    if sample.exists() and (owner == "other" or not sample.is_file()):
        raise RunFolderError(f"{sample}: was not written by degen", _REMEDY)
    known = {name: owner_of(name) == "degen" for name in (*files, *([sample] if sample.exists() else []))}
    if info is None and not any(known.values()):
        raise RunFolderError(
            f"{path}: its run.json is damaged, and nothing in it shows that it is a run", "choose another --out"
        )
    return [*files, *(file for file in (sample, path / RUN_FILE) if file.is_file())]


def files_of_table(folder: Path, info: Mapping[str, Any] | None) -> list[Path]:
    """Return the parts in the folder of a table, what a killed scan left there included.

    A file that cannot be read is a damaged part where it lies where a part of this run would.
    """
    models = {file_name(model) for model in (info or {}).get("models", ())}
    files = []
    for file in _walk(folder):
        if _PARTIAL.fullmatch(file.name):
            files.append(file)
            continue
        owner = owner_of(file) if file.suffix == ".parquet" else "other"
        inside = file.relative_to(folder).parts
        ours = inside[0] in models if len(inside) == 2 else inside[0].removesuffix(".parquet") in models
        if owner == "degen" or (owner == "unknown" and len(inside) <= 2 and ours):
            files.append(file)
        elif not file.name.startswith("."):  # of the system, such as .DS_Store
            raise RunFolderError(f"{file}: lies in a table of the run, and degen did not write it", _REMEDY)
    return files


def _walk(folder: Path) -> Iterator[Path]:
    """Yield everything below a folder that is no folder itself; nothing where there is none."""
    if folder.is_dir():
        yield from (file for file in sorted(folder.rglob("*")) if file.is_symlink() or not file.is_dir())
    elif folder.exists() or folder.is_symlink():
        raise RunFolderError(f"{folder}: is in the way of a table, and degen did not write it", _REMEDY)


def check_part(part: Path) -> None:
    """Refuse to write a part over a file that degen did not write.

    Raises:
        RunFolderError: there is such a file.
    """
    if (part.exists() or part.is_symlink()) and (owner_of(part) == "other" or not part.is_file()):
        raise RunFolderError(f"{part}: is in the way of a part, and degen did not write it", _REMEDY)


def delete(path: Path, files: Iterable[Path], info: Mapping[str, Any] | None) -> None:
    """Delete files of a run, in their order, and the folders that are empty then; a folder half emptied is still a run.

    Args:
        path: the run folder.
        files: from `files_of_run`.
        info: its run.json; None where that is damaged.
    """
    folders = {parent for file in files for parent in file.parents if path in parent.parents}
    delete_downloads(path / DOWNLOADS)
    _delete_training(path / TRAINING_FOLDER, info)
    for file in files:
        file.unlink(missing_ok=True)
    for folder in sorted(folders, key=lambda f: -len(f.parts)):
        with suppress(OSError):
            folder.rmdir()


def delete_downloads(folder: Path) -> None:
    """Delete what a scan downloads into a folder, and the folder once it is empty."""
    from degen.checkpoints.downloads import Downloads

    Downloads(folder).clear()


def _only_downloads(folder: Path) -> bool:
    from degen.checkpoints.downloads import is_download

    return folder.is_dir() and not folder.is_symlink() and all(is_download(child) for child in folder.iterdir())


def _delete_training(folder: Path, info: Mapping[str, Any] | None) -> None:
    """Delete what interrupted trainings of this run's checkpoints are continued from."""
    import shutil

    if not folder.is_dir() or folder.is_symlink():
        return
    models = tuple(f"{file_name(model)[:100]}" for model in (info or {}).get("models", ()))
    for child in folder.iterdir():
        if models and child.name.startswith(models) and child.is_dir():
            shutil.rmtree(child, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()
