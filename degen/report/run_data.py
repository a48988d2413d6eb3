"""The runs that a page is about: their tables with labels that tell runs apart, curves and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING

from degen.errors import DegenError
from degen.metrics.checkpoint_table import CheckpointTable
from degen.metrics.curve import Curve
from degen.metrics.run_curves import all_checkpoints, checkpoint_curve
from degen.metrics.run_parts import RunParts
from degen.printable import printable
from degen.runs.parts import part_files, read_part, read_schema
from degen.runs.run import Run
from degen.saturation import find_saturation
from degen.tables import Row

if TYPE_CHECKING:
    from degen.saturation import SaturationResult
    from degen.saturation.verdict import Verdict

MAX_SHOWN = 60  # characters of a model's label on the page


@dataclass(frozen=True)
class RunData:
    """One run of the page.

    Attributes:
        run: the run.
        labels: model -> the label that it has on the page.
        parts: its parts, each read once.
    """

    run: Run
    labels: Mapping[str, str]
    parts: RunParts = field(repr=False)

    @cached_property
    def _table(self) -> CheckpointTable:
        return all_checkpoints(self.parts)

    def curves(self, metric: str) -> list[Curve]:
        """Return the curve of a metric of each model, labelled by the model's own name."""
        return [
            checkpoint_curve(self.parts, self._table, model, rows, metric)
            for model, rows in self.parts.by_model.items()
        ]


@dataclass(frozen=True)
class Judged:
    """The verdict on one metric of one model.

    Attributes:
        model: the label on the page.
        metric: the metric's name in words.
        row: of table `saturation`, with that label.
        verdict: the verdict with its curve.
    """

    model: str
    metric: str
    row: Row
    verdict: Verdict


