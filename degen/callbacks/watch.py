"""A model watched over its training: measured again and again, each time held against rules."""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from collections.abc import Container, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

from degen.errors import DegenError, NotFiniteError, one_line
from degen.gate import Outcome, Rule, judge, parse_rule
from degen.gate.rule import StepRange
from degen.metrics.columns import did_you_mean
from degen.model.architecture import Architecture, describe_module
from degen.tables import CHECKPOINTS

from .finite import check_finite
from .monitor import MODEL, Measurement, Monitor
from .preserve_state import unwrapped
from .run_recorder import RunKeeper

LAYERS = "layers"
SITES = ("embedding", "block", "head_input")


@dataclass(frozen=True)
class Undecided:
    """A rule that nobody can decide at a step.

    Attributes:
        rule: the rule.
        reason: why.
        waits: whether that is no more than its beginning: its steps are still to come, or it needs a second checkpoint.
    """

    rule: Rule
    reason: str
    waits: bool = False

    def __str__(self) -> str:
        return f'rule "{self.rule}" is undecided: {self.reason}'


@dataclass(frozen=True)
class Sighting:
    """What a watch saw at one step.

    Attributes:
        step: optimiser steps so far.
        measurement: what was found; None where the model could not be measured.
        failed: why it could not be; None where it was.
        broken: for each rule that is broken at this step: the rule, and the figure that breaks it most; every rule
            where the model holds NaN or infinity.
        undecided: the rules that nobody can decide at this step; all of them where the model could not be measured, or
            the measurement not be kept.
        unkept: why the run folder did not take the measurement; None where it did, or there is none.
    """

    step: int
    measurement: Measurement | None
    failed: str | None = None
    broken: tuple[str, ...] = ()
    undecided: tuple[Undecided, ...] = ()
    unkept: str | None = None

    @property
    def figures(self) -> dict[str, float]:
        """What a tracker is told; nothing where the model could not be measured."""
        return self.measurement.figures if self.measurement is not None else {}


@dataclass
class Watch:
    """Measures a model during its training, keeps what it finds, and judges it by rules as `degen gate` would.

    The measurements lie in a run folder, for the gate reads one; without `out` in a temporary one.

    Attributes:
        monitor: what measures.
        rules: what must hold, as `degen gate` takes them; `.rise` and `.drop` are against the best so far, which a
            training that is resumed knows from `out` alone.
        confidence: of the one-sided interval by which a rule must be broken; None to compare figures as they are.
        out: the run folder; None to keep nothing beyond this process.
        label: of the model in the tables.
        latest: the step that was measured last; None before the first.
    """

    monitor: Monitor
    _: KW_ONLY
    rules: Sequence[Rule | str] = ()
    confidence: float | None = None
    out: str | Path | None = None
    label: str = MODEL
    latest: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        given = [self.rules] if isinstance(self.rules, str) else self.rules
        self._rules = list(dict.fromkeys(parse_rule(rule) if isinstance(rule, str) else rule for rule in given))
        for rule in self._rules:
            self._check(rule)
        if self.confidence is not None and not 0.5 <= self.confidence < 1:
            raise DegenError(f"confidence={self.confidence:g}: a number from 0.5 to below 1, as in 0.95")
        folder = Path(self.out).expanduser() if self.out is not None else None
        if folder is None and self._rules:
            folder = _temporary_folder()
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._keeper = RunKeeper(folder, self.monitor, self.label) if folder is not None else None
        self._begun = False
        self._open = {rule: Undecided(rule, "nothing was measured") for rule in self._rules}

    @property
    def never_decided(self) -> tuple[Undecided, ...]:
        """The rules that no look has decided so far, with the latest reason."""
        return tuple(self._open.values())

    def begin(self, model: Any, step: int = 0) -> None:
        """Refuse what cannot work, before training does.

        Args:
            model: that will be trained.
            step: from which training goes on; measurements of later steps, of a training that was cut, are deleted.

        Raises:
            DegenError: the model cannot be measured, or the run folder not be used.
        """
        self.monitor.check(model)
        inner = unwrapped(model)
        for rule in self._rules:
            _check_place(rule, describe_module(inner))
        if self._keeper is not None:
            self._keeper.begin(step, inner.device, inner.dtype)
        self._begun = True

    def look(self, model: Any, step: int) -> Sighting:
        """Measure, keep and judge. What goes wrong with model or run folder is told, not raised: training goes on.

        Args:
            model: as it is now.
            step: optimiser steps so far.

        Raises:
            DegenError: at the first look, what `begin` refuses.
        """
        if not self._begun:
            self.begin(model)
        self.latest = step
        measurement, failed, finite = None, None, True
        try:
            check_finite(unwrapped(model))
            measurement = self.monitor.measure(model)
        except Exception as error:  # whatever a model, or a third party's probe, can come up with
            failed, finite = one_line(error), not isinstance(error, NotFiniteError)
        unkept = self._keep(step, measurement, failed)
        broken: dict[Rule, str] = {}
        undecided: dict[Rule, Undecided] = {}
        if not finite:
            broken = {rule: f'rule "{rule}" is broken: NaN and infinity keep none' for rule in self._rules}
        elif (why := failed or unkept) is not None:
            undecided = {rule: Undecided(rule, why) for rule in self._rules if not _is_over(rule, step)}
        elif self._keeper is not None:
            broken, undecided = self._judged(self._keeper.folder, step)
        self._remember(step, broken, undecided)
        return Sighting(step, measurement, failed, tuple(broken.values()), tuple(undecided.values()), unkept)

    def _keep(self, step: int, measurement: Measurement | None, failed: str | None) -> str | None:
        """Write what was found; returns why it could not be written, None where it was."""
        try:
            if self._keeper is not None and measurement is not None:
                self._keeper.write(step, measurement)
            elif self._keeper is not None:
                self._keeper.write_failed(step, failed or "")
        except DegenError as error:
            return one_line(error)
        return None

    def _remember(self, step: int, broken: Container[Rule], undecided: Mapping[Rule, Undecided]) -> None:
        """Note which rules were decided; one that is neither broken nor undecided holds, unless its steps are over."""
        for rule in list(self._open):
            if rule in undecided:
                self._open[rule] = undecided[rule]
            elif rule in broken or not _is_over(rule, step):
                del self._open[rule]

    def _judged(self, folder: Path, step: int) -> tuple[dict[Rule, str], dict[Rule, Undecided]]:
        """The rules that are broken at a step, and those that nobody can decide; earlier steps had their turn."""
        outcomes, refused = self._outcomes(folder)
        broken: dict[Rule, str] = {}
        undecided = {rule: Undecided(rule, why, _is_to_come(rule, step)) for rule, why in refused.items()}
        for rule in self._rules:
            now = [o for o in outcomes if o.rule == rule and o.figure.step == step]  # the worst first
            open_ones = [o for o in now if o.verdict == "undecidable"]
            if failed := [o for o in now if o.verdict == "failed"]:
                broken[rule] = _said(failed)
            elif open_ones:
                first = min(open_ones, key=_lacks_past)
                undecided[rule] = Undecided(rule, first.reason or "", _lacks_past(first))
        return broken, undecided

    def _outcomes(self, folder: Path) -> tuple[list[Outcome], dict[Rule, str]]:
        """What the gate says, and why it refuses a rule: one that selects steps which are still to come, say."""
        if not self._rules:
            return [], {}
        try:
            return list(judge(self._rules, folder, confidence=self.confidence).outcomes), {}
        except DegenError:
            outcomes: list[Outcome] = []
        refused: dict[Rule, str] = {}
        for rule in self._rules:  # one by one, for the others can be judged
            try:
                outcomes += judge([rule], folder, confidence=self.confidence).outcomes
            except DegenError as error:
                refused[rule] = one_line(error).removeprefix(f'rule "{rule}": ').removeprefix(f"{folder}: ")
        return outcomes, refused

    def _check(self, rule: Rule) -> None:
        """Refuse a rule about what is not measured: it could never be broken."""
        table = CHECKPOINTS if rule.layer is None and rule.site is None else LAYERS
        measured = self.monitor.measured(table)
        if rule.metric not in measured:
            raise DegenError(
                f'rule "{rule}": {rule.metric} is not measured of {table}; {did_you_mean(rule.metric, measured)}'
            )
        if rule.model not in (None, self.label):
            raise DegenError(f'rule "{rule}": the model here is called {self.label!r}')
        if rule.domain not in (None, *self.monitor.domains):
            hint = did_you_mean(str(rule.domain), self.monitor.domains)
            raise DegenError(f'rule "{rule}": no text of domain {rule.domain!r}; {hint}')


