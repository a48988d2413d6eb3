"""Open the target of a gate: a run, a table or a folder of results; a series has to be scanned first."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from degen.checkpoints.manifest import is_manifest
from degen.metrics.open_target import folders_in, open_target
from degen.paths import expand_user
from degen.readers.registry import find_reader
from degen.readers.table_file import FORMATS, has_parts
from degen.runs.part_cache import PartCache
from degen.runs.run import Run
from degen.runs.run_file import is_run
from degen.stores.urls import url_of

from .module_curves import ModuleTableSource, is_module_table
from .run_source import RunSource
from .table_source import TableSource

Source = RunSource | TableSource | ModuleTableSource
_MODEL_FILES = ("config.json", "adapter_config.json")


def is_measured(target: str | Path) -> bool:
    """Return whether a target is a run, a table, a log or results, and not a series to be scanned."""
    if url_of(target) is not None:
        return True
    path = expand_user(target)
    if not path.is_dir():
        is_table = path.name.lower().endswith((*FORMATS, ".json"))
        return (is_table and not is_manifest(path)) or find_reader(path) is not None
    if is_run(path) or is_run(path.resolve().parent):
        return True
    if any(os.path.isfile(folder / name) for folder in (path, *folders_in(path)) for name in _MODEL_FILES):
        return False
    return not any(path.glob("*.gguf")) and (has_parts(path) or find_reader(path) is not None)


def open_source(
    target: str | Path,
    warn: Callable[[str], None],
    series: Mapping[str, Sequence[str]] | None = None,
    cache: PartCache | None = None,
) -> Source:
    """Open a run or a table as the source of the curves that rules are about.

    Args:
        target: a run folder, one of its tables, a CSV or Parquet file, a folder of Parquet parts, or what a reader of
            `degen.readers.registry` recognises: a log of training, or results of evaluations.
        warn: called with each line of warning.
        series: for a run, label of the model -> the revisions that it has now; None to use all that were measured.
        cache: what was read of the run's parts before; None to read all that is needed.

    Raises:
        DegenError: the path does not exist, or holds none of these.
    """
    opened = open_target(Path(target), warn)
    if isinstance(opened, Run):
        return RunSource(opened, warn, series, cache)
    return ModuleTableSource(opened, warn) if is_module_table(opened) else TableSource(opened, warn)
