"""A run that is there and gets more: what may be added to it, and training tokens filled in without a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from degen.checkpoints.series import Checkpoint
from degen.runs.run_file import read_info
from degen.runs.run_writer import RunWriter, write_errors
from degen.tables import CHECKPOINTS, SATURATION, file_name, write_parquet

from .settings import Settings

TOKENS = "tokens_per_step"


def with_known_tokens(settings: Settings, begun: Path | None) -> Settings:
    """Return settings with the training tokens of a step of the run that is continued, where the user gives none.

    Raises:
        DegenError: run.json is damaged.
    """
    info = read_info(begun / "run.json") if begun is not None and settings.tokens_per_step is None else None
    before = info.get("asked", {}).get(TOKENS) if info is not None else None
    return replace(settings, tokens_per_step=before) if isinstance(before, int) else settings


def adds_only(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether the settings `new` equal those of a run, `old`, but for the tokens of a step.

    These may be named in `new` where `old` has none.
    """
    return old.get(TOKENS) is None and {**new, TOKENS: None} == dict(old)


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
