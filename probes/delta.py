"""Delta: how many dimensions the update of an adapter or of training uses, where it lies, what it touches."""

from __future__ import annotations

from degen.checkpoints.adapter_source import AdapterSource
from degen.checkpoints.source import Source
from degen.delta.columns import COLUMNS, DELTA, DELTA_SPECTRUM, METRICS, SPECTRUM_COLUMNS
from degen.delta.measure import DeltaMeasurement, measure_updates
from degen.delta.sources import open_updates
from degen.delta.summary import summary_columns
from degen.probe import SourceProbe
from degen.tables import Column, Rows


class Delta(SourceProbe):
    """The update of every parameter: of an adapter, or of a checkpoint against the first of its series."""

    measures = "rank, size, directions and place of the update: of an adapter, or since the first checkpoint"
    cost = (
        "a QR and an SVD of every changed matrix, read a block of rows at a time; memory: the larger matrix of a module"
    )
    metrics = METRICS
    columns = {
        "checkpoints": (
            Column("delta_kind", "string", "", "kind of the update: lora, dora, prefix_tuning, bias, full, …"),
            Column("delta_rank", "float64", "dimensions", "median over modules of the numerical rank", summary=True),
            Column(
                "delta_dimension", "float64", "", "median over modules of the effective rank exp(H(σ/Σσ))", summary=True
            ),
            Column("delta_relative_norm", "float64", "", "sqrt(Σ‖ΔW‖²_F / Σ‖W‖²_F) over modules", summary=True),
            Column("delta_intruders", "int64", "", "intruder dimensions of all modules together"),
        ),
        DELTA: COLUMNS,
        DELTA_SPECTRUM: SPECTRUM_COLUMNS,
    }

    def measure(self, source: Source, first: Source) -> Rows:
        """Return rows by table: figures of every changed parameter in `delta`, their singular values, and medians.

        Formulas: `degen.delta.spectra`, `degen.delta.against_base`.
        """
        if isinstance(source, AdapterSource):
            updates = open_updates(source, source.base)
        elif source == first:  # where the training begins, nothing has changed
            return {}
        else:
            updates = open_updates(source, first)
        measured: DeltaMeasurement = measure_updates(updates)
        summary = {f"delta_{name}": value for name, value in summary_columns(measured.rows).items()}
        summary["delta_dimension"] = summary.pop("delta_effective_rank")  # which no verdict takes for the head's
        checkpoint = {"delta_kind": updates.kind, **summary, "reason": "; ".join(measured.notes) or None}
        return {"checkpoints": [checkpoint], DELTA: measured.rows, DELTA_SPECTRUM: measured.spectrum_rows()}
