"""What was measured, as a gate asks for it: the curves that a rule is about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from degen.errors import DegenError
from degen.metrics.curve import Curve

from .parser import one_line
from .rule import Rule


class Source(Protocol):
    """A run or a table."""

    @property
    def path(self) -> Path:
        """Where it lies."""

    @property
    def models(self) -> Sequence[str]:
        """Labels of the models in it."""

    @property
    def failed(self) -> Sequence[str]:
        """The checkpoints that could not be measured."""

    @property
    def samples(self) -> frozenset[str]:
        """Hashes of the windows that were scored; none where nobody knows."""

    def curves(self, rule: Rule) -> list[Curve]:
        """Read what a rule is about, before its steps are chosen; at least one curve.

        The checkpoints of a curve are in the order of training, those whose step is unknown last.

        Raises:
            DegenError: an unknown metric, or a selector that matches nothing.
        """


def refused(rule: Rule, why: str) -> DegenError:
    """Return the error for a user whose rule does not fit what was measured."""
    return DegenError(one_line(f'rule "{rule}": {why}'))
