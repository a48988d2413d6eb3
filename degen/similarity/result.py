"""Table `similarity`: its columns, and how it is written into a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from degen.runs.ownership import check_part
from degen.runs.run import Run
from degen.runs.run_writer import write_errors
from degen.tables import KEYS, SIMILARITY, Column, Row, file_name, schema_of, write_part

if TYPE_CHECKING:
    import pyarrow as pa

AGAINST = ("previous", "first", "last")
COLUMNS = (
    *KEYS,
    Column("against", "string", "", "previous, first or last: the checkpoint compared with", key=True),
    Column("other_revision", "string", "", "its name"),
    Column("other_step", "int64", "steps", "its steps"),
    Column("layer", "int64", "", "0 for the embedding, 1 to L for the blocks; L for the head", key=True),
    Column("site", "string", "", "embedding, block, head_input; head: rows of the LM head", key=True),
    Column("vectors", "int64", "", "positions, or rows of the head, that are compared"),
    Column("cka", "float64", "", "debiased linear CKA: 1 the same up to rotation and scale, 0 nothing in common"),
    Column("overlap", "float64", "", "‖UᵀV‖²_F/k of the k leading principal directions: 1 the same, k/d at random"),
    Column("directions", "int64", "dimensions", "k, 16 at most"),
    Column("displacement", "float64", "", "‖X − Y‖_F/‖Y‖_F, Y of the other checkpoint"),
    Column("reason", "string", "", "why a figure is missing; null where none is"),
)


@dataclass(frozen=True)
class SimilarityResult:
    """The comparisons of a run.

    Attributes:
        rows: of table `similarity`.
    """

    rows: Sequence[Row]

    def table(self) -> pa.Table:
        """Return table `similarity`."""
        import pyarrow as pa

        return pa.Table.from_pylist(list(self.rows), schema=schema_of(COLUMNS))


def write_result(result: SimilarityResult, run: Run) -> None:
    """Write the comparisons into the run that they are of, as table `similarity`, a file for each model.

    Raises:
        DegenError: the run lies elsewhere, a file cannot be written, or one that degen did not write is in the way.
    """
    run.check_writable()
    notes = {"degen.config_hash": str(run.info.get("config_hash", ""))}
    for model in dict.fromkeys(row["model"] for row in result.rows):
        part = run.path / SIMILARITY / f"{file_name(model)}.parquet"
        check_part(part)
        with write_errors(run.path):
            write_part(part, schema_of(COLUMNS), [row for row in result.rows if row["model"] == model], notes)