class ReportData:
    """What the sections of a page read.

    Args:
        runs: the runs, at least one.
        warn: called with each line of warning.
    """

    def __init__(self, runs: Sequence[Run], warn: Callable[[str], None] = lambda line: None) -> None:
        self._warn = warn
        names = run_names(runs)
        parts = [RunParts(run) for run in runs]
        models = [_models_of(read) for read in parts]
        shared = {m for i, own in enumerate(models) for m in own if any(m in other for other in models[:i])}
        self.runs: list[RunData] = []
        used: set[str] = set()
        for run, read, name, own in zip(runs, parts, names, models, strict=True):
            labels = {m: _unique(f"{name}: {m}" if m in shared else m, used) for m in own}
            self.runs.append(RunData(run, labels, read))

    @cached_property
    def models(self) -> list[str]:
        """The labels of all models, in the order of runs and series."""
        return [label for run in self.runs for label in run.labels.values()]

    @cached_property
    def tables(self) -> list[str]:
        """The names of all tables that some run has."""
        return list(dict.fromkeys(name for run in self.runs for name in run.run.tables))

    @cached_property
    def checkpoints(self) -> list[Row]:
        """The rows of table `checkpoints`, in the order of training, with the labels of the page."""
        return [
            {**row, "model": run.labels[row["model"]]} for run in self.runs for row in run.parts.checkpoints.to_pylist()
        ]

    def rows(self, table: str, columns: Sequence[str], only: Callable[[Row], bool] = lambda row: True) -> list[Row]:
        """Return rows of a table that has a part for each checkpoint, in the order of training.

        Args:
            table: name of the table.
            columns: to read; those that a part lacks are null. `model`, `revision`, `step` and `tokens` come with them.
            only: whether a checkpoint is read, by its row of table `checkpoints`.

        Raises:
            DegenError: a part is damaged.
        """
        found = []
        for run in self.runs:
            for row in run.parts.rows:
                part = run.parts.part(table, row["model"], row["revision"], tuple(columns)) if only(row) else None
                if part is None:
                    continue
                keys = {
                    "model": run.labels[row["model"]], "revision": printable(row["revision"]), "step": row["step"],
                    "tokens": row.get("tokens_seen"),
                }  # fmt: skip
                missing = dict.fromkeys(c for c in columns if c not in part.column_names)
                found += [{**keys, **missing, **own} for own in part.to_pylist()]
        return found

    def plain_rows(self, table: str) -> tuple[list[Row], dict[str, str]]:
        """Return all rows of a table of any kind, and the definitions of its columns.

        Raises:
            DegenError: a part is damaged.
        """
        rows: list[Row] = []
        definitions: dict[str, str] = {}
        for run in self.runs:
            for file in part_files(run.run.path / table) if table in run.run.tables else []:
                for row in read_part(file).to_pylist():
                    rows.append({**row, "model": run.labels.get(row.get("model"), row.get("model"))})
                if not definitions:
                    definitions = {f.name: _definition(f.metadata) for f in read_schema(file)}
        return rows, definitions

    def curves(self, metric: str) -> list[Curve]:
        """Return the curve of a metric of each model of which some checkpoint has it, with the labels of the page."""
        from dataclasses import replace

        return [
            replace(curve, model=run.labels[curve.model])
            for run in self.runs
            for curve in run.curves(metric)
            if any(point.value is not None for point in curve.points)
        ]

    @cached_property
    def _saturation(self) -> list[tuple[RunData, SaturationResult | DegenError]]:
        found: list[tuple[RunData, SaturationResult | DegenError]] = []
        for run in self.runs:
            try:
                found.append((run, find_saturation(run.run.path, warn=self._warn)))
            except DegenError as error:  # nothing to judge; the page says so
                found.append((run, error))
        return found

    @property
    def saturation(self) -> list[tuple[RunData, SaturationResult]]:
        """The verdicts of each run that has a metric to judge."""
        return [(run, result) for run, result in self._saturation if not isinstance(result, DegenError)]

    @property
    def not_judged(self) -> list[tuple[RunData, DegenError]]:
        """The runs without a metric to judge, and why."""
        return [(run, error) for run, error in self._saturation if isinstance(error, DegenError)]

    @cached_property
    def judged(self) -> list[Judged]:
        """The verdicts of all runs, model by model."""
        return [
            Judged(label := run.labels.get(row["model"], row["model"]), row["metric"].replace("_", " "),
                   {**row, "model": label}, verdict)
            for run, result in self.saturation
            for row, verdict in zip(result.rows(), result.verdicts, strict=True)
        ]  # fmt: skip


def run_names(runs: Sequence[Run]) -> list[str]:
    """Return a name for each run: that of its folder, with as many folders above as tell the runs apart."""
    paths: list[PurePath] = [
        run.path.resolve() if run.url is None else PurePosixPath(run.url.partition("://")[2]) for run in runs
    ]
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return [printable(name) for name in names]
    return [f"{printable(path.name)} ({i + 1})" for i, path in enumerate(paths)]


def _models_of(parts: RunParts) -> list[str]:
    """Return the models of a run, in the order in which they were given, those without a checkpoint left out."""
    measured = list(parts.by_model)
    named = [model for model in parts.run.info.get("models", []) if model in measured]
    return list(dict.fromkeys([*named, *measured]))


def _unique(label: str, used: set[str]) -> str:
    """Return a label on one line, cut where it is long, that no other model has."""
    shown = printable(label)
    if len(shown) > MAX_SHOWN:
        shown = f"{shown[: MAX_SHOWN // 2]}…{shown[-MAX_SHOWN // 2 + 1 :]}"
    found, count = shown, 1
    while found in used:
        count += 1
        found = f"{shown} ({count})"
    used.add(found)
    return found


def _definition(metadata: Mapping[bytes, bytes] | None) -> str:
    notes = {key.decode(): value.decode() for key, value in (metadata or {}).items()}
    unit = f" ({notes['unit']})" if notes.get("unit") else ""
    return f"{notes.get('definition', '')}{unit}"