def _check_place(rule: Rule, shape: Architecture) -> None:
    """Refuse a layer or site that a model does not have."""
    if isinstance(rule.layer, int) and rule.layer > shape.layers:
        raise DegenError(f'rule "{rule}": the model has layers 0 to {shape.layers}')
    if rule.site is not None and rule.site not in SITES:
        raise DegenError(f'rule "{rule}": no site {rule.site!r}; {did_you_mean(rule.site, SITES)}')


def _temporary_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="degen-watch-"))
    except OSError as error:
        raise DegenError(f"no temporary folder for what rules need ({error.strerror or error}); name `out`") from error


def _is_to_come(rule: Rule, step: int) -> bool:
    """Whether all steps that a rule selects lie ahead."""
    return isinstance(rule.step, StepRange) and rule.step.first is not None and step < rule.step.first


def _is_over(rule: Rule, step: int) -> bool:
    """Whether all steps that a rule selects lie behind."""
    return isinstance(rule.step, StepRange) and rule.step.last is not None and step > rule.step.last


def _lacks_past(outcome: Outcome) -> bool:
    """Whether a figure is there and has nothing yet to be compared with."""
    figure = outcome.figure
    there = figure.value is not None and math.isfinite(figure.value)
    return there and outcome.rule.relation is not None and figure.reference is None


def _said(outcomes: Sequence[Outcome]) -> str:
    """A broken rule at its worst place in a few words: `rule "loss.rise < 0.02" is broken: 0.3, from 4 at step 9`."""
    outcome, *others = outcomes
    figure = outcome.figure
    place = f" at {figure.place}" if figure.place else ""
    more = f" (and at {len(others)} more)" if others else ""
    if outcome.rule.relation is None:
        return f'rule "{outcome.rule}" is broken{place}: {figure.value:.4g}{more}'
    reference = f", from {figure.reference:.4g}" if figure.reference is not None else ""
    since = f"{figure.difference:.4g}{reference} at step {figure.reference_step}"
    return f'rule "{outcome.rule}" is broken{place}: {since}{more}'
