"""What was measured and judged at one step of a training."""

from __future__ import annotations

from dataclasses import dataclass

from degen.gate import Rule

from .monitor import Measurement


@dataclass(frozen=True)
class Undecided:
    """A rule that nobody can decide at a step.

    Attributes:
        rule: the rule.
        reason: why.
        pending: whether that is no more than its beginning: its steps are still to come, or it needs a second
            checkpoint.
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
        measurement: what was measured; None where the model could not be.
        failed: why it could not be; None where it was.
        broken: for each rule that is broken at this step: the rule, and the figure that breaks it most; every rule
            where the model holds NaN or infinity.
        undecided: the rules that nobody can decide at this step; all of them where the model could not be measured, or
            the measurement not be kept.
        write_error: why the run folder did not take the measurement; None where it did, or there is none.
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
