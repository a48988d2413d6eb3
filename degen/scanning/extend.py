"""A run that is there and gets more: probes measured beside what it has, training tokens filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from degen.checkpoints.series import Checkpoint
from degen.checkpoints.suites import one_by_one
from degen.probe_registry import load_probes, needs_text
from degen.runs.run_file import RUN_FILE, read_info
from degen.runs.run_writer import RunWriter, write_errors
from degen.tables import CHECKPOINTS, KEYS, SATURATION, Rows, file_name, write_parquet

from .plan import Plan
from .settings import Settings

TOKENS = "tokens_per_step"
TEXT = frozenset({"corpus", "tokens", "context", "seed", "skip_first", "sample", "batch_size", "target_se"})
ADDED_LATER = {"skip_first": 0}  # settings that runs of before do not name, and what they did


def continue_settings(settings: Settings, begun: Path | None) -> Settings:
    """Return settings with what a run that is continued adds to those of the user.

    These are the training tokens of a step, where the user gives none, and the other probes of the run, with their
    options.

    Args:
        settings: as the user gave them.
        begun: the folder of a run that may be continued; None for one that starts over.

    Raises:
        DegenError: run.json is damaged.
    """
    info = read_info(begun / RUN_FILE) if begun is not None else None
    if info is None:
        return settings
    asked = info.get("asked", {})
    if settings.tokens_per_step is None and isinstance(before := asked.get(TOKENS), int):
        settings = replace(settings, tokens_per_step=before)
    measured = info.get("resolved", {}).get("probes")
    if not isinstance(measured, list):
        return settings
    named = set(settings.probes if settings.probes is not None else load_probes(None))
    probes = tuple(sorted(named.union(measured))) if named - set(measured) else asked.get("probes")
    options = {name: values for name, values in asked.get("options", {}).items() if name not in named}
    return replace(settings, probes=probes, options=options | dict(settings.options))


def adds_only(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether the settings `new` equal those of a run, `old`, but for what may be added to one.

    That is further series or checkpoints, the rest of a series of which a part was scanned, the tokens of a step where
    `old` has none, probes with their options, and all that concerns the text where no probe of `old` needed any.
    """
    before, options = _probe_names(old), new.get("options", {})
    kept = {name: values for name, values in options.items() if name in before}
    grows = before <= _probe_names(new) and _series_names(old) <= _series_names(new)
    if not grows or kept != old.get("options", {}):
        return False
    old, new = ADDED_LATER | dict(old), ADDED_LATER | dict(new)
    free = {"series", "probes", "options", "threads"}  # threads are of the machine
    free |= {TOKENS} if old.get(TOKENS) is None else set()
    free |= {"steps"} if new.get("steps") == "all" else set()
    free |= set() if needs_text(load_probes(sorted(before)).values()) else TEXT
    return all(old.get(name) == new.get(name) for name in (old.keys() | new.keys()) - free)


def _series_names(asked: Mapping[str, Any]) -> set[str]:
    """Return the series of settings as run.json keeps them, those of a suite model by model."""
    return {name for spec in asked.get("series") or () for name in one_by_one(spec)}


def _probe_names(asked: Mapping[str, Any]) -> set[str]:
    """Return the names of the probes of settings as run.json keeps them."""
    names = asked.get("probes")
    return set(names) if names is not None else set(load_probes(None))


def probes_to_measure(plan: Plan, writer: RunWriter) -> dict[Checkpoint, list[str]]:
    """Return the checkpoints that this process is still to measure, each with the probes that it lacks.

    A copy of one that is measured anew is measured anew, too: it may be none any more.
    """
    pending: dict[Checkpoint, list[str]] = {}
    for series in plan.series:
        anew: set[str] = set()
        for checkpoint in filter(plan.measures, series.checkpoints):
            missing, copy_of = missing_probes(checkpoint, plan, writer)
            if missing or copy_of in anew:
                anew.add(checkpoint.revision)
                pending[checkpoint] = missing or list(plan.probes)
    return pending


def missing_probes(checkpoint: Checkpoint, plan: Plan, writer: RunWriter) -> tuple[list[str], str | None]:
    """Return the probes that a run lacks of a checkpoint, and of which revision it is a copy; None where it is none."""
    before = _probes_before(checkpoint, plan, writer)
    row = writer.done(checkpoint, plan.tables_with(before)) if before else None
    missing = [name for name in plan.probes if row is None or name not in before]
    return missing, row["duplicate_of"] if row is not None else None


def earlier_rows(checkpoint: Checkpoint, plan: Plan, writer: RunWriter) -> Rows:
    """Return the rows of a checkpoint measured with fewer probes, by table, without the columns that every part has."""
    before = _probes_before(checkpoint, plan, writer)
    rows = writer.rows(checkpoint, plan.tables_with(before))
    keys = {column.name for column in KEYS}
    return {table: [{k: v for k, v in row.items() if k not in keys} for row in part] for table, part in rows.items()}


def _probes_before(checkpoint: Checkpoint, plan: Plan, writer: RunWriter) -> tuple[str, ...]:
    """Return the probes of a scan that the parts of a checkpoint were measured with, in the order of the scan."""
    before = set(writer.probes_of(checkpoint))
    return tuple(name for name in plan.probes if name in before)


def fill_tokens(checkpoint: Checkpoint, writer: RunWriter) -> bool:
    """Fill the training tokens of a checkpoint into its part of table `checkpoints`, where they are null.

    Formula: training_flops = flops_per_token · tokens_seen. The part is replaced whole or not at all.

    Returns:
        Whether there was anything to fill in.

    Raises:
        RunFolderError: the part cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    part = writer.part(CHECKPOINTS, checkpoint)
    if checkpoint.tokens_seen is None or not part.is_file():
        return False
    table = pq.ParquetFile(part).read()
    (row,) = table.to_pylist()
    if row["tokens_seen"] is not None:
        return False
    per_token = row.get("flops_per_token")
    flops = per_token * checkpoint.tokens_seen if per_token is not None else None
    for name, value in (("tokens_seen", checkpoint.tokens_seen), ("training_flops", flops)):
        if (i := table.schema.get_field_index(name)) >= 0:
            table = table.set_column(i, table.schema.field(i), pa.array([value], table.schema.field(i).type))
    with write_errors(writer.path):
        write_parquet(table, part)
        (writer.path / SATURATION / f"{file_name(checkpoint.model)}.parquet").unlink(missing_ok=True)  # without tokens
    return True
