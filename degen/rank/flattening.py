"""Whether a head in training has learned what it could: the end of its curve of held-out losses."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .bottleneck_rank import SAME

MIN_STEPS = 200  # fewer are no training: Adam moves an entry by its rate at most
FLAT = 0.02  # nats per token; a curve that falls by less over the second half of its tokens is flat
DOUBLINGS = 10  # of the tokens, after which a head could be as much lower as the last doubling made it

Curve = Sequence[tuple[int, Sequence[float]]]


def second_half_fall(curve: Curve, index: int) -> float:
    """Return by how much the second half of the tokens lowered the best held-out loss, in nats per token.

    Formula: min L(D′ ≤ D/2) − min L(D′ ≤ D), D the tokens of the whole training. That is the gain of its last doubling.

    Args:
        curve: tokens trained on before each validation, and the held-out loss of each head.
        index: of the head.
    """
    half = curve[-1][0] / 2
    return min(at[index] for done, at in curve if done <= half) - min(at[index] for _, at in curve)


def why_not_flat(curve: Curve, index: int, steps: int) -> str | None:
    """Return why a head may have more to learn, and what to do; None where its curve is flat.

    Args:
        curve: as for `second_half_fall`; without a validation nothing was held out.
        index: of the head.
        steps: of the whole training.
    """
    if not curve:
        return (
            "not trained: only one document is left to train on, and none to choose the best step by; name a larger "
            "corpus"
        )
    if not math.isfinite(min(at[index] for _, at in curve)):
        return "its training has no finite loss; train with --init whitened"
    if steps < MIN_STEPS:
        return (
            f"{steps} steps of Adam are too few to learn, fewer than {MIN_STEPS}; give more --train-tokens, or fewer "
            "--train-windows a step"
        )
    fall = second_half_fall(curve, index)
    if fall >= FLAT:
        return (
            f"still learning: the second half of the tokens lowered its held-out loss by {fall:.2g} nats; give "
            "more --train-tokens"
        )
    return None


def possible_fall(curve: Curve, index: int, steps: int) -> float:
    """Return how much lower the loss of a head might be after much more training, in nats per token.

    Formula: ten times what the last doubling of the tokens lowered it by, as if each of ten more did; infinite where
    there were too few steps to tell, and 0 where its curve is flat.

    Args: as for `why_not_flat`.
    """
    if why_not_flat(curve, index, steps) is None:
        return 0.0
    fall = DOUBLINGS * second_half_fall(curve, index) if curve and steps >= MIN_STEPS else math.inf
    return fall if math.isfinite(fall) else math.inf


def why_worse(loss: float, start: float) -> str | None:
    """Return that a trained head is worse than the closed form it started from; None where it is not.

    The step with the least held-out loss may be worse on the documents that are evaluated, which must not choose it.

    Args:
        loss: of the head at its best validation, on the evaluated half, nats per token.
        start: of the closed form of its rank, on the same tokens.
    """
    if not loss > start + SAME:
        return None
    return (
        f"{loss - start:.2g} nats above the closed form it started from, though below it on the documents that chose "
        "its best step; give more --train-tokens"
    )
