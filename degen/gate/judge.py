"""Whether rules hold: one verdict for every rule and figure, and the exit code of them all."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from degen.errors import DegenError
from degen.stats.quantiles import one_sided

from .metric_values import Figure, find_figures
from .open_target import open_source
from .rule import Rule

Verdict = Literal["failed", "undecidable", "passed"]
SEVERITY: tuple[Verdict, ...] = ("failed", "undecidable", "passed")


@dataclass(frozen=True)
class Outcome:
    """What became of a rule at one figure.

    Attributes:
        rule: the rule.
        verdict: `failed`, `undecidable` or `passed`.
        figure: the figure it was held against.
        bound: the bound in the metric's unit; None where it depends on a reference that is missing.
        low: lower end of the interval; None without a confidence or a standard error.
        high: its upper end; None as well.
        margin: how far the figure lies on the right side of the bound, negative on the wrong one; None where missing.
        reason: why, where it needs saying; None where it does not.
    """

    rule: Rule
    verdict: Verdict
    figure: Figure
    bound: float | None
    low: float | None
    high: float | None
    margin: float | None
    reason: str | None

    def row(self) -> dict[str, Any]:
        """Return the outcome as a row of a table."""
        f = self.figure
        return {
            "rule": str(self.rule),
            "model": f.model,
            "revision": f.revision,
            "step": f.step,
            "place": f.place,
            "value": f.value,
            "error": f.error,
            "reference": f.reference,
            "reference_step": f.reference_step,
            "difference": f.difference,
            "difference_error": f.difference_error,
            "low": self.low,
            "high": self.high,
            "bound": self.bound,
            "margin": self.margin,
            "verdict": self.verdict,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Verdicts:
    """What became of all rules.

    Attributes:
        target: what was judged, as it was named.
        outcomes: one for every rule and figure, the worst first: by verdict, then by rule, then by margin.
        incomplete: the checkpoints that could not be measured.
    """

    target: str
    outcomes: tuple[Outcome, ...]
    incomplete: tuple[str, ...] = ()

    @cached_property
    def verdict(self) -> Literal["failed", "undecidable", "incomplete", "passed"]:
        """The gravest: a rule that failed, one that is undecidable, a checkpoint that is missing."""
        found = {o.verdict for o in self.outcomes}
        if "failed" in found:
            return "failed"
        if "undecidable" in found:
            return "undecidable"
        return "incomplete" if self.incomplete else "passed"

    @property
    def exit_code(self) -> int:
        """0 passed, 1 failed, 3 undecidable, 4 incomplete."""
        return {"passed": 0, "failed": 1, "undecidable": 3, "incomplete": 4}[self.verdict]

    def count(self, verdict: Verdict) -> int:
        """Return how many outcomes have a verdict."""
        return sum(o.verdict == verdict for o in self.outcomes)


def judge(
    rules: Sequence[Rule],
    target: str | Path,
    baseline: str | Path | None = None,
    confidence: float | None = None,
    strict: bool = False,
    warn: Callable[[str], None] | None = None,
    series: Mapping[str, Sequence[str]] | None = None,
) -> Verdicts:
    """Hold what was measured against rules.

    Without a confidence, figures are compared as they are. With one, a rule fails only where the end of the one-sided
    interval, value ± t·standard error, that lies nearer to keeping it breaks it. Where the interval straddles the bound
    the rule passes, or with `strict` is undecidable. t is the quantile of Student's distribution with as many degrees
    of freedom as documents were scored, less one; of the normal one where that is unknown.

    Args:
        rules: at least one.
        target: a run folder, a table, or a folder of results of lm-evaluation-harness.
        baseline: another one of those, for rules with `.rise` or `.drop`; None for the best so far.
        confidence: of the interval, from 0.5 to below 1; None to compare values.
        strict: whether what an interval cannot tell is undecidable.
        warn: called with each line of warning; None to log it.
        series: of a run, the checkpoints that each model has now, first to last. What was measured later in training
            than these is of a training that was undone, and left out. None: all that was measured counts.

    Returns:
        The outcomes, and the exit code that they come to.

    Raises:
        DegenError: no rule, an unknown metric, a selector that matches nothing, a target that cannot be read.
    """
    rules = list(dict.fromkeys(rules))
    if not rules:
        raise DegenError("no rule to judge by; give one, as in --rule 'anisotropy[layer=last] < 0.6'")
    check_confidence(confidence, strict)
    warn = warn or logging.getLogger("degen").warning
    source = open_source(target, warn, series)
    other = open_source(baseline, warn) if baseline is not None else None
    if other is not None and all(rule.relation is None for rule in rules):
        warn(f"the baseline {other.path} is not used: no rule is about a .rise or .drop")
    figures = [(rule, figure) for rule in rules for figure in find_figures(rule, source, other)]
    outcomes = [judge_figure(rule, figure, confidence, strict) for rule, figure in figures]
    position = {rule: i for i, rule in enumerate(rules)}
    worst_first = sorted(
        outcomes,
        key=lambda o: (SEVERITY.index(o.verdict), position[o.rule], math.inf if o.margin is None else o.margin),
    )
    return Verdicts(str(target), tuple(worst_first), tuple(source.failed))


def judge_figure(rule: Rule, figure: Figure, confidence: float | None = None, strict: bool = False) -> Outcome:
    """Hold one figure against a rule.

    Args:
        rule: the rule.
        figure: a figure it is about.
        confidence: of the interval; None to compare values.
        strict: whether what the interval cannot tell is undecidable.
    """
    value, error = figure.value, figure.error
    if rule.relation is not None:
        value, error = figure.difference, figure.margin_error
    relative = rule.bound.percent is not None
    known = not relative or figure.reference is not None
    bound = rule.bound.of(figure.reference or 0.0) if known else None
    if figure.missing is not None or value is None or bound is None:
        return Outcome(rule, "undecidable", figure, bound, None, None, None, figure.missing or "not measured")
    verdict: Verdict
    reason: str | None
    margin = bound - value if rule.upper else value - bound
    keeps = rule.keeps(value, bound)
    if math.isinf(value):
        verdict, reason = _infinite(keeps)
        return Outcome(rule, verdict, figure, bound, None, None, margin, reason)
    if confidence is None or error is None:
        unknown = "no standard error is known; compared as a value" if confidence is not None else None
        return Outcome(
            rule, "passed" if keeps else "failed", figure, bound, None, None, margin, _joined(unknown, figure.note)
        )
    reach = one_sided(confidence, figure.freedom) * error if error else 0.0
    low, high = value - reach, value + reach
    near, far = (low, high) if rule.upper else (high, low)
    verdict, reason = _within(keeps, rule.keeps(near, bound), rule.keeps(far, bound), strict)
    return Outcome(rule, verdict, figure, bound, low, high, margin, _joined(reason, figure.note))


def check_confidence(confidence: float | None, strict: bool) -> None:
    """Refuse a confidence that cannot be had, and none where `strict` asks what an interval tells.

    Raises:
        DegenError: either.
    """
    if confidence is None:
        if strict:
            raise DegenError("--strict asks what an interval can tell; say of which --confidence, as in 0.95")
    elif not 0.5 <= confidence < 1:
        raise DegenError(f"--confidence {confidence:g}: a number from 0.5 to below 1, as in 0.95")


def _within(keeps: bool, lenient: bool, severe: bool, strict: bool) -> tuple[Verdict, str | None]:
    """Return the verdict where an interval is known.

    Args:
        keeps: whether the value keeps the rule.
        lenient: whether the end of the interval that is nearer to keeping it does.
        severe: whether the other end does.
        strict: whether what the interval cannot tell is undecidable.
    """
    if not lenient:
        return "failed", None
    if severe:
        return "passed", None
    if strict:
        return "undecidable", "the bound lies within noise: inside the interval"
    return "passed", None if keeps else "breaks the bound, but within noise: the interval reaches beyond it"


def _infinite(keeps: bool) -> tuple[Verdict, str]:
    return ("undecidable", "is infinite, which keeps no rule") if keeps else ("failed", "is infinite")


def _joined(*parts: str | None) -> str | None:
    return "; ".join(part for part in parts if part) or None
