"""The common core of both libraries' callbacks: when to measure, what to log, whether to stop."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, get_args

from degen.errors import DegenError
from degen.gate import Rule, parse_rule
from degen.scanning.progress import Progress
from degen.scanning.settings import MeasureKeywords

from .monitor import Monitor
from .step_rules import StepReport
from .watch import Watch

OnViolation = Literal["log", "stop"]
VIOLATIONS, UNDECIDED = "violations", "undecided"  # logged beside the figures, where there are rules


class CallbackCore:
    """A watch that begins and ends with a training.

    Args:
        tokenizer: what windows are made with; None for the one that training names.
        every: the library's event to measure at, or a number of steps.
        events: the names that `every` may have.
        rules: conditions on the figures, in the syntax of `degen gate`.
        on_violation: `log`, or `stop` the training as well.
        confidence: see `Watch`.
        out: a run folder for the measurements; None to keep none.
        prefix: in front of every name in the tracker.
        settings: what `Monitor` takes.

    Raises:
        DegenError: an unknown event or rule.
        TypeError: a setting that `Monitor` does not have.
    """

    def __init__(
        self,
        *,
        tokenizer: Any,
        every: str | int,
        events: Sequence[str],
        rules: str | Sequence[str],
        on_violation: OnViolation,
        confidence: float | None,
        out: str | Path | None,
        prefix: str,
        settings: MeasureKeywords,
    ) -> None:
        inspect.signature(Monitor).bind(None, **settings)
        if every not in events and not _is_count(every):
            raise DegenError(f"every={every!r}: not {', '.join(map(repr, events))}, nor a number of steps")
        if on_violation not in get_args(OnViolation):
            raise DegenError(f"on_violation={on_violation!r}: not one of {', '.join(map(repr, get_args(OnViolation)))}")
        self.every = every
        self.rules = [parse_rule(rule) for rule in ([rules] if isinstance(rules, str) else rules)]
        self._tokenizer = tokenizer
        self._stops = on_violation == "stop"
        self._confidence = confidence
        self._out = out
        self._prefix = prefix
        self._settings = settings
        self._progress = Progress()
        self._watch: Watch | None = None

    def begin(
        self, model: Any, tokenizer: Any, step: int, last: float | None, never_due: tuple[str, str] | None
    ) -> None:
        """Begin with a training, or go on from a step of it.

        Args:
            model: that will be trained.
            tokenizer: that training names; None for none.
            step: optimiser steps so far.
            last: the step that training ends at; None if unknown.
            never_due: why the library's event to measure at does not come in this training, and what to do; None where
                it does, or where that is unknown.

        Raises:
            DegenError: settings that cannot work, found before the first step.
        """
        self._check_due(step, last, never_due)
        chosen = self._tokenizer if self._tokenizer is not None else tokenizer
        if chosen is None:
            raise DegenError("no tokenizer to make windows with; give the callback one (tokenizer=…)")
        monitor = Monitor(chosen, **self._settings)
        self._watch = Watch(monitor, rules=self.rules, confidence=self._confidence, out=self._out)
        self._watch.begin(model, step)
        self._write_error: str | None = None
        self._warned: set[Rule] = set()

    def _check_due(self, step: int, last: float | None, never_due: tuple[str, str] | None) -> None:
        """Refuse rules that would never be judged; without rules, warn that nothing will be measured."""
        if not isinstance(self.every, str):
            never_due = None
            if step == 0 and last is not None and self.every > last:
                never_due = f"training ends at step {last:.0f}", f"choose {last:.0f} or fewer"
        if never_due is None:
            return
        reason, remedy = never_due
        if self.rules:
            raise DegenError(f"every={self.every!r}: {reason}, so no rule would ever be judged; {remedy}")
        self._progress.warn(f"degen: every={self.every!r}: {reason}, so nothing will be measured; {remedy}")

    def end(self, step: int) -> None:
        """End with the training; what is evaluated later is not measured.

        Args:
            step: optimiser steps in all.
        """
        if self._watch is None:
            return
        if self._watch.latest is None:
            nothing = f"every={self.every!r} did not come up before training ended at step {step}"
            self._progress.warn(f"degen: nothing was measured: {nothing}")
        else:
            for never in self._watch.never_decided:
                self._progress.warn(f'degen: rule "{never.rule}" was never decided: {never.reason}')
        self._watch = None

    def is_due(self, event: str, step: int) -> bool:
        """Return whether to measure now: the event is the chosen one, or that of a step which is a multiple of `every`.

        Args:
            event: of the library, `step` for the end of a step.
            step: optimiser steps so far.
        """
        if event == "step":
            return not isinstance(self.every, str) and step > 0 and step % self.every == 0
        return event == self.every

    def measure_step(self, model: Any, step: int) -> tuple[dict[str, float], bool]:
        """Measure, in the main process; a step is measured once.

        Returns:
            The figures for the tracker, and whether training must stop.
        """
        if self._watch is None or self._watch.latest == step:
            return {}, False
        report = self._watch.measure_step(model, step)
        self._log_report(report)
        figures = dict(report.figures)
        if self.rules:
            figures |= {VIOLATIONS: len(report.broken), UNDECIDED: len(report.undecided)}
        return {f"{self._prefix}{name}": value for name, value in figures.items()}, self._stops and bool(report.broken)

    def _log_report(self, report: StepReport) -> None:
        """Warn in one line of whatever went wrong; note the rules that are pending, as at the beginning."""
        at = f"degen: step {report.step}"
        if report.failed is not None:
            self._progress.warn(f"{at} could not be measured: {report.failed}")
        if report.write_error not in (None, self._write_error):  # a full disk is reported once
            so = ", so no rule is decided" if report.undecided else ""
            self._progress.warn(f"{at}: what was measured could not be kept{so}: {report.write_error}")
        self._write_error = report.write_error
        if report.broken:
            consequence = "training stops" if self._stops else "training goes on"
            self._progress.warn(f"{at}: {'; '.join(report.broken)}; {consequence}")
        is_explained = report.failed is not None or report.write_error is not None
        for undecided in report.undecided:
            if is_explained or undecided.pending or undecided.rule in self._warned:
                self._progress.note(f"{at}: {undecided}")
            else:
                self._progress.warn(f"{at}: {undecided}")
                self._warned.add(undecided.rule)


def _is_count(every: object) -> bool:
    return not isinstance(every, bool) and isinstance(every, Integral) and int(every) >= 1
