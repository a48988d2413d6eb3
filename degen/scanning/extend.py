"""A run that is there and gets more: probes measured beside what it has, training tokens filled in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from degen.checkpoints.series import Checkpoint
from degen.probe import StreamProbe
from degen.probe_registry import load_probes
from degen.runs.run_file import read_info
from degen.runs.run_writer import RunWriter, write_errors
from degen.tables import CHECKPOINTS, KEYS, SATURATION, Rows, file_name, write_parquet

from .plan import Plan, tables_of
from .settings import Settings

TOKENS = "tokens_per_step"
TEXT = ("corpus", "tokens", "context", "seed", "sample", "batch_size")


def with_known_tokens(settings: Settings, begun: Path | None) -> Settings:
    """Return settings with the training tokens of a step of the run that is continued, where the user gives none.

    Raises:
        DegenError: run.json is damaged.
    """
    info = read_info(begun / "run.json") if begun is not None and settings.tokens_per_step is None else None
    before = info.get("asked", {}).get(TOKENS) if info is not None else None
    return replace(settings, tokens_per_step=before) if isinstance(before, int) else settings


def with_earlier_probes(settings: Settings, begun: Path | None) -> Settings:
    """Return settings with the probes of the run that is continued beside those of the user.

    Probes of the run that the user does not name keep their options.

    Raises:
        DegenError: run.json is damaged.
    """
    info = read_info(begun / "run.json") if begun is not None else None
    before = info.get("resolved", {}).get("probes") if info is not None else None
    if info is None or not isinstance(before, list):
        return settings
    named = set(settings.probes if settings.probes is not None else load_probes(None))
    names = named | set(before)
    probes = tuple(sorted(names))
    if names == set(before):
        probes = info["asked"].get("probes")
    options = {name: values for name, values in info["asked"].get("options", {}).items() if name not in named}
    return replace(settings, probes=probes, options=options | dict(settings.options))


def adds_only(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether the settings `new` equal those of a run, `old`, but for what may be added to one.

    That is further series or checkpoints, the tokens of a step where `old` has none, probes with their options, and all
    that concerns the text where no probe of `old` needed any.
    """
    if not needs_text(_probe_names(old)):
        old = {**old, **{name: new.get(name) for name in TEXT}}
    before, now = _probe_names(old), _probe_names(new)
    options = {name: values for name, values in new.get("options", {}).items() if name in before}
    tokens = new.get(TOKENS) if old.get(TOKENS) is None else old[TOKENS]
    added = {name: new.get(name, old.get(name)) for name in ("series", "probes", "options")}
    if new.get("steps") == "all":  # after a part of them
        added["steps"] = "all"
    if not (
        before <= now and options == old.get("options", {}) and {*old.get("series", ())} <= {*(added["series"] or ())}
    ):
        return False
    return {**old, TOKENS: tokens, **added} == {**added, **new}


def needs_text(names: Collection[str]) -> bool:
    """Return whether one of some probes needs text streamed through the model."""
    return any(issubclass(probe, StreamProbe) for probe in load_probes(sorted(names)).values())


def _probe_names(asked: Mapping[str, Any]) -> set[str]:
    """Return the names of the probes of settings as run.json keeps them."""
    names = asked.get("probes")
    return set(names) if names is not None else set(load_probes(None))


def checkpoints_to_measure(plan: Plan, writer: RunWriter) -> list[Checkpoint]:
    """Return the checkpoints still to be measured, also copies of one that is measured anew."""
    pending: list[Checkpoint] = []
    for series in plan.series:
        anew: set[str] = set()
        for checkpoint in series.checkpoints:
            row = writer.done(checkpoint, plan.tables)
            if row is None or row["duplicate_of"] in anew or missing_probes(checkpoint, plan, writer):
                anew.add(checkpoint.revision)
                pending.append(checkpoint)
    return pending


def missing_probes(checkpoint: Checkpoint, plan: Plan, writer: RunWriter) -> list[str]:
    """Return the probes of a scan that a checkpoint, whose other rows stand, has yet to be measured with.

    None of them are missing where it was measured with all, and all where nothing of it stands.
    """
    before = [name for name in writer.probes_of(checkpoint) if name in plan.probes]
    stands = before and writer.done(checkpoint, tables_of({n: plan.probes[n] for n in before})) is not None
    return [name for name in plan.probes if not stands or name not in before]


def earlier_rows(checkpoint: Checkpoint, plan: Plan, writer: RunWriter) -> Rows:
    """Return the rows of a checkpoint measured with fewer probes, by table, without the columns that every part has."""
    before = [name for name in writer.probes_of(checkpoint) if name in plan.probes]
    rows = writer.rows(checkpoint, tables_of({n: plan.probes[n] for n in before}))
    keys = {column.name for column in KEYS}
    return {table: [{k: v for k, v in row.items() if k not in keys} for row in part] for table, part in rows.items()}


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
