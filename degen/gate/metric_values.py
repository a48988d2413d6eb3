"""The figures that a rule is about: the checkpoints it selects, each with its reference where the rule has one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from degen.hints import did_you_mean
from degen.metrics.curve import Curve, Point

from .rule import Rule, StepRange
from .source import Source, refused

Measured = tuple[Curve, Point, Source]  # a value, its curve, and where that was measured


@dataclass(frozen=True)
class Figure:
    """A figure that a rule is held against.

    Attributes:
        model: label of the model.
        revision: name of the checkpoint; None where only the step is known.
        step: its step; None if unknown.
        place: the layer and site, domain or task; None where the metric is of the whole checkpoint.
        value: the metric there, perhaps infinite; None where it is missing.
        error: its standard error; None if unknown.
        missing: why the rule cannot be judged; None where it can.
        reference: what a relation compares with; None where the rule has none, or none is known.
        reference_step: the step it was measured at; None if unknown.
        difference: of `rise` the value less the reference, of `drop` the reference less the value.
        difference_error: its standard error; None if unknown.
        margin_error: of the difference less a percentage of the reference, where such is the bound; else the same.
        freedom: degrees of freedom of the error that counts; None if unknown.
        note: what should be known of the reference; None where nothing should.
    """

    model: str
    revision: str | None
    step: int | None
    place: str | None
    value: float | None
    error: float | None
    missing: str | None = None
    reference: float | None = None
    reference_step: int | None = None
    difference: float | None = None
    difference_error: float | None = None
    margin_error: float | None = None
    freedom: int | None = None
    note: str | None = None


def find_figures(rule: Rule, source: Source, baseline: Source | None = None) -> list[Figure]:
    """Return the figures that a rule is about.

    Without a baseline the reference of `rise` is the smallest value so far, that of `drop` the largest, the figure's
    own checkpoint included. With one it is the baseline's value at the same step; where the rule is about the latest
    checkpoint and the baseline has no such step, at the baseline's latest.

    Args:
        rule: the rule.
        source: what was measured.
        baseline: what relations compare with; None for the past of the same series.

    Returns:
        At least one figure, in the order of models, places and training.

    Raises:
        DegenError: an unknown metric, or a selector that matches nothing.
    """
    figures = []
    for curve in source.curves(rule):
        for i in _selected(rule, curve, source):
            figure = _absolute(curve, curve.points[i])
            if rule.relation is not None and figure.missing is None:
                if baseline is None:
                    figure = _against_past(rule, curve, i, source, figure)
                else:
                    figure = _against_baseline(rule, curve, curve.points[i], source, baseline, figure)
            figures.append(figure)
    return figures


def _selected(rule: Rule, curve: Curve, source: Source) -> list[int]:
    """Return the checkpoints that a rule selects of a curve.

    The latest is the last whose step is known. One whose step is not known may be later still, so it is judged, too.
    """
    points = curve.points
    known = [p.step for p in points if p.step is not None]
    if rule.step == "all":
        return list(range(len(points)))
    if isinstance(rule.step, StepRange):
        chosen = [i for i, p in enumerate(points) if p.step is not None and p.step in rule.step]
        if not chosen:
            steps = sorted(set(known))
            there = f"its steps are {', '.join(map(str, _few(steps)))}" if steps else "none of its steps is known"
            raise refused(rule, f"{source.path}: {curve.model} has no checkpoint at step {rule.step}; {there}")
        return chosen
    return [i for i, p in enumerate(points) if p.step is None or (known and p.step == known[-1])]


def _few(steps: Sequence[int]) -> list[int | str]:
    return list(steps) if len(steps) <= 12 else [*steps[:6], "…", *steps[-5:]]


def _absolute(curve: Curve, point: Point) -> Figure:
    return Figure(
        curve.model, point.revision, point.step, curve.place, point.value, point.error, point.missing,
        freedom=point.freedom,
    )  # fmt: skip


def _against_past(rule: Rule, curve: Curve, i: int, source: Source, figure: Figure) -> Figure:
    """Return the figure with the best so far as its reference."""
    finite = [p for p in curve.points if p.value is not None and math.isfinite(p.value)]
    if len(finite) < 2 and not (figure.value is not None and math.isinf(figure.value) and finite):
        return replace(
            figure, missing=f"too few checkpoints: a {rule.relation} needs two that are measured, or a baseline"
        )
    so_far = [p for p in curve.points[: i + 1] if p.value is not None and math.isfinite(p.value)]
    if not so_far:
        return replace(figure, missing="too few checkpoints: none before it is measured")
    best = (min if rule.relation == "rise" else max)(so_far, key=lambda p: p.value or 0.0)
    return _compared(rule, figure, (curve, curve.points[i], source), (curve, best, source))


def _against_baseline(
    rule: Rule, curve: Curve, point: Point, source: Source, baseline: Source, figure: Figure
) -> Figure:
    """Return the figure with the baseline's value as its reference."""
    other = _counterpart(rule, curve, source, baseline)
    if other is None:
        return replace(figure, missing=f"the baseline has no {curve.place}")
    same = [p for p in other.points if p.step is not None and p.step == point.step]
    if not same and rule.step != "latest" and len(other.points) > 1:
        return replace(figure, missing=f"the baseline has no step {point.step}")
    known = [p for p in other.points if p.step is not None]
    reference = (same or known or list(other.points))[-1]
    if reference.value is None:
        at = f" at step {reference.step}" if reference.step is not None else ""
        return replace(figure, missing=f"the baseline{at}: {reference.missing}")
    found = _compared(rule, figure, (curve, point, source), (other, reference, baseline))
    if source.samples and baseline.samples and not source.samples & baseline.samples:
        return replace(found, note="the baseline was measured on other text")
    return found


