"""The common core of both libraries' callbacks: when to measure, what to log, whether to stop."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, get_args

from degen.errors import DegenError
from degen.gate import Rule, parse_rule
from degen.placement.shards import is_sharded
from degen.scanning.progress import Progress
from degen.scanning.settings import MeasureKeywords
from degen.trackers.figure_names import figure_name

from .monitor import Monitor
from .processes import from_main, is_main
from .step_rules import StepReport
from .watch import Watch

OnViolation = Literal["log", "stop"]
VIOLATIONS, UNDECIDED = "violations", "undecided"  # logged beside the figures, where there are rules


class CallbackCore:
    """A watch that begins and ends with a training.

    Args:
        tokenizer: the tokenizer to make windows with; None for the one that the training itself uses.
        every: when to measure: the name of an event of the library, or every so many steps.
        events: the names of events that `every` may have.
        rules: conditions on the figures, in the syntax of `degen gate`.
        on_violation: `log`, or `stop` the training as well.
        confidence: see `Watch`.
        out: a run folder for the measurements; None to keep none.
        prefix: a text that is put in front of every name in the tracker.
        settings: the settings of `Monitor`, by name.

    Raises:
        DegenError: `every`, `on_violation` or a rule is wrong.
        TypeError: `Monitor` does not have one of the settings.
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
            raise DegenError(
                f"every={every!r}: must be {', '.join(map(repr, events))} or a whole number of steps, 1 or more"
            )
        if on_violation not in get_args(OnViolation):
            choices = " or ".join(map(repr, get_args(OnViolation)))
            raise DegenError(f"on_violation={on_violation!r}: must be {choices}")
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
        """Prepare to measure when a training begins, or continues from a step; called in every process.

        Args:
            model: the model that will be trained.
            tokenizer: the tokenizer that the training itself uses; None if it has none.
            step: optimiser steps so far.
            last: the step at which training ends; None if unknown.
            never_due: two phrases, why the event `every` never happens in this training, and what to do; None where
                it happens, or where that is unknown.

        Raises:
            DegenError: there is no tokenizer, the settings do not fit the model, or a rule would never be judged.
        """
        if not is_sharded(model):
            from_main(lambda: self._begin(model, tokenizer, step, last, never_due))
        else:
            self._begin(model, tokenizer, step, last, never_due)

    def _begin(
        self, model: Any, tokenizer: Any, step: int, last: float | None, never_due: tuple[str, str] | None
    ) -> None:
        """Do what `begin` does in the processes that measure."""
        self._check_due(step, last, never_due)
        chosen = self._tokenizer if self._tokenizer is not None else tokenizer
        if chosen is None:
            raise DegenError(
                "there is no tokenizer to make windows with; give one to the callback, as the argument tokenizer"
            )
        monitor = Monitor(chosen, **self._settings)
        if is_sharded(model):
            monitor.share_windows()
        self._watch = Watch(monitor, rules=self.rules, confidence=self._confidence, out=self._out)
        self._watch.begin(model, step)
        self._write_error: str | None = None
        self._warned: set[Rule] = set()

    def _check_due(self, step: int, last: float | None, never_due: tuple[str, str] | None) -> None:
        """Refuse rules that would never be judged; without rules, warn that nothing will be measured."""
        if not isinstance(self.every, str):
            never_due = None
            if step == 0 and last is not None and self.every > last:
                never_due = f"training ends before that, at step {last:.0f}", f"set every to {last:.0f} or fewer"
        if never_due is None:
            return
        reason, remedy = never_due
        if self.rules:
            raise DegenError(f"every={self.every!r}: {reason}, so no rule would ever be judged; {remedy}")
        if is_main():
            self._progress.warn(f"degen: every={self.every!r}: {reason}, so nothing will be measured; {remedy}")

    def end(self, step: int) -> None:
        """Stop measuring when the training ends, and warn where nothing was measured or a rule was never judged.

        Args:
            step: the number of optimiser steps of the training.
        """
        if self._watch is None or not is_main():
            return
        if self._watch.latest is None:
            nothing = f"training ended at step {step}, before every={self.every!r} was due for the first time"
            self._progress.warn(f"degen: nothing was measured, because {nothing}")
        else:
            for never in self._watch.never_decided:
                self._progress.warn(f'degen: rule "{never.rule}" could not be judged at any step: {never.reason}')
        self._watch = None

    def is_due(self, event: str, step: int) -> bool:
        """Return whether to measure now.

        That is so where the event is the one that `every` names; or, where `every` is a number of steps, at the end of
        each step that is a multiple of it.

        Args:
            event: the event of the library that just happened; `step` for the end of a step.
            step: optimiser steps so far.
        """
        if event == "step":
            return not isinstance(self.every, str) and step > 0 and step % self.every == 0
        return event == self.every

    def measure_step(self, model: Any, step: int) -> tuple[dict[str, float], bool]:
        """Measure the model at a step, unless the step was measured already; called in every process.

        The main process measures; where the model is divided among processes (FSDP), all of them do, together.

        Returns:
            The figures for the tracker by name, in the main process alone; and whether training must stop, in all.
        """
        if is_sharded(model):
            figures, stop = self._measure(model, step)
        else:
            figures, stop = from_main(lambda: self._measure(model, step))
        return figures if is_main() else {}, stop

    def _measure(self, model: Any, step: int) -> tuple[dict[str, float], bool]:
        """Measure the model at a step, and log in the main process; see `measure_step`."""
        if self._watch is None or self._watch.latest == step:
            return {}, False
        report = self._watch.measure_step(model, step)
        if is_main():
            self._log_report(report)
        figures = dict(report.figures)
        if self.rules:
            figures |= {VIOLATIONS: len(report.broken), UNDECIDED: len(report.undecided)}
        return {figure_name(name, self._prefix): value for name, value in figures.items()}, self._stops and bool(
            report.broken
        )

    def _log_report(self, report: StepReport) -> None:
        """Log what went wrong at a step, each in one line: no measurement, no space to keep it, or a broken rule."""
        at = f"degen: step {report.step}"
        if report.failed is not None:
            self._progress.warn(f"{at} could not be measured: {report.failed}")
        if report.write_error not in (None, self._write_error):  # a full disk is reported once
            so = ", so that no rule could be judged" if report.undecided else ""
            self._progress.warn(f"{at}: the measurement could not be written{so}: {report.write_error}")
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
