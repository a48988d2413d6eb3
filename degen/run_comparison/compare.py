"""Compare two runs: differences of their metrics at equal steps or tokens, and of their verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from degen.errors import DegenError
from degen.hints import did_you_mean
from degen.metrics.checkpoint_table import CheckpointTable
from degen.metrics.curve import Curve, Point
from degen.metrics.differences import difference_error
from degen.metrics.run_curves import USUAL, all_checkpoints, checkpoint_curve
from degen.metrics.run_parts import RunParts
from degen.runs.run import SAMPLE, Run
from degen.saturation import find_saturation
from degen.stats.quantiles import two_sided
from degen.tables import CHECKPOINTS, Row

from .models import pair_models

Unit = Literal["step", "tokens"]
NEAR = 0.01  # tokens that differ by less than this share count as equal: batches differ
METRICS = (*USUAL, "bottleneck_rank")
VERDICT_COLUMNS = ("verdict", "onset_step", "onset_low", "onset_high", "reason")  # of a verdict
COLUMNS = (
    "model", "other_model", "metric", "step", "tokens", "first", "second", "difference", "low", "high", "paired",
    "verdict", "is_last",
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Two runs compared.

    Attributes:
        rows: a row for each model, metric and checkpoint in common, with the columns of `COLUMNS`: `difference` is
            `second` − `first`, `low` and `high` its interval, null where an error is unknown; `verdict` is `higher`,
            `lower`, `same` (the interval holds 0) or null; `is_last` marks the last checkpoint in common.
        verdicts: a row for each model and metric that both runs judge: `verdict` and `onset` of either, `differ`.
        unit: what the checkpoints have in common.
        confidence: of the intervals.
        left_out: models and metrics that could not be compared, with the reason.
    """

    rows: list[Row]
    verdicts: list[Row]
    unit: Unit
    confidence: float
    left_out: list[str]


class _Side:
    """One of the two runs: its curves by model and metric."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.parts = RunParts(run)

    @cached_property
    def models(self) -> list[str]:
        """Labels of its models, in the order of the run."""
        return list(self.parts.by_model)

    @cached_property
    def metrics(self) -> list[str]:
        """Names of its columns of numbers."""
        return [name for name, is_number in self.parts.columns(CHECKPOINTS).items() if is_number]

    def curve(self, model: str, metric: str) -> Curve:
        """Return the curve of a metric of a model."""
        return checkpoint_curve(self.parts, self._table, model, self.parts.by_model[model], metric)

    @cached_property
    def _table(self) -> CheckpointTable:
        return all_checkpoints(self.parts)

    @cached_property
    def verdicts(self) -> dict[tuple[str, str], Row]:
        """The rows of its verdicts by model and metric; empty where it has no metric to judge."""
        try:
            return {(row["model"], row["metric"]): row for row in find_saturation(self.run.path).rows()}
        except DegenError:
            return {}


def compare_runs(
    first: Run,
    second: Run,
    *,
    metrics: Sequence[str] = (),
    pairs: Mapping[str, str] | None = None,
    unit: Unit | None = None,
    confidence: float = 0.9,
    warn: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Compare two runs.

    Formulas: the difference d = second − first of the values at equal steps, or at tokens that differ by less than 1 %;
    its interval d ± t·e, t the quantile of Student's t, e the error of pairs for losses on the same windows
    (`WindowLosses.difference_error`), else √(e₁² + e₂²).

    Args:
        first: the run that differences start from.
        second: the other run.
        metrics: columns of table `checkpoints`; empty for the usual ones that both runs have.
        pairs: model of the first -> model of the second; see `pair_models`.
        unit: whether checkpoints of equal step or of equal tokens are compared; None for steps, or tokens where no
            step is in both.
        confidence: of the intervals, between 0 and 1.
        warn: called with each line of warning.

    Raises:
        DegenError: an option out of range, an unknown metric or model, or runs that have nothing in common.
    """
    if not 0 < confidence < 1:
        raise DegenError(f"--confidence {confidence:g}: must lie between 0 and 1")
    sides = _Side(first), _Side(second)
    names = str(first.path), str(second.path)
    models = pair_models(sides[0].models, sides[1].models, pairs or {}, names)
    wanted = _metrics(sides, metrics)
    same_text = _same_text(sides, warn)
    unit = unit or _common_unit(sides, models)
    rows: list[Row] = []
    left_out = _alone(sides, models)
    for model, other in models.items():
        for metric in wanted:
            curves = sides[0].curve(model, metric), sides[1].curve(other, metric)
            own = [_row(curves, at, metric, confidence, same_text) for at in _in_common(*curves, unit)]
            if own:
                own[-1]["is_last"] = True
            elif metrics or any(p.value is not None for curve in curves for p in curve.points):
                left_out.append(f"{model}: no {unit} at which both runs have {metric}")
            rows += own
    if not rows:
        raise DegenError(
            f"{names[0]} and {names[1]}: nothing to compare: {'; '.join(left_out) or 'no metric in common'}"
        )
    return Comparison(rows, _verdicts(sides, models, wanted), unit, confidence, left_out)


