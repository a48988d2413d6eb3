"""Judge rules: a verdict for every rule and value, and the exit code of them all."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from degen.errors import DegenError
from degen.printable import printable
from degen.readers.source_summary import SourceSummary
from degen.runs.part_cache import PartCache
from degen.stats.document_interval import document_interval

from .metric_values import MetricValue, find_metric_values
from .open_target import open_source
from .rule import Rule

Verdict = Literal["failed", "undecidable", "passed"]
SEVERITY: tuple[Verdict, ...] = ("failed", "undecidable", "passed")
_EXIT_CODES = {"passed": 0, "failed": 1, "undecidable": 3, "incomplete": 4}
FEWEST_DOCUMENTS = 5  # that can fail a rule
FEW_DOCUMENTS = 30  # below this, what the two intervals do not agree on is undecidable
_VALUE_COLUMNS = ("model", "revision", "step", "place", "value", "error", "reference", "reference_step")
_DIFFERENCE_COLUMNS = ("difference", "difference_error")
_OUTCOME_COLUMNS = ("low", "high", "bound", "margin", "verdict", "reason")


@dataclass(frozen=True)
class Outcome:
    """The outcome of a rule for one value.

    Attributes:
        rule: the rule.
        verdict: `failed`, `undecidable` or `passed`.
        measured: the value that was compared.
        bound: the bound in the metric's unit; None where it depends on a reference that is missing.
        low: lower end of the interval; None without a confidence or a standard error.
        high: upper end of the interval; None as well.
        margin: distance of the value from the bound, negative on the wrong side; None where the value is missing.
        reason: an explanation of the verdict; None where it needs none.
    """

    rule: Rule
    verdict: Verdict
    measured: MetricValue
    bound: float | None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    reason: str | None = None

    def row(self) -> dict[str, Any]:
        """Return the outcome as a row of a table."""
        of_value = {name: getattr(self.measured, name) for name in (*_VALUE_COLUMNS, *_DIFFERENCE_COLUMNS)}
        return {"rule": str(self.rule), **of_value, **{name: getattr(self, name) for name in _OUTCOME_COLUMNS}}


@dataclass(frozen=True)
class Verdicts:
    """The outcomes of all rules.

    Attributes:
        target: the path that was judged, as the user gave it.
        outcomes: one for every rule and value, the worst first: by verdict, then by rule, then by margin.
        incomplete: the checkpoints that could not be measured.
        source: what was understood of the target.
    """

    target: str
    outcomes: tuple[Outcome, ...]
    incomplete: tuple[str, ...] = ()
    source: SourceSummary | None = None

    @cached_property
    def verdict(self) -> Literal["failed", "undecidable", "incomplete", "passed"]:
        """The verdict on all together, the worst that occurs: failed, then undecidable, then incomplete, then passed.

        It is `incomplete` where a checkpoint could not be measured.
        """
        worst: Verdict = min((o.verdict for o in self.outcomes), key=SEVERITY.index, default="passed")
        return "incomplete" if worst == "passed" and self.incomplete else worst

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 0 for passed, 1 for failed, 3 for undecidable, 4 for incomplete."""
        return _EXIT_CODES[self.verdict]

    def count(self, verdict: Verdict) -> int:
        """Return how many outcomes have the verdict `verdict`."""
        return sum(o.verdict == verdict for o in self.outcomes)


def judge(
    rules: Sequence[Rule],
    target: str | Path,
    baseline: str | Path | None = None,
    confidence: float | None = None,
    strict: bool = False,
    warn: Callable[[str], None] | None = None,
    series: Mapping[str, Sequence[str]] | None = None,
    family_wise: bool = False,
    cache: PartCache | None = None,
) -> Verdicts:
    """Judge the measurements of a run or table by rules.

    Without a confidence, values are compared with their bounds. With one, a rule fails only where the whole one-sided
    interval breaks it, see `degen.stats.document_interval`; where the bound lies inside the interval the rule passes,
    or with `strict` is undecidable. It is undecidable, too, where fewer than 30 documents break it by Student's t but
    not by the wider interval for skewed figures, and where fewer than 5 break it at all.

    Args:
        rules: at least one.
        target: a run folder, a table, a log of training, or results of evaluations, as for `degen gate`.
        baseline: another run, table or folder, which `.rise` and `.drop` compare with; None for the best value so far.
        confidence: of the one-sided interval, at least 0.5 and below 1; None to compare values without intervals.
        strict: whether a bound inside the interval makes a rule undecidable.
        warn: called with each line of warning; None to log it.
        series: for a run, label of the model -> its revisions that exist now, first to last. Measurements of later
            steps belong to a training that was undone, and are left out. None to use all measurements.
        family_wise: whether the confidence is that of all values of a rule together: with m of them, each is judged
            with 1 − (1 − confidence)/m (Bonferroni). Else a rule that is about several warns of what that does.
        cache: of a run that is judged again and again while it grows, what was read of its parts before.

    Returns:
        The outcomes, with the exit code.

    Raises:
        DegenError: there is no rule, a metric is unknown, a selector matches nothing, or the target or the baseline
            cannot be read.
    """
    rules = list(dict.fromkeys(rules))
    if not rules:
        raise DegenError("there is no rule to judge by; give one, as in --rule 'anisotropy[layer=last] < 0.6'")
    check_confidence(confidence, strict, family_wise)
    warn = warn or (lambda line: logging.getLogger("degen").warning(printable(line)))
    source = open_source(target, warn, series, cache)
    other = open_source(baseline, warn) if baseline is not None else None
    if other is not None and all(rule.relation is None for rule in rules):
        warn(f"the baseline {other.name} is not used, because no rule has a .rise or .drop")
    outcomes = []
    for rule in rules:
        values = find_metric_values(rule, source, other, intervals=confidence is not None)
        own = _confidence_of_each(rule, values, confidence, family_wise, warn)
        outcomes += [judge_value(rule, value, own, strict) for value in values]
    position = {rule: i for i, rule in enumerate(rules)}
    worst_first = sorted(
        outcomes,
        key=lambda o: (SEVERITY.index(o.verdict), position[o.rule], math.inf if o.margin is None else o.margin),
    )
    return Verdicts(str(target), tuple(worst_first), tuple(source.failed), source.summary(rules))


