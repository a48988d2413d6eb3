"""What a gate is pointed at: a run, a table, a folder of results, or a series that has to be scanned first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from degen.errors import DegenError
from degen.runs.run import read_run
from degen.tables import CHECKPOINTS, TIMING

from .run_tracks import RunTracks
from .tracks import Source

if TYPE_CHECKING:
    import pyarrow as pa

_MODEL_FILES = ("config.json", "adapter_config.json")


def is_measured(target: str | Path) -> bool:
    """Whether something is a run, a table or a folder of results, and not a series that is yet to be scanned."""
    from degen.metrics.read_table import FORMATS, has_parts

    path = Path(target).expanduser()
    if not path.is_dir():
        return path.name.lower().endswith((*FORMATS, ".json"))
    if (path / "run.json").is_file() or (path.resolve().parent / "run.json").is_file():
        return True
    if any((folder / name).is_file() for folder in (path, *_folders(path)) for name in _MODEL_FILES):
        return False
    if any(path.glob("*.gguf")):
        return False
    from degen.metrics.lm_eval_results import is_results

    return has_parts(path) or is_results(path)


def open_source(
    target: str | Path, warn: Callable[[str], None], series: Mapping[str, Sequence[str]] | None = None
) -> Source:
    """Open what was measured.

    Args:
        target: a run folder, one of its tables, a CSV or Parquet file, a folder of Parquet parts, or of result files of
            lm-evaluation-harness.
        warn: called with each line of warning.
        series: of a run, the checkpoints that each model has now; None for all that were measured.

    Raises:
        DegenError: nothing there, or nothing that holds figures.
    """
    path = Path(target).expanduser()
    if (path / "run.json").is_file():
        return RunTracks(read_run(path), warn, series)
    inside = path.resolve()
    if path.is_dir() and (inside.parent / "run.json").is_file() and inside.name == CHECKPOINTS:
        return RunTracks(read_run(path.parent if path.name == CHECKPOINTS else inside.parent), warn, series)
    from .table_tracks import TableTracks

    return TableTracks(_table(path, warn), path, warn)


def _table(path: Path, warn: Callable[[str], None]) -> pa.Table:
    from degen.metrics.lm_eval_results import is_results, read_results
    from degen.metrics.read_table import has_parts, read_table_file

    if not path.is_dir():
        if path.suffix == ".json":
            raise DegenError(f"{path}: a JSON file; for results of lm-evaluation-harness, name the folder it is in")
        return read_table_file(path)
    inside = [folder.name for folder in _folders(path) if (folder / "run.json").is_file()]
    if inside:
        raise DegenError(f"{path}: no run, but it holds one: did you mean {path / inside[0]}?")
    if (path / CHECKPOINTS).is_dir() and (path / TIMING).is_dir():
        raise DegenError(f"{path}: a run without its run.json; copy that, too, or name the folder of one of its tables")
    if has_parts(path):
        return read_table_file(path)
    if is_results(path):
        return read_results(path, warn)
    raise DegenError(
        f"{path}: no run (run.json), no Parquet parts and no results of lm-evaluation-harness in it; name a folder "
        "that holds one of them, or a table"
    )


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(p for p in path.iterdir() if p.is_dir())
    except OSError as error:
        raise DegenError(f"{path}: cannot be read ({error.strerror})") from error
