"""Curves: one metric of one model over training, with standard errors and covariance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from degen.arrays import Floats, Ints
from degen.stats.document_interval import JackknifeRange

from .window_losses import WindowLosses

Better = Literal["min", "max"]
UNKNOWN_STEP = -1  # the step of a checkpoint whose step is unknown


@dataclass(frozen=True)
class Point:
    """A metric at one checkpoint.

    Attributes:
        revision: name of the checkpoint; None where only the step is known.
        step: optimiser steps so far; None if unknown.
        value: the metric, perhaps infinite; None where it is missing.
        error: its standard error; None if unknown.
        missing: the reason why there is no value; None where there is one.
        freedom: degrees of freedom of the error, documents − 1; None if unknown.
        tokens: training tokens so far; None if unknown.
        spread: how far single documents move the value; None if unknown.
    """

    revision: str | None
    step: int | None
    value: float | None
    error: float | None = None
    missing: str | None = None
    freedom: int | None = None
    tokens: float | None = None
    spread: JackknifeRange | None = None


@dataclass(frozen=True, eq=False)
class Curve:
    """One metric of one model over training.

    Attributes:
        model: label of the series.
        metric: name of the metric; where a table tells several apart, with that in front: `lambada_openai/acc`.
        steps: optimiser steps of its n checkpoints, perhaps not ascending; `UNKNOWN_STEP` where unknown.
        values: the metric at each; NaN where it is missing.
        better: whether lower (`min`) or higher (`max`) values are better.
        floor: the least change that matters, in the metric's unit; 0 where every change does.
        errors: standard error of each value, NaN where it is unknown; None where none is known.
        covariance: n × n covariance of the values of checkpoints that scored the same windows; None where it was not
            computed. Its diagonal is the square of `errors`.
        parameters: all parameters of the model; None if unknown.
        tokens: training tokens at each checkpoint, NaN where unknown; None if unknown.
        place: the layer and site, domain or task; None where the metric is of the whole checkpoint.
        layer: number of the layer; None where the metric is of no single layer.
        site: of the layer; None where it is unknown.
        revisions: name of each checkpoint; None where only steps are known.
        missing: the reason why a value is missing, None where there is one; None as a whole where unknown.
        freedom: degrees of freedom of each error, None where unknown; None as a whole where all are.
        spreads: how far single documents move each value, None where unknown; None as a whole where all are.
        windows: for a loss, returns the scored windows of the revision with a given name; None for other metrics.
        logarithmic: whether the curve is to be judged on its logarithm, see `logarithm`; its values are all positive.
    """

    model: str
    metric: str
    steps: Ints
    values: Floats
    better: Better = "min"
    floor: float = 0.0
    errors: Floats | None = None
    covariance: Floats | None = None
    parameters: int | None = None
    tokens: Floats | None = None
    place: str | None = None
    layer: int | None = None
    site: str | None = None
    revisions: Sequence[str | None] | None = None
    missing: Sequence[str | None] | None = None
    freedom: Sequence[int | None] | None = None
    spreads: Sequence[JackknifeRange | None] | None = None
    windows: Callable[[str], WindowLosses | None] | None = None
    logarithmic: bool = False

    def logarithm(self) -> Curve:
        """Return the curve of the natural logarithm of this curve, whose finite values must all be positive.

        Formulas: errors by the delta method, e/x; covariance Cᵢⱼ/(xᵢxⱼ); the floor f above the best value b becomes
        ln(1 + f/b).
        """
        known = self.values[np.isfinite(self.values)]
        best = float("nan") if not len(known) else float(known.min() if self.better == "min" else known.max())
        return replace(
            self,
            values=np.log(self.values),
            floor=float(np.log1p(self.floor / best)) if self.floor else 0.0,
            errors=None if self.errors is None else self.errors / self.values,
            covariance=None if self.covariance is None else self.covariance / np.outer(self.values, self.values),
            logarithmic=False,
        )

    @cached_property
    def by_tokens(self) -> bool:
        """Whether the course of training is counted in tokens: steps begin anew, and the tokens rise throughout."""
        if self.tokens is None or not np.isfinite(self.tokens).all() or (np.diff(self.tokens) <= 0).any():
            return False
        return bool((np.diff(self.steps[self.steps != UNKNOWN_STEP]) <= 0).any())

    @property
    def axis(self) -> Ints:
        """The course of training at each checkpoint: its step, or its tokens where these count."""
        return self.tokens.astype(np.int64) if self.by_tokens and self.tokens is not None else self.steps

    def step_at(self, place: int) -> int:
        """Return the step at a place on `axis`; between two checkpoints, that of the one before."""
        if not self.by_tokens:
            return place
        return int(self.steps[max(int(np.searchsorted(self.axis, place, side="right")) - 1, 0)])

    @property
    def bare_metric(self) -> str:
        """The name of the metric without the place in front: `acc` of `lambada_openai/acc`."""
        return self.metric.removeprefix(f"{self.place}/") if self.place is not None else self.metric

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """The checkpoints one by one, in the order of the curve."""
        return tuple(self._point(i) for i in range(len(self.steps)))

    def _point(self, i: int) -> Point:
        revision = self.revisions[i] if self.revisions is not None else None
        step = int(self.steps[i]) if self.steps[i] != UNKNOWN_STEP else None
        tokens = float(self.tokens[i]) if self.tokens is not None and np.isfinite(self.tokens[i]) else None
        if np.isnan(self.values[i]):
            reason = self.missing[i] if self.missing is not None else None
            return Point(revision, step, None, None, reason or "not measured", tokens=tokens)
        error = float(self.errors[i]) if self.errors is not None and np.isfinite(self.errors[i]) else None
        freedom = self.freedom[i] if self.freedom is not None else None
        spread = self.spreads[i] if self.spreads is not None else None
        return Point(revision, step, float(self.values[i]), error, None, freedom, tokens, spread)

    def same_place(self, other: Curve) -> bool:
        """Return whether `other` is of the same place as this curve: layer and site, domain or task.

        Where one of the two has a layer but no site, equal layers are enough.
        """
        if self.layer is None or other.layer is None:
            return self.place == other.place
        return self.layer == other.layer and (self.site == other.site or self.site is None or other.site is None)

    def for_plot(self) -> list[float]:
        """Return all values as `values_for_plot` does."""
        return values_for_plot(self.values, self.axis)


def values_for_plot(values: Floats, axis: Ints) -> list[float]:
    """Return values, those of the first tenth of training clipped to the range of the later ones.

    Without that a perplexity of a million at the first steps would make all later values look like a flat line.

    Args:
        values: of a metric, NaN where missing; in its unit.
        axis: how far training is at each, in steps or tokens.
    """
    late = values[axis >= axis.max(initial=0) / 10]
    known = late[np.isfinite(late)]
    return [float(v) for v in (np.clip(values, known.min(), known.max()) if len(known) else values)]


def reason_for_missing(status: str | None, reason: str | None, value: float | None) -> str:
    """Return the reason why a checkpoint of a run has no value of a metric.

    Args:
        status: the status of the checkpoint in table `checkpoints`.
        reason: the reason of that status in table `checkpoints`; None where there is none.
        value: the metric in the table: NaN, or None where the cell is empty.
    """
    if status == "failed":
        return f"the checkpoint failed: {reason}" if reason else "the checkpoint failed"
    if value is not None:
        return "is NaN"
    return f"not measured: {reason}" if reason else "not measured"


def curve_from_points(
    model: str,
    metric: str,
    points: Sequence[Point],
    *,
    place: str | None = None,
    layer: int | None = None,
    site: str | None = None,
    windows: Callable[[str], WindowLosses | None] | None = None,
) -> Curve:
    """Return the curve of a metric through points, one for each checkpoint.

    Args:
        model: label of the series.
        metric: name of the metric.
        points: at least one, in the order of training, points without a step last.
        place: the layer and site, domain or task; None where the metric is of the whole checkpoint.
        layer: number of the layer; None where the metric is of no single layer.
        site: the site in the layer; None where it is unknown.
        windows: for a loss, returns the scored windows of the revision with a given name; None for other metrics.
    """
    return Curve(
        model=model,
        metric=metric,
        steps=np.array([UNKNOWN_STEP if p.step is None else p.step for p in points], dtype=np.int64),
        values=np.array([np.nan if p.value is None else p.value for p in points], dtype=np.float64),
        errors=np.array([np.nan if p.error is None else p.error for p in points], dtype=np.float64),
        place=place,
        layer=layer,
        site=site,
        revisions=tuple(p.revision for p in points),
        missing=tuple(p.missing for p in points),
        freedom=tuple(p.freedom for p in points),
        spreads=tuple(p.spread for p in points),
        tokens=None if any(p.tokens is None for p in points) else np.array([p.tokens for p in points], dtype=float),
        windows=windows,
    )
