"""The final and the best loss of a model, to compare with a loss law, and the models to fit the law on."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from degen.metrics.curve import Curve

MIN_MODELS = 3  # of a default fit


class FinalAndBest(NamedTuple):
    """The final and the best checkpoint of a model; losses in nats per token."""

    name: str
    size: int
    tokens: float
    loss: float
    best_step: int
    best_tokens: float
    best_loss: float


def read_final_and_best(curve: Curve) -> FinalAndBest | str:
    """Return the final and the best checkpoint of a model, or the reason why it cannot be compared with a law."""
    if not curve.parameters:
        return "its number of parameters is unknown"
    if not len(curve.steps):
        return "it has no checkpoints"
    if curve.tokens is None:
        return "its training tokens are unknown"
    order = np.argsort(curve.axis, kind="stable")
    steps, tokens, losses = curve.steps[order], curve.tokens[order], curve.values[order]
    if not (math.isfinite(losses[-1]) and losses[-1] > 0):
        return "its last checkpoint has no finite loss"
    if not (math.isfinite(tokens[-1]) and tokens[-1] > 0):
        return "the training tokens of its last checkpoint are unknown"
    # the law has no loss at 0 tokens
    known = np.isfinite(losses) & np.isfinite(tokens) & (tokens > 0)
    best = int(np.argmin(np.where(known, losses, np.inf)))
    return FinalAndBest(
        name=curve.model,
        size=curve.parameters,
        tokens=float(tokens[-1]),
        loss=float(losses[-1]),
        best_step=int(steps[best]),
        best_tokens=float(tokens[best]),
        best_loss=float(losses[best]),
    )


def default_larger(curves: Sequence[Curve], degenerated: Collection[str]) -> list[str]:
    """Return the models to fit on by default: the healthy ones that are larger than every degenerated one.

    Args:
        curves: of the loss, one per model.
        degenerated: models whose loss saturated, whether it recovered or not.

    Returns:
        Their names in ascending order of size; none where they are fewer than `MIN_MODELS`, or where the size of a
        degenerated model is unknown.
    """
    sizes = [curve.parameters for curve in curves if curve.model in degenerated]
    if None in sizes:
        return []
    least = max((size for size in sizes if size is not None), default=0)
    healthy = [read_final_and_best(curve) for curve in curves if curve.model not in degenerated]
    known = [m for m in healthy if isinstance(m, FinalAndBest) and m.size > least]
    larger = sorted(known, key=lambda m: (m.size, m.name))
    return [m.name for m in larger] if len(larger) >= MIN_MODELS else []