def _metrics(sides: tuple[_Side, _Side], metrics: Sequence[str]) -> list[str]:
    """Return the metrics to compare.

    Raises:
        DegenError: a run has no column of a name.
    """
    for name in metrics:
        for side in sides:
            if name not in side.metrics:
                raise DegenError(f"--metric {name}: {side.run.path} has none; {did_you_mean(name, side.metrics)}")
    return list(metrics) or [name for name in METRICS if all(name in side.metrics for side in sides)]


def _same_text(sides: tuple[_Side, _Side], warn: Callable[[str], None]) -> bool:
    """Return whether both runs were measured on the same windows; warn where they were not."""
    samples = [side.parts.samples for side in sides]
    if samples[0] and samples[1] and not samples[0] & samples[1]:
        warn(
            "the runs were measured on other text, which makes up part of the differences of loss and anisotropy; "
            f"scan one with --sample {sides[0].run.path / SAMPLE}"
        )
        return False
    return True


def _alone(sides: tuple[_Side, _Side], models: Mapping[str, str]) -> list[str]:
    """Return a line for each model that is compared with none."""
    compared = set(models), set(models.values())
    return [
        f"{model}: only in {side.run.path}"
        for side, known in zip(sides, compared, strict=True)
        for model in side.models
        if model not in known
    ]


def _common_unit(sides: tuple[_Side, _Side], models: Mapping[str, str]) -> Unit:
    """Return `step` where some model has a step in both runs, else `tokens`."""
    steps = [{(row["model"], row["step"]) for row in side.parts.rows if row["step"] is not None} for side in sides]
    return "step" if any((models.get(model), step) in steps[1] for model, step in steps[0]) else "tokens"


def _in_common(first: Curve, second: Curve, unit: Unit) -> Iterator[tuple[Point, Point]]:
    """Yield the checkpoints that two curves have in common and a value at, in the order of the first."""
    others = [p for p in second.points if p.value is not None and getattr(p, unit) is not None]
    for point in first.points:
        at = getattr(point, unit)
        if point.value is None or at is None or not others:
            continue
        nearest = min(others, key=lambda other: abs(getattr(other, unit) - at))
        if abs(getattr(nearest, unit) - at) <= (0 if unit == "step" else NEAR * at):
            yield point, nearest


def _row(curves: tuple[Curve, Curve], at: tuple[Point, Point], metric: str, confidence: float, same_text: bool) -> Row:
    """Return the row of two checkpoints in common."""
    (first, second), (own, other) = curves, at
    assert own.value is not None
    assert other.value is not None
    difference = other.value - own.value
    error, freedom, paired = difference_error(second, other, first, own, same_text=same_text)
    low = high = verdict = None
    if error is not None and math.isfinite(difference):
        reach = two_sided(confidence, freedom) * error
        low, high = difference - reach, difference + reach
        verdict = "higher" if low > 0 else "lower" if high < 0 else "same"
    values = (
        first.model, second.model, metric, own.step, own.tokens, own.value, other.value, difference, low, high,
        paired, verdict, False,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _verdicts(sides: tuple[_Side, _Side], models: Mapping[str, str], metrics: Sequence[str]) -> list[Row]:
    """Return the verdicts of both runs on each model and metric, and whether they differ.

    They do where the words differ, or where both saturated and their onsets' intervals do not overlap.
    """
    rows = []
    for model, other in models.items():
        for metric in metrics:
            first, second = sides[0].verdicts.get((model, metric)), sides[1].verdicts.get((other, metric))
            if first is not None and second is not None:
                keys = {"model": model, "other_model": other, "metric": metric}
                shown = {f"first_{name}": first[name] for name in VERDICT_COLUMNS} | {
                    f"second_{name}": second[name] for name in VERDICT_COLUMNS
                }
                rows.append({**keys, **shown, "differ": _differ(first, second)})
    return rows


def _differ(first: Row, second: Row) -> bool:
    if first["verdict"] != second["verdict"]:
        return True
    if first["onset_step"] is None or second["onset_step"] is None:
        return False
    return bool(first["onset_high"] < second["onset_low"] or second["onset_high"] < first["onset_low"])
