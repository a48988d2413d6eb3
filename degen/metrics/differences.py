"""The difference of a metric between two checkpoints, with its standard error, paired where that can be."""

from __future__ import annotations

import math
from typing import NamedTuple

from .curve import Curve, Point


class DifferenceError(NamedTuple):
    """The error of a difference.

    Attributes:
        error: its standard error; None if unknown.
        freedom: degrees of freedom of that; None if unknown.
        paired: whether it is that of pairs of equal windows.
    """

    error: float | None
    freedom: int | None
    paired: bool = False


def difference_error(
    curve: Curve, point: Point, other_curve: Curve, other_point: Point, weight: float = 1.0, *, same_text: bool = True
) -> DifferenceError:
    """Return the standard error of value − weight · other value.

    For losses on the same windows the error is that of the pairs; else it is √(e₁² + (weight·e₂)²), with the fewer of
    the two degrees of freedom.

    Args:
        curve: the curve of the first value.
        point: the checkpoint on it.
        other_curve: the curve of the other value.
        other_point: the checkpoint on that.
        weight: of the other value.
        same_text: whether both were measured on the same sample of text.
    """
    if point is other_point:
        return DifferenceError(0.0, point.freedom)
    paired = _paired_error(curve, point, other_curve, other_point, weight) if same_text else None
    if paired is not None:
        return DifferenceError(*paired, paired=True)
    if point.error is None or other_point.error is None:
        return DifferenceError(None, None)
    freedoms = [f for f in (point.freedom, other_point.freedom) if f is not None]
    return DifferenceError(math.hypot(point.error, weight * other_point.error), min(freedoms, default=None))


def _paired_error(
    curve: Curve, point: Point, other_curve: Curve, other_point: Point, weight: float
) -> tuple[float, int] | None:
    """Return the error of the pairs and its degrees of freedom; None where the two have no windows in common."""
    if not (curve.windows and other_curve.windows and point.revision and other_point.revision):
        return None
    windows, other_windows = curve.windows(point.revision), other_curve.windows(other_point.revision)
    if windows is None or other_windows is None:
        return None
    error = windows.difference_error(other_windows, weight)
    return None if error is None else (error, windows.freedom)
