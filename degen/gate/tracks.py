"""What the figures of a rule are read from: one metric at one place of one model, over training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from degen.arrays import Floats, Ints
from degen.errors import DegenError
from degen.stats.jackknife import ratio_error

from .parser import one_line
from .rule import Rule


@dataclass(frozen=True)
class Point:
    """A metric at one checkpoint.

    Attributes:
        revision: name of the checkpoint; None where only the step is known.
        step: optimiser steps so far; None if unknown.
        value: the metric, perhaps infinite; None where it is missing.
        error: its standard error; None if unknown.
        missing: why there is no value; None where there is one.
        freedom: degrees of freedom of the error, documents − 1; None if unknown.
    """

    revision: str | None
    step: int | None
    value: float | None
    error: float | None = None
    missing: str | None = None
    freedom: int | None = None


@dataclass(frozen=True)
class Track:
    """One metric at one place of one model.

    Attributes:
        model: label of the model.
        place: the layer and site, domain or task; None where the metric is of the whole checkpoint.
        points: at least one, in the order of training; those whose step is unknown come last.
        layer: number of the layer; None where the metric is of no single one.
        site: of the layer; None where nobody says.
    """

    model: str
    place: str | None
    points: tuple[Point, ...]
    layer: int | None = None
    site: str | None = None

    def same_place(self, other: Track) -> bool:
        """Whether a track of another source is of the same place, however the two call it."""
        if self.layer is None or other.layer is None:
            return self.place == other.place
        return self.layer == other.layer and (self.site == other.site or self.site is None or other.site is None)


@dataclass(frozen=True)
class Windows:
    """The scored windows of a checkpoint: number, document, tokens, and mean loss in nats."""

    windows: Ints
    documents: Ints
    tokens: Floats
    losses: Floats

    def mean(self) -> float:
        """The loss over all tokens, Σ loss · tokens / Σ tokens."""
        return float((self.losses * self.tokens).sum() / self.tokens.sum())

    def error(self) -> float | None:
        """Its delete-one-document jackknife standard error; None with fewer than two documents."""
        return _known(ratio_error(self.losses * self.tokens, self.tokens, self._slots()))

    @property
    def freedom(self) -> int:
        """Degrees of freedom of its errors: documents − 1."""
        return len(np.unique(self.documents)) - 1

    def difference_error(self, other: Windows, weight: float = 1.0) -> float | None:
        """The standard error of the difference from the loss of another checkpoint on the same windows.

        Formula: the delete-one-document jackknife of Σ (a − w·b) · tokens / Σ tokens, a and b the losses of a window.

        Args:
            other: the other checkpoint's.
            weight: w.

        Returns:
            The error in nats per token; None where the windows differ, or lie in fewer than two documents.
        """
        same = (
            np.array_equal(self.windows, other.windows)
            and np.array_equal(self.documents, other.documents)
            and np.array_equal(self.tokens, other.tokens)
        )
        if not same:
            return None
        return _known(ratio_error((self.losses - weight * other.losses) * self.tokens, self.tokens, self._slots()))

    def _slots(self) -> Ints:
        slots: Ints = np.unique(self.documents, return_inverse=True)[1]
        return slots


class Source(Protocol):
    """What was measured: a run, or a table."""

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

    def tracks(self, rule: Rule) -> list[Track]:
        """What a rule is about, before its steps are chosen; at least one.

        Raises:
            DegenError: an unknown metric, or a selector that matches nothing.
        """

    def windows(self, model: str, revision: str, domain: str | None) -> Windows | None:
        """The scored windows of a checkpoint; None where there are none."""


def point(
    revision: str | None, step: int | None, value: object, error: object, reason: str | None, freedom: int | None = None
) -> Point:
    """A point out of what a table says, where null and NaN are missing.

    Args:
        revision: name of the checkpoint; None where only the step is known.
        step: its step; None if unknown.
        value: the metric; anything but a number is missing.
        error: its standard error; anything but a finite number of 0 or more is unknown.
        reason: what the table says of a value that is missing; None where it says nothing.
        freedom: degrees of freedom of the error; None if unknown.
    """
    known = _number(error)
    error = known if known is not None and math.isfinite(known) and known >= 0 else None
    number = _number(value)
    if number is None:
        return Point(revision, step, None, None, f"not measured: {reason}" if reason else "not measured")
    if math.isnan(number):
        return Point(revision, step, None, None, "is NaN")
    return Point(revision, step, number, error, None, freedom)


def refused(rule: Rule, why: str) -> DegenError:
    """What to tell a user whose rule does not fit what was measured."""
    return DegenError(one_line(f'rule "{rule}": {why}'))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _known(error: float | None) -> float | None:
    return error if error is not None and math.isfinite(error) else None
