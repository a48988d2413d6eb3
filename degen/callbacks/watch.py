"""A model watched over its training: measured again and again, each time judged by rules."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from degen.errors import DegenError, NotFiniteError, one_line
from degen.gate import Rule, parse_rule
from degen.paths import expand_user
from degen.placement.describe_trained import describe_trained
from degen.placement.shards import compute_device, is_sharded
from degen.runs.part_cache import PartCache

from .monitor import MODEL, Measurement, Monitor
from .preserve_state import check_finite, unwrapped
from .processes import from_main
from .run_recorder import RunRecorder
from .step_rules import StepReport, Undecided, check_rule, check_site, is_over, judge_step

T = TypeVar("T")


@dataclass
class Watch:
    """Measures a model during its training, keeps the measurements, and judges it by rules as `degen gate` would.

    The measurements lie in a run folder, for the gate reads one; without `out` in a temporary one.

    Attributes:
        monitor: the monitor that measures the model.
        rules: the rules that must hold, as `degen gate` takes them; `.rise` and `.drop` compare with the best value so
            far, which a resumed training knows only from `out`.
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
        rules = [self.rules] if isinstance(self.rules, str) else self.rules
        self._rules = list(dict.fromkeys(parse_rule(rule) if isinstance(rule, str) else rule for rule in rules))
        for rule in self._rules:
            check_rule(rule, self.monitor, self.label)
        if self.confidence is not None and not 0.5 <= self.confidence < 1:
            raise DegenError(f"confidence={self.confidence:g}: must be at least 0.5 and below 1, as 0.95")
        folder = expand_user(self.out) if self.out is not None else None
        if folder is None and self._rules:
            folder = _temporary_folder()
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._recorder = RunRecorder(folder, self.monitor, self.label) if folder is not None else None
        self._cache = PartCache()
        self._begun = False
        self._open = {rule: Undecided(rule, "nothing was measured") for rule in self._rules}

    @property
    def never_decided(self) -> tuple[Undecided, ...]:
        """The rules that could not be judged at any step so far, each with the latest reason."""
        return tuple(self._open.values())

    def begin(self, model: Any, step: int = 0) -> None:
        """Check model, rules and run folder before training begins.

        Args:
            model: the model that will be trained.
            step: the step from which training continues, 0 for a new one; measurements of later steps, which an
                interrupted training left, are deleted.

        Raises:
            DegenError: the model cannot be measured, the run folder cannot be used, or a rule is about a layer or
                site that the model does not have.
        """
        self.monitor.check(model)
        inner = unwrapped(model)
        shape = describe_trained(inner)
        for rule in self._rules:
            check_site(rule, shape)
        if (recorder := self._recorder) is not None:
            self._in_main(model, lambda: recorder.begin(step, compute_device(inner), inner.dtype))
        self._begun = True

    def measure_step(self, model: Any, step: int) -> StepReport:
        """Measure the model at a step, write the measurement, and judge the rules.

        Errors of the model or the run folder are in the report and are not raised, so that training continues. Where
        processes hold parts of the model each (FSDP), all of them call this at the same step: the main one writes and
        judges, and all of them get its report.

        Args:
            model: the model as it is now.
            step: optimiser steps so far.

        Raises:
            DegenError: at the first step, if `begin` was not called: as there.
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
        return self._in_main(model, lambda: self._report(step, measurement, failed, finite))

    def _in_main(self, model: Any, call: Callable[[], T]) -> T:
        """Return what a function returns; of a model that is divided among processes, in the main one, in all."""
        return from_main(call) if is_sharded(model) else call()

    def _report(self, step: int, measurement: Measurement | None, failed: str | None, finite: bool) -> StepReport:
        """Write the measurement of a step and judge the rules; see `_record` for the arguments.

        Args:
            step: the step.
            measurement: the measurement; None where the model could not be measured.
            failed: why it could not be measured; None where it was.
            finite: whether all parameters are.
        """
        write_error = self._record(step, measurement, failed)
        broken: dict[Rule, str] = {}
        undecided: dict[Rule, Undecided] = {}
        if not finite:
            broken = {
                rule: f'rule "{rule}" is broken, as every rule is by NaN or infinity in the model'
                for rule in self._rules
            }
        elif (reason := failed or write_error) is not None:
            undecided = {rule: Undecided(rule, reason) for rule in self._rules if not is_over(rule, step)}
        elif self._recorder is not None:
            broken, undecided = judge_step(self._rules, self._recorder.folder, step, self.confidence, self._cache)
        self._note_decided(step, broken, undecided)
        return StepReport(step, measurement, failed, tuple(broken.values()), tuple(undecided.values()), write_error)

    def _record(self, step: int, measurement: Measurement | None, failed: str | None) -> str | None:
        """Write the measurement of a step to the run folder.

        Args:
            step: the step.
            measurement: the measurement; None where the model could not be measured.
            failed: why it could not be measured; None where it was.

        Returns:
            Why it could not be written; None where it was.
        """
        try:
            if self._recorder is not None and measurement is not None:
                self._recorder.write(step, measurement)
            elif self._recorder is not None:
                self._recorder.write_failed(step, failed or "")
        except DegenError as error:
            return one_line(error)
        return None

    def _note_decided(self, step: int, broken: Container[Rule], undecided: Mapping[Rule, Undecided]) -> None:
        """Remember which rules could be judged at this step, for `never_decided`.

        A rule that is neither broken nor undecided held, and so was judged. One that names steps which all lie before
        this step was not judged here.
        """
        for rule in list(self._open):
            if rule in undecided:
                self._open[rule] = undecided[rule]
            elif rule in broken or not is_over(rule, step):
                del self._open[rule]


def _temporary_folder() -> Path:
    """Make a temporary folder for the measurements that rules compare, and return its path.

    Raises:
        DegenError: the folder cannot be made.
    """
    try:
        return Path(tempfile.mkdtemp(prefix="degen-watch-"))
    except OSError as error:
        raise DegenError(
            f"the temporary folder for the measurements cannot be made ({error.strerror or error}); name a run folder "
            "with `out`"
        ) from error
