"""Measure all that `degen delta` was given, and the tables of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from degen.errors import CheckpointError, DegenError, one_line
from degen.tables import KEYS, Column, Row, schema_of
from degen.weights.stored_tensors import StoredTensors

from .base_weights import open_by_ranges
from .columns import COLUMNS, SPECTRUM_COLUMNS
from .composition import Composition, compose
from .measure import DeltaMeasurement, OnModule, measure_updates
from .sources import DeltaSource, find_deltas
from .training_cost import training_costs
from .trajectory import MIN_POINTS, Trajectory, measure_trajectory
from .update import Updates, taxonomy_of

if TYPE_CHECKING:
    import pyarrow as pa

Note = Callable[[str], None]


@dataclass(frozen=True)
class MeasuredDelta:
    """One adapter or fine-tune, measured.

    Attributes:
        source: what it is and where its base is.
        kind: of the whole, such as `lora`.
        parameters: how many the base has; None where it is not known.
        trained: how many were trained.
        measurement: its figures.
    """

    source: DeltaSource
    kind: str
    parameters: int | None
    trained: int
    measurement: DeltaMeasurement

    @property
    def keys(self) -> Row:
        """The columns that name it in every table."""
        checkpoint = self.source.checkpoint
        return {"model": checkpoint.model, "revision": checkpoint.revision, "step": checkpoint.step}

    def costs(self) -> list[Row]:
        """Return what training it takes beside training the whole model, by dtype and optimiser."""
        known: Row = self.keys | {"kind": self.kind, "taxonomy": taxonomy_of(self.kind), "trained": self.trained}
        known["parameters"] = self.parameters
        return [known | row for row in training_costs(self.trained, self.parameters)]


@dataclass
class DeltaResult:
    """The result of `degen delta`.

    Attributes:
        measured: every adapter and fine-tune that could be measured, in order.
        failed: model@revision -> why it could not be.
        trajectories: label of a series of three checkpoints or more -> its trajectory.
        composition: of the last checkpoint of each model, where there are several; else None.
    """

    measured: list[MeasuredDelta] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    trajectories: dict[str, Trajectory] = field(default_factory=dict)
    composition: Composition | None = None

    def rows(self) -> list[Row]:
        """Return the rows of table `delta`."""
        return [one.keys | row for one in self.measured for row in one.measurement.rows]

    def table(self) -> pa.Table:
        """Return table `delta`."""
        return _table((*KEYS, *COLUMNS), self.rows())

    def spectra(self) -> pa.Table:
        """Return table `delta_spectrum`."""
        rows = [one.keys | row for one in self.measured for row in one.measurement.spectrum_rows()]
        return _table((*KEYS, *SPECTRUM_COLUMNS), rows)


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows), schema=schema_of(columns))


def measure_deltas(
    specs: Sequence[str],
    base: str | None = None,
    use_base: bool = True,
    steps: str = "all",
    note: Note = lambda _: None,
    on_module: OnModule = lambda name, done, count: None,
) -> DeltaResult:
    """Return the figures of adapters and fine-tunes.

    Args:
        specs: each an adapter, a folder of adapters, `base+adapter`, a checkpoint or a series of checkpoints.
        base: what all began from; None for what an adapter names, or for the first checkpoint of a series.
        use_base: whether updates are put beside the weights that they change.
        steps: which steps to keep.
        note: called with remarks.
        on_module: called before each parameter that is read.

    Raises:
        DegenError: nothing of that name, or nothing of it can be measured.
    """
    result, last = DeltaResult(), dict[str, Updates]()
    said: set[str] = set()
    for series in find_deltas(specs, base, use_base, steps, note):
        for source in series:
            updates = _measure(result, source, use_base, on_module)
            if updates is not None:
                last[source.checkpoint.model] = updates
                for remark in (*([source.no_base] if source.no_base else []), *result.measured[-1].measurement.notes):
                    if remark not in said:
                        note(remark)
                        said.add(remark)
        _add_trajectory(result, series, note)
    if not result.measured:
        first = next(iter(result.failed.values()), "nothing to measure: no checkpoint is another than its base")
        raise DegenError(first)
    if len(last) > 1:
        result.composition = compose(last)
    return result


def _measure(result: DeltaResult, source: DeltaSource, use_base: bool, on_module: OnModule) -> Updates | None:
    """Measure one adapter or fine-tune, and return its updates; None where it failed, which the result then says."""
    name = str(source.checkpoint)
    try:
        updates = source.open()
        measurement = measure_updates(updates, use_base, lambda module, i, n: on_module(f"{name}: {module}", i, n))
    except CheckpointError as error:
        result.failed[name] = one_line(error)
        return None
    if not updates.names:
        measurement.notes.append(f"{name}: no parameter differs from those of its base")
    result.measured.append(MeasuredDelta(source, updates.kind, updates.parameters, updates.trained, measurement))
    return updates


def _add_trajectory(result: DeltaResult, series: Sequence[DeltaSource], note: Note) -> None:
    """Add the dimension of the trajectory of a series, where it has enough checkpoints."""
    ok = [s for s in series if str(s.checkpoint) not in result.failed and s.checkpoint.step is not None]
    try:
        points: list[StoredTensors] = []
        if ok and ok[0].adapter is None and ok[0].base is not None:
            points.append(open_by_ranges(ok[0].base))
        for source in ok:
            adapter = source.adapter
            points.append(adapter.tensors() if adapter is not None else open_by_ranges(source.checkpoint.source))
        if len(points) >= MIN_POINTS:
            result.trajectories[ok[0].checkpoint.model] = measure_trajectory(points)
    except CheckpointError as error:
        note(f"{ok[0].checkpoint.model}: no dimension of its trajectory: {one_line(error)}")
