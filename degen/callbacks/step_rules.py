"""Rules about a model in training: refused where nothing could decide them, else judged at each step by the gate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from degen.errors import DegenError, one_line
from degen.gate import Outcome, Rule, judge
from degen.gate.rule import StepRange
from degen.hints import did_you_mean
from degen.model.architecture import Architecture
from degen.runs.part_cache import PartCache
from degen.tables import CHECKPOINTS

from .monitor import Measurement, Monitor

LAYERS = "layers"
SITES = ("embedding", "block", "head_input")


@dataclass(frozen=True)
class Undecided:
    """A rule that cannot be judged at a step.

    Attributes:
        rule: the rule.
        reason: why it cannot be judged.
        pending: whether it can be judged later, since its steps are still to come or it needs a second checkpoint.
    """

    rule: Rule
    reason: str
    pending: bool = False

    def __str__(self) -> str:
        return f'rule "{self.rule}" is undecided: {self.reason}'


@dataclass(frozen=True)
class StepReport:
    """What a watch measured at one step, and which rules it breaks.

    Attributes:
        step: optimiser steps so far.
        measurement: the measurement; None where the model could not be measured.
        failed: why the model could not be measured; None where it was.
        broken: a text for each rule that is broken at this step, with the figure that breaks it most. Where the model
            holds NaN or infinity, every rule is broken.
        undecided: the rules that cannot be judged at this step; all of them where the model could not be measured, or
            the measurement could not be written.
        write_error: why the measurement could not be written to the run folder; None where it was, or where there is
            no run folder.
    """

    step: int
    measurement: Measurement | None
    failed: str | None = None
    broken: tuple[str, ...] = ()
    undecided: tuple[Undecided, ...] = ()
    write_error: str | None = None

    @property
    def figures(self) -> dict[str, float]:
        """The figures for a tracker, by name; none where the model could not be measured."""
        return self.measurement.figures if self.measurement is not None else {}


def check_rule(rule: Rule, monitor: Monitor, label: str) -> None:
    """Refuse a rule about something that is not measured, since it could never be broken.

    Args:
        rule: the rule.
        monitor: the monitor, which knows what is measured.
        label: the name of the model in the tables.

    Raises:
        DegenError: the rule names a metric, model or domain that the monitor does not measure.
    """
    table = CHECKPOINTS if rule.layer is None and rule.site is None else LAYERS
    measured = monitor.measured_columns(table)
    if rule.metric not in measured:
        raise DegenError(
            f'rule "{rule}": {rule.metric} is not measured for table {table}; {did_you_mean(rule.metric, measured)}'
        )
    if rule.model not in (None, label):
        raise DegenError(
            f'rule "{rule}": the only model here is called {label!r}, not {rule.model!r}; drop the selector model'
        )
    if rule.domain not in (None, *monitor.domains):
        hint = did_you_mean(str(rule.domain), monitor.domains)
        raise DegenError(f'rule "{rule}": no text of the domain {rule.domain!r} is measured; {hint}')


def check_site(rule: Rule, shape: Architecture) -> None:
    """Refuse a rule about a layer or site that the model does not have.

    Args:
        rule: the rule.
        shape: the architecture of the model.

    Raises:
        DegenError: the model has no such layer, or there is no such site.
    """
    if isinstance(rule.layer, int) and rule.layer > shape.layers:
        raise DegenError(f'rule "{rule}": the model has no layer {rule.layer}, only layers 0 to {shape.layers}')
    if rule.site is not None and rule.site not in SITES:
        raise DegenError(f'rule "{rule}": there is no site {rule.site!r}; {did_you_mean(rule.site, SITES)}')


def judge_step(
    rules: Sequence[Rule], folder: Path, step: int, confidence: float | None, cache: PartCache | None = None
) -> tuple[dict[Rule, str], dict[Rule, Undecided]]:
    """Judge the measurement of one step by rules; earlier steps are not judged again.

    Args:
        rules: the rules that must hold.
        folder: the run folder with the measurements so far.
        step: the step to judge.
        confidence: of the one-sided interval by which a rule must be broken; None to compare figures as they are.
        cache: what earlier steps read of the folder; None to read all that is needed.

    Returns:
        Two dicts: broken rule -> a text that says so, and rule that cannot be judged -> the reason.
    """
    outcomes, refused = _outcomes(rules, folder, confidence, cache)
    broken: dict[Rule, str] = {}
    undecided = {rule: Undecided(rule, reason, _is_to_come(rule, step)) for rule, reason in refused.items()}
    for rule in rules:
        now = [o for o in outcomes if o.rule == rule and o.measured.step == step]  # the worst first
        undecidable = [o for o in now if o.verdict == "undecidable"]
        if failed := [o for o in now if o.verdict == "failed"]:
            broken[rule] = _in_words(failed)
        elif undecidable:
            first = min(undecidable, key=_lacks_past)
            undecided[rule] = Undecided(rule, first.reason or "", _lacks_past(first))
    return broken, undecided


def is_over(rule: Rule, step: int) -> bool:
    """Return whether the rule selects a range of steps that ended before `step`."""
    return isinstance(rule.step, StepRange) and rule.step.last is not None and step > rule.step.last


def _is_to_come(rule: Rule, step: int) -> bool:
    """Return whether the rule selects a range of steps that begins after `step`."""
    return isinstance(rule.step, StepRange) and rule.step.first is not None and step < rule.step.first


def _outcomes(
    rules: Sequence[Rule], folder: Path, confidence: float | None, cache: PartCache | None
) -> tuple[list[Outcome], dict[Rule, str]]:
    """Return the gate's outcomes of all rules, and a dict: rule that the gate refuses -> why.

    The gate refuses a rule, for example, if it selects a step that is not measured yet.
    """
    if not rules:
        return [], {}
    try:
        return list(judge(rules, folder, confidence=confidence, warn=_ignore, cache=cache).outcomes), {}
    except DegenError:
        outcomes: list[Outcome] = []
    refused: dict[Rule, str] = {}
    for rule in rules:  # one by one, for the others can be judged
        try:
            outcomes += judge([rule], folder, confidence=confidence, warn=_ignore, cache=cache).outcomes
        except DegenError as error:
            refused[rule] = one_line(error).removeprefix(f'rule "{rule}": ').removeprefix(f"{folder}: ")
    return outcomes, refused


def _lacks_past(outcome: Outcome) -> bool:
    """Return whether a `rise` or `drop` was measured at this step, but has no earlier value to compare with yet."""
    measured = outcome.measured
    is_known = measured.value is not None and math.isfinite(measured.value)
    return is_known and outcome.rule.relation is not None and measured.reference is None


def _in_words(outcomes: Sequence[Outcome]) -> str:
    """Return a text about a broken rule with its worst figure.

    For example: `rule "loss.rise < 0.02" is broken: 0.3, from 4 at step 9`.

    Args:
        outcomes: the outcomes that break the rule, one or more.
    """
    outcome, *others = outcomes
    value = outcome.measured
    where = f" at {value.place}" if value.place else ""
    more = f" (and at {len(others)} more)" if others else ""
    if outcome.rule.relation is None:
        return f'rule "{outcome.rule}" is broken{where}: {value.value:.4g}{more}'
    reference = f", from {value.reference:.4g}" if value.reference is not None else ""
    since = f"{value.difference:.4g}{reference} at step {value.reference_step}"
    return f'rule "{outcome.rule}" is broken{where}: {since}{more}'


def _ignore(line: str) -> None:
    """Drop a line of warning: what `degen gate` says once of a rule would come at every step."""
