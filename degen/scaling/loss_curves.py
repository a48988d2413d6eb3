"""Training curves as functions of compute, smoothed to the degree that cross-validation picks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.stats.smoothing import Smoother

from .points import Points

MIN_CHECKPOINTS = 6  # of a curve to smooth; fewer are joined by straight lines
MAX_CHECKPOINTS = 400  # of a curve to smooth; more are averaged in steps of ln C first


@dataclass(frozen=True, eq=False)
class ComputeCurve:
    """The losses of one model over the compute of its training, on logarithmic axes.

    Attributes:
        name: its label.
        size: N.
        per_token: FLOPs of a training token, C/D.
        x: ln C of its checkpoints, ascending, shape (m,).
        y: ln L of its checkpoints.
    """

    name: str
    size: float
    per_token: float
    x: Floats
    y: Floats

    @cached_property
    def smoother(self) -> Smoother | None:
        """The smoothing spline; None for a curve of too few checkpoints."""
        return Smoother(self.x) if len(self.x) >= MIN_CHECKPOINTS else None

    def at(self, log_flops: Floats, y: Floats | None = None) -> Floats:
        """Return ln L of the curve at given ln C; NaN before the first checkpoint and after the last.

        Args:
            log_flops: the given ln C.
            y: ln L of the checkpoints to use instead of the curve's own; None for its own.
        """
        y = self.y if y is None else y
        values = np.full(len(log_flops), np.nan)
        inside = (log_flops >= self.x[0]) & (log_flops <= self.x[-1])
        if self.smoother is None:
            values[inside] = np.interp(log_flops[inside], self.x, y)
        else:
            values[inside] = self.smoother.at(y, log_flops[inside])
        return values

    def resample(self, draw: np.random.Generator) -> Floats:
        """Return ln L of the checkpoints with new noise: the smoothed curve and residuals drawn with replacement.

        Formula: residuals (y − ŷ)/sqrt(1 − h) less their mean, h the share of a value in its own ŷ.
        """
        if self.smoother is None:
            return self.y
        smooth = self.smoother.fitted(self.y)
        noise = (self.y - smooth) / np.sqrt(np.maximum(1 - self.smoother.leverage(self.y), 1e-3))
        return np.asarray(smooth + draw.choice(noise - noise.mean(), len(noise)))


def compute_curves(points: Points) -> list[ComputeCurve]:
    """Return the training curves of a table, from the smallest model to the largest.

    Rows of one model and size are a curve; without a column of models, or with a different name in every row, rows of
    one size are.

    Raises:
        DegenError: no model has two checkpoints.
    """
    points = points.complete("parameters", "tokens", "flops", "loss")
    sizes, names = points.parameters, [name or "" for name in points.models or [""] * len(points)]
    if len(set(names)) == len(names):  # names of checkpoints, not of models
        names = [""] * len(points)
    groups: dict[tuple[str, float], list[int]] = {}
    for i, (name, size) in enumerate(zip(names, sizes, strict=True)):
        groups.setdefault((name, float(size)), []).append(i)
    curves = []
    for (name, size), rows in groups.items():
        x, y = _averaged(np.log(points.flops[rows]), np.log(points.loss[rows]))
        if len(x) > 1:
            per_token = float(np.median(points.flops[rows] / points.tokens[rows]))
            curves.append(ComputeCurve(name or f"{size:.4g} parameters", size, per_token, x, y))
    if not curves:
        raise DegenError(
            f"{points.path}: no model has two checkpoints, but an envelope needs training curves; give the table a row "
            "for each checkpoint, or use --law hoffmann or isoflop"
        )
    return sorted(curves, key=lambda curve: curve.size)


def _averaged(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return x and y sorted by x, after averaging points that share an x, and neighbours where there are too many."""
    if len(np.unique(x)) > MAX_CHECKPOINTS:
        step = (x.max() - x.min()) / MAX_CHECKPOINTS
        groups = np.floor((x - x.min()) / step)
    else:
        groups = x
    _, group = np.unique(groups, return_inverse=True)
    count = np.bincount(group)
    return np.bincount(group, x) / count, np.bincount(group, y) / count
