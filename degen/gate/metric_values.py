"""The values that a rule is about: one for each checkpoint it selects, with a reference where it compares with one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from degen.checkpoints.steps import parse_revision
from degen.hints import did_you_mean
from degen.metrics.curve import Curve, Point
from degen.metrics.differences import DifferenceError, difference_error
from degen.runs.run import SAMPLE
from degen.stats.document_interval import JackknifeRange

from .metric_checks import depends_on_text
from .open_target import Source
from .rule import Rule


@dataclass(frozen=True)
class MetricValue:
    """The value of a metric at a checkpoint, as a rule needs it.

    Attributes:
        model: label of the model.
        revision: name of the checkpoint; None where only the step is known.
        step: its step; None if unknown.
        place: the layer and site, domain or task; None where the metric is of the whole checkpoint.
        value: the metric there, perhaps infinite; None where it is missing.
        error: its standard error; None if unknown.
        missing: the reason why the rule cannot be judged; None where it can.
        reference: the value that `rise` or `drop` compares with; None where the rule has none, or none is known.
        reference_step: the step at which the reference was measured; None if unknown.
        difference: of `rise` the value minus the reference, of `drop` the reference minus the value.
        difference_error: its standard error; None if unknown.
        margin_error: standard error of the difference minus the bound, which errs as well where it is a percentage of
            the reference; for any other bound the same as `difference_error`.
        freedom: degrees of freedom of the error that counts; None if unknown.
        spread: how far single documents move the value; None if unknown, and for a difference.
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
    spread: JackknifeRange | None = None


class _SourcePoint(NamedTuple):
    """A point with its curve, and the run or table of both."""

    source: Source
    curve: Curve
    point: Point


def find_metric_values(
    rule: Rule, source: Source, baseline: Source | None = None, intervals: bool = True
) -> list[MetricValue]:
    """Return the values that a rule is about, one for each checkpoint and place that it selects.

    Without a baseline the reference of `rise` is the smallest value so far and that of `drop` the largest, the
    checkpoint's own included. With a baseline it is the baseline's value at the same step; where the rule is about the
    latest checkpoint and the baseline has no such step, it is the baseline's latest value.

    Args:
        rule: the rule.
        source: the run or table.
        baseline: the run or table that `rise` and `drop` compare with; None for the past of the same series.
        intervals: whether intervals will be made of the values, which takes their spread over documents.

    Returns:
        At least one value, in the order of models, places and training.

    Raises:
        DegenError: the metric is unknown, or a selector matches nothing.
    """
    values = []
    for curve in source.curves(rule):
        best = _best_so_far(rule, curve) if rule.relation is not None and baseline is None else []
        for i in _selected(rule, curve, source):
            p = curve.points[i]
            value = MetricValue(
                curve.model, p.revision, p.step, curve.place, p.value, p.error, p.missing, freedom=p.freedom
            )
            if rule.relation is None and intervals:
                value = replace(value, spread=_spread(curve, p))
            elif rule.relation is not None and p.missing is None:
                own = _SourcePoint(source, curve, p)
                reference: _SourcePoint | str
                if baseline is not None:
                    reference = _of_baseline(rule, own, baseline)
                else:
                    so_far = best[i]
                    reference = so_far if isinstance(so_far, str) else own._replace(point=so_far)
                if isinstance(reference, str):
                    value = replace(value, missing=reference)
                else:
                    value = _compare(rule, value, own, reference)
            values.append(value)
    return values


def _spread(curve: Curve, point: Point) -> JackknifeRange | None:
    """Return how far single documents move the value of a point; None if unknown."""
    windows = curve.windows(point.revision) if curve.windows is not None and point.revision is not None else None
    return windows.spread() if windows is not None else point.spread


def _selected(rule: Rule, curve: Curve, source: Source) -> list[int]:
    """Return the indices of the points of `curve` that the rule selects by its step.

    `latest` selects the last point with a known step; points without a step may be later still, and are selected, too.

    Args:
        rule: the rule.
        curve: the curve.
        source: the run or table, for the error.

    Raises:
        DegenError: the curve has no checkpoint at the step or steps of the rule.
    """
    points = curve.points
    steps = [p.step for p in points if p.step is not None]
    if rule.step == "all":
        return list(range(len(points)))
    if rule.step == "latest" and curve.by_tokens:  # a step of an earlier stage may have the same number
        return [len(points) - 1]
    if rule.step == "latest":
        return [i for i, p in enumerate(points) if p.step is None or p.step == steps[-1]]
    selected = [i for i, p in enumerate(points) if p.step is not None and p.step in rule.step]
    if not selected:
        problem = f"{source.name}: {curve.model} has no checkpoint at step {rule.step}"
        raise rule.error(f"{problem}; {_list_steps(sorted(set(steps)))}")
    return selected


def _list_steps(steps: list[int]) -> str:
    """Return the end of a message, which lists the steps `steps`, or the first and last of them if they are many."""
    names = [str(step) for step in steps]
    if len(names) > 12:
        names[6:-5] = ["…"]
    return f"its steps are {', '.join(names)}" if names else "none of its steps is known"


