"""How heads of restricted rank are trained: what a user sets, and the tokens, batches and rates that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from degen.errors import DegenError
from degen.probe import OutputHead

TOKENS = 150_000_000  # to train on with an accelerator, as Godey et al. 2024 do
TOKENS_ON_CPU = 300_000  # at most; the heads of a small model are nearly flat by then
FLOPS_ON_CPU = 2e13  # a convention: about a quarter of an hour on two cores
WINDOWS = 256  # of a batch at most, as in the paper
STEPS = 400  # that a budget is divided into, unless that makes batches too small or too large
SMALLEST_BATCH = 64  # tokens; smaller ones cost as much, since a step moves every row of A
ELEMENTWISE = 60  # FLOPs' worth of time that a logit takes outside of matrix products: its softmax, and what reads it


@dataclass(frozen=True)
class Schedule:
    """The tokens, batches and rates of one training.

    Attributes:
        tokens: to train on in all.
        windows: read at a time.
        batch: tokens of a step, some of those of the windows; None where a step takes all windows at once.
        decays: whether the learning rate falls linearly to zero.
    """

    tokens: int
    windows: int
    batch: int | None
    decays: bool

    def rate(self, done: int) -> float:
        """Return the share of a head's learning rate that a step has after `done` tokens, between 0 and 1.

        A training from a closed form ends near the best head of its budget only where the rate falls; one from N(0, 1)
        keeps its rate, as in arXiv 2404.07647.
        """
        return max(1 - done / self.tokens, 0.0) if self.decays else 1.0


@dataclass(frozen=True)
class TrainingPlan:
    """What a user sets for the method `trained`.

    Attributes:
        tokens: how many tokens to train on; None for 150 million on an accelerator, as in the paper, and 300,000
            on a CPU, or fewer for a large model.
        windows: the number of windows in a batch, that is, for one step; None for what gives some 400 steps, a part of
            a window to 256 windows.
        init: what A and B start from: `whitened` for the closed form, `normal` for draws from N(0, 1).
        every: the number of steps between two validations.
        seed: sets the draws of A and B.
        cache: the states of this many tokens are kept in a file, and trained on again and again; 0 to compute new
            states for every step.

    Raises:
        DegenError: a value is out of range, or `init` is unknown.
    """

    tokens: int | None = None
    windows: int | None = None
    init: str = "whitened"
    every: int = 16
    seed: int = 0
    cache: int = 0

    def __post_init__(self) -> None:
        for name, least in (("tokens", 0), ("windows", 1), ("every", 1), ("cache", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise DegenError(f"training: {name} must be {least} or more, not {value}")
        if self.init not in ("normal", "whitened"):
            raise DegenError(f"--init {self.init}: must be normal or whitened")

    def schedule(self, head: OutputHead, ranks: Sequence[int], pass_flops: float, longest: int) -> Schedule:
        """Return the tokens, batches and rates of a training.

        Args:
            head: the full head.
            ranks: those of the heads in training.
            pass_flops: FLOPs of a token in the frozen model's forward pass.
            longest: tokens of the longest window.
        """
        tokens = self.tokens if self.tokens is not None else default_tokens(head, ranks, pass_flops)
        batch = max(tokens // STEPS, SMALLEST_BATCH)
        windows = self.windows or min(batch // longest, WINDOWS)
        if windows:
            return Schedule(tokens, windows, None, self.init == "whitened")
        return Schedule(tokens, max(round(self.every * batch / longest), 1), batch, self.init == "whitened")


def default_tokens(head: OutputHead, ranks: Sequence[int], pass_flops: float) -> int:
    """Return how many tokens to train on where the user does not say.

    Formula: 150 million on an accelerator; on a CPU min(3·10⁵, 2·10¹³ / c), but enough for 400 steps of 64 tokens, with
    c = F + Σ_r V·(6·r + 60) the FLOPs of a token: F of the frozen pass, 6·V·r of the gradient of A (V × r), and those
    that the softmax over V logits is worth.
    """
    if head.weight.device.type != "cpu":
        return TOKENS
    cost = pass_flops + sum(len(head.weight) * (6 * rank + ELEMENTWISE) for rank in ranks)
    return min(TOKENS_ON_CPU, max(int(FLOPS_ON_CPU / cost), STEPS * SMALLEST_BATCH))
