"""Training curves as functions of compute: smoothed as far as their own noise asks for, and no further."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.stats.smoothing import Smoother

from .points import Points

MIN_CHECKPOINTS = 6  # checkpoints of a curve that can be smoothed; fewer are joined by straight lines
MAX_CHECKPOINTS = 400  # checkpoints that are smoothed one by one; more are averaged in steps of ln C


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
        """Of its own noise; None for a curve of too few checkpoints."""
        return Smoother(self.x) if len(self.x) >= MIN_CHECKPOINTS else None

    def at(self, places: Floats, y: Floats | None = None) -> Floats:
        """Return losses, as ln L, at some ln C; NaN beyond the first and the last checkpoint.

        Args:
            places: ln C.
            y: other losses at the same checkpoints.
        """
        values = self.y if y is None else y
        found = np.full(len(places), np.nan)
        inside = (places >= self.x[0]) & (places <= self.x[-1])
        if self.smoother is None:
            found[inside] = np.interp(places[inside], self.x, values)
        else:
            found[inside] = self.smoother.at(values, places[inside])
        return found

    def redrawn(self, draw: np.random.Generator) -> Floats:
        """Return the losses at the same checkpoints with the noise of others: ŷ and residuals drawn anew.

        Formula: residuals (y − ŷ)/sqrt(1 − h), h the share of a value in its own ŷ, about their mean.
        """
        if self.smoother is None:
            return self.y
        smooth = self.smoother.fitted(self.y)
        noise = (self.y - smooth) / np.sqrt(np.maximum(1 - self.smoother.leverage(self.y), 1e-3))
        return np.asarray(smooth + draw.choice(noise - noise.mean(), len(noise)))


def compute_curves(points: Points) -> list[ComputeCurve]:
    """Return the training curves of a table, from the smallest model to the largest.

    Rows of one model and size are a curve; where no column tells models apart, those of one size.

    Raises:
        DegenError: no model has two checkpoints.
    """
    points = points.complete("parameters", "tokens", "flops", "loss")
    sizes, names = points.parameters, [name or "" for name in points.models or [""] * len(points)]
    if len(set(names)) == len(names):  # a name for every checkpoint
        names = [""] * len(points)
    groups: dict[tuple[str, float], list[int]] = {}
    for i, (name, size) in enumerate(zip(names, sizes, strict=True)):
        groups.setdefault((name, float(size)), []).append(i)
    found = []
    for (name, size), rows in groups.items():
        x, y = _joined(np.log(points.flops[rows]), np.log(points.loss[rows]))
        if len(x) > 1:
            per_token = float(np.median(points.flops[rows] / points.tokens[rows]))
            found.append(ComputeCurve(name or f"{size:.4g} parameters", size, per_token, x, y))
    if not found:
        raise DegenError(
            f"{points.path}: no model has two checkpoints, and an envelope is one of training curves; give a row for "
            "each checkpoint, or fit --law hoffmann or isoflop"
        )
    return sorted(found, key=lambda curve: curve.size)


def _joined(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return values by ascending x, averaged where several stand at one or where there are too many."""
    if len(np.unique(x)) > MAX_CHECKPOINTS:
        step = (x.max() - x.min()) / MAX_CHECKPOINTS
        groups = np.floor((x - x.min()) / step)
    else:
        groups = x
    _, at = np.unique(groups, return_inverse=True)
    count = np.bincount(at)
    return np.bincount(at, x) / count, np.bincount(at, y) / count