def judge_value(rule: Rule, measured: MetricValue, confidence: float | None = None, strict: bool = False) -> Outcome:
    """Compare one value with the bound of a rule.

    Args:
        rule: the rule.
        measured: a value of the rule's metric.
        confidence: of the interval; None to compare values without intervals.
        strict: whether a bound inside the interval makes the rule undecidable.
    """
    value, error = measured.value, measured.error
    if rule.relation is not None:
        value, error = measured.difference, measured.margin_error
    known = rule.bound.percent is None or measured.reference is not None
    bound = rule.bound.of(measured.reference or 0.0) if known else None
    if measured.missing is not None or value is None or bound is None:
        return Outcome(rule, "undecidable", measured, bound, reason=measured.missing or "not measured")
    verdict: Verdict
    margin = bound - value if rule.upper else value - bound
    keeps = rule.keeps(value, bound)
    low = high = reason = None
    if math.isinf(value):
        verdict, reason = ("undecidable", "is infinite, which keeps no rule") if keeps else ("failed", "is infinite")
        return Outcome(rule, verdict, measured, bound, margin=margin, reason=reason)
    if confidence is None or error is None:
        verdict = "passed" if keeps else "failed"
        if confidence is not None:
            reason = "no standard error is known; compared as a value"
    else:
        cosine = rule.metric == "anisotropy" and rule.relation is None
        interval = document_interval(value, error, confidence, measured.freedom, measured.spread, cosine)
        low, high = interval.low, interval.high
        near, far = (low, high) if rule.upper else (high, low)
        verdict, reason = _judge_interval(keeps, rule.keeps(near, bound), rule.keeps(far, bound), strict)
        if error and measured.freedom is not None:
            normal = rule.keeps(interval.normal_low if rule.upper else interval.normal_high, bound)
            verdict, reason = _doubt_few_documents(verdict, reason, measured.freedom + 1, normal)
    return Outcome(rule, verdict, measured, bound, low, high, margin, reason)


def _confidence_of_each(
    rule: Rule,
    values: Sequence[MetricValue],
    confidence: float | None,
    family_wise: bool,
    warn: Callable[[str], None],
) -> float | None:
    """Return the confidence with which each value of a rule is judged.

    Where the rule is about several and they are judged one by one, a line says what that does.
    """
    several = sum(value.error is not None and value.missing is None for value in values)
    if confidence is None or several < 2:
        return confidence
    if family_wise:
        return 1 - (1 - confidence) / several
    warn(
        f"{rule}: {several} values are judged, each at a confidence of {confidence:g}; if all lie on the bound and "
        f"vary independently, one or more fail by chance in {1 - confidence**several:.0%} of gates; --family-wise "
        f"keeps that at {1 - confidence:.0%}"
    )
    return confidence


def check_confidence(confidence: float | None, strict: bool, family_wise: bool = False) -> None:
    """Check the confidence of a gate.

    Raises:
        DegenError: the confidence is not in [0.5, 1), or `strict` or `family_wise` is set without a confidence.
    """
    if confidence is None:
        for option in (["--strict"] if strict else []) + (["--family-wise"] if family_wise else []):
            raise DegenError(f"{option} needs --confidence, which sets the interval; add --confidence 0.95")
    elif not 0.5 <= confidence < 1:
        raise DegenError(f"--confidence {confidence:g}: must be at least 0.5 and below 1, as 0.95")


def _doubt_few_documents(
    verdict: Verdict, reason: str | None, documents: int, normal: bool
) -> tuple[Verdict, str | None]:
    """Return the verdict on a value whose interval comes from documents, undecidable where they are too few for it.

    Args:
        verdict: the verdict by the interval.
        reason: its reason.
        documents: how many there are.
        normal: whether the better end of the interval by Student's t alone keeps the rule.
    """
    if verdict == "failed" and documents < FEWEST_DOCUMENTS:
        return "undecidable", f"{documents} documents are too few to fail a rule; measure {FEWEST_DOCUMENTS} or more"
    if verdict != "failed" and not normal and documents < FEW_DOCUMENTS:
        return "undecidable", (
            f"{documents} documents are too few for a value that single documents move so far; measure "
            f"{FEW_DOCUMENTS} or more"
        )
    return verdict, reason


def _judge_interval(keeps: bool, lenient: bool, severe: bool, strict: bool) -> tuple[Verdict, str | None]:
    """Return the verdict on a value with a known interval, and the reason for it; the reason is None if it is plain.

    Args:
        keeps: whether the value itself keeps the rule.
        lenient: whether the better end of the interval, the one farther on the allowed side, keeps the rule.
        severe: whether the worse end keeps the rule.
        strict: whether a bound inside the interval makes the rule undecidable.
    """
    if not lenient:
        return "failed", None
    if severe:
        return "passed", None
    if strict:
        return "undecidable", "the bound lies within noise: inside the interval"
    return "passed", None if keeps else "breaks the bound, but within noise: the interval reaches beyond it"