def _best_so_far(rule: Rule, curve: Curve) -> list[Point | str]:
    """Return for every point of a curve the point with the best value up to it, or a reason why there is none.

    Args:
        rule: a rule with a relation, `rise` or `drop`.
        curve: the curve; a point counts among those up to it.
    """
    unordered = [p.revision for p in curve.points if p.step is None and not _has_tokens(p.revision)]
    finite = [p.value is not None and math.isfinite(p.value) for p in curve.points]
    measured = sum(finite)
    best: Point | None = None
    bests: list[Point | str] = []
    for p, known in zip(curve.points, finite, strict=True):
        if known and (best is None or _is_better(rule, p, best)):
            best = p
        if p.step is None and len(unordered) > 1:
            names = ", ".join(map(str, unordered))
            bests.append(
                f"the order of {names} in training is not known: their names give no step; give a --revision-pattern"
            )
        elif measured < (2 if known else 1):
            bests.append(f"too few checkpoints: a {rule.relation} needs two that are measured, or a baseline")
        else:
            bests.append(best or "too few checkpoints: no earlier one is measured")
    return bests


def _is_better(rule: Rule, point: Point, best: Point) -> bool:
    value, so_far = point.value or 0.0, best.value or 0.0
    return value < so_far if rule.relation == "rise" else value > so_far


def _has_tokens(revision: str | None) -> bool:
    """Return whether the name of a checkpoint gives the tokens trained so far, which order it without a step."""
    return revision is not None and parse_revision(revision) is not None


def _of_baseline(rule: Rule, own: _SourcePoint, baseline: Source) -> _SourcePoint | str:
    """Return the point of the baseline to compare the point `own` with, or the reason why there is none."""
    samples, of_baseline = own.source.samples, baseline.samples
    if samples and of_baseline and not samples & of_baseline and depends_on_text(rule):
        problem, sample = "the baseline was measured on other text", baseline.path / SAMPLE
        if not sample.is_file():  # `degen push` leaves it at home
            return f"{problem}, which is not stored with it; scan this run with the sample.parquet it was scanned with"
        return f"{problem}; scan this run with --sample {sample}"
    curve = _curve_of_baseline(rule, own, baseline)
    if curve is None:
        return f"the baseline has no value for {own.curve.place}"
    same_step = [p for p in curve.points if p.step is not None and p.step == own.point.step]
    same_step = [p for p in same_step if p.revision == own.point.revision] or same_step  # of the same stage
    if not same_step and rule.step != "latest" and len(curve.points) > 1:
        return f"the baseline has no step {own.point.step}"
    with_step = [p for p in curve.points if p.step is not None]
    reference = (same_step or with_step or list(curve.points))[-1]
    if reference.value is None:
        at = f" at step {reference.step}" if reference.step is not None else ""
        return f"the baseline{at}: {reference.missing}"
    return _SourcePoint(baseline, curve, reference)


def _curve_of_baseline(rule: Rule, own: _SourcePoint, baseline: Source) -> Curve | None:
    """Return the baseline's curve for the model and place of `own`; None where the baseline lacks the place.

    Where the rule is about one model and the baseline has one, these two are compared even if their labels differ.

    Raises:
        DegenError: there are several models, and the baseline lacks the one of `own`.
    """
    model = own.curve.model
    if model not in baseline.models:
        if len(baseline.models) > 1 or (len(own.source.models) > 1 and rule.model is None):
            hint = did_you_mean(model, baseline.models)
            raise rule.error(f"the baseline {baseline.name} has no model {model!r}; {hint}")
        model = baseline.models[0]
    curves = baseline.curves(replace(rule, model=model))
    if len(curves) == 1 and (rule.layer == "last" or curves[0].place is None or own.curve.place is None):
        return curves[0]
    return next((curve for curve in curves if curve.same_place(own.curve)), None)


def _compare(rule: Rule, value: MetricValue, own: _SourcePoint, other: _SourcePoint) -> MetricValue:
    """Return `value` with its reference, the difference from it and the standard error filled in.

    Args:
        rule: the rule, whose relation says which way the difference goes.
        value: the value so far, without a reference.
        own: the point of the value.
        other: the point of the reference.
    """
    reference = other.point.value
    assert value.value is not None
    assert reference is not None
    difference = value.value - reference if rule.relation == "rise" else reference - value.value
    if math.isnan(difference):
        return replace(value, missing="the value and its reference are both infinite")
    error, freedom, _ = _difference_error(own, other, 1.0)
    weight = _weight(rule, reference)
    return replace(
        value,
        reference=reference,
        reference_step=other.point.step,
        difference=difference + 0.0,  # -0.0 is 0.0
        difference_error=error,
        margin_error=error if weight == 1.0 else _difference_error(own, other, weight)[0],
        freedom=freedom,
    )


def _weight(rule: Rule, reference: float) -> float:
    """Return the weight of the reference in the margin, the difference minus the bound.

    It is 1 for a bound in the metric's unit. The margin of `rise < p%` is value − reference − p/100·|reference|, in
    which a positive reference weighs 1 + p/100; for `drop` it weighs 1 − p/100.
    """
    percent = rule.bound.percent
    if percent is None or rule.bound.of(reference) == rule.bound.absolute or not math.isfinite(reference):
        return 1.0
    share = math.copysign(percent / 100, reference)
    return 1 + share if rule.relation == "rise" else 1 - share


def _difference_error(own: _SourcePoint, other: _SourcePoint, weight: float) -> DifferenceError:
    """Return the standard error of value − weight · reference."""
    shared = own.source is other.source or bool(own.source.samples & other.source.samples)
    return difference_error(own.curve, own.point, other.curve, other.point, weight, same_text=shared)