def _counterpart(rule: Rule, curve: Curve, source: Source, baseline: Source) -> Curve | None:
    """Return the baseline's curve of the same model and place; None where it lacks the place.

    A baseline of one model stands for the one model there is, whatever the two are called.
    """
    model = curve.model
    if model not in baseline.models:
        if len(baseline.models) > 1 or len(source.models) > 1:
            hint = did_you_mean(model, baseline.models)
            raise refused(rule, f"the baseline {baseline.path} has no model {model!r}; {hint}")
        model = baseline.models[0]
    curves = baseline.curves(replace(rule, model=model))
    if len(curves) == 1 and (rule.layer == "last" or curves[0].place is None or curve.place is None):
        return curves[0]
    return next((t for t in curves if t.same_place(curve)), None)


def _compared(rule: Rule, figure: Figure, own: Measured, other: Measured) -> Figure:
    """Return the figure with its difference from a reference, and how sure that is."""
    reference = other[1]
    if figure.value is None or reference.value is None:
        raise AssertionError("only values that are there are compared")
    difference = figure.value - reference.value
    difference = difference if rule.relation == "rise" else -difference
    if math.isnan(difference):
        return replace(figure, missing="the value and its reference are both infinite")
    error, freedom = _difference_error(rule, own, other, 1.0)
    weight = _weight(rule, reference.value)
    return replace(
        figure,
        reference=reference.value,
        reference_step=reference.step,
        difference=difference + 0.0,  # -0.0 is 0.0
        difference_error=error,
        margin_error=error if weight == 1.0 else _difference_error(rule, own, other, weight)[0],
        freedom=freedom,
    )


def _weight(rule: Rule, reference: float) -> float:
    """Return by how much of the reference figure and bound differ: a percentage moves with what it is of.

    The margin of `rise < p%` is value − reference − p/100·|reference|, that of `drop` the reference's share less.
    """
    percent, least = rule.bound.percent, rule.bound.absolute
    if percent is None or rule.bound.of(reference) == least or not math.isfinite(reference):
        return 1.0
    share = math.copysign(percent / 100, reference)
    return 1 + share if rule.relation == "rise" else 1 - share


def _difference_error(rule: Rule, own: Measured, other: Measured, weight: float) -> tuple[float | None, int | None]:
    """Return the standard error of value − weight · reference, and its degrees of freedom.

    Paired for losses on the same windows, else √(e₁² + (weight·e₂)²) with the fewer of the two degrees of freedom.
    """
    (curve, point, source), (its, reference, measured) = own, other
    if point is reference:
        return 0.0, point.freedom
    shared = source is measured or bool(source.samples & measured.samples)
    if shared and curve.windows and its.windows and point.revision is not None and reference.revision is not None:
        here, there = curve.windows(point.revision), its.windows(reference.revision)
        paired = here.difference_error(there, weight) if here is not None and there is not None else None
        if paired is not None and here is not None:
            return paired, here.freedom
    if point.error is None or reference.error is None:
        return None, None
    known = [f for f in (point.freedom, reference.freedom) if f is not None]
    return math.hypot(point.error, weight * reference.error), min(known, default=None)
