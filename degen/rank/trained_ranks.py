"""Heads of restricted rank, trained with the model frozen: the method `trained`, from its plan to its columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.forward.head_inputs import StateFile, TrainingBatches
from degen.probe import HeadInputs, OnProgress, OutputHead
from degen.tables import Row
from degen.text.windows import Sample, Window

from .linear_algebra import factored_error
from .nested_head import NestedHead
from .trained_head import TrainedHead
from .training import Training

TOKENS = 150_000_000  # to train on with an accelerator, as Godey et al. 2024 do
TOKENS_ON_CPU = 1_000_000  # a convention: minutes for a small model


@dataclass(frozen=True)
class TrainingPlan:
    """How the heads of the method `trained` are trained.

    Attributes:
        tokens: how many tokens to train on; None for 150 million on an accelerator, as in the paper, and 1 million on
            a CPU.
        windows: the number of windows in a batch, that is, for one step.
        init: what A and B start from: `normal` for draws from N(0, 1), `whitened` for the closed form.
        every: the number of steps between two validations.
        seed: sets the draws of A and B.
        cache: the states of this many tokens are kept in a file, and trained on again and again; 0 to compute new
            states for every step.

    Raises:
        DegenError: a value is out of range, or `init` is unknown.
    """

    tokens: int | None = None
    windows: int = 256
    init: str = "normal"
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


class TrainedRanks:
    """One head of each rank, all trained on the same states.

    Args:
        head: the full head.
        ranks: ascending.
        plan: how the heads are trained.
        start: the closed form to start from; None to start from A and B drawn from N(0, 1).
    """

    def __init__(
        self, head: OutputHead, ranks: Sequence[int], plan: TrainingPlan, start: NestedHead | None = None
    ) -> None:
        self._head = head
        self._ranks = ranks
        self._plan = plan
        self._training = Training(head, [self._first(rank, start) for rank in ranks])

    def _first(self, rank: int, start: NestedHead | None) -> TrainedHead:
        """Return the head of rank `rank` before its first step: from the closed form `start`, or random where None."""
        if start is None:
            return TrainedHead.random(rank, self._head, self._plan.seed)
        return TrainedHead.balanced(start.factor[:, :rank], start.map[:, :rank].T)

    def train(
        self, inputs: HeadInputs, sample: Sample, windows: Iterator[Window], folder: Path, on_progress: OnProgress
    ) -> Floats:
        """Train on as many tokens as the plan says, then evaluate every head as it was at its best validation.

        Args:
            inputs: computes the states that the head receives, for any windows.
            sample: the windows; those of its second half are evaluated.
            windows: the windows to train on, without end.
            folder: for the cached states, and for the file from which an interrupted training continues.
            on_progress: is called after every validation with the losses as text, the number of tokens trained on so
                far, and the number to train on.

        Returns:
            Nats of each window of the sample and each head, windows × heads; 0 for windows of the first half.
        """
        plan, training, state = self._plan, self._training, folder / "state.safetensors"
        training.load(state)
        device = self._head.weight.device
        default = TOKENS_ON_CPU if device.type == "cpu" else TOKENS
        tokens = plan.tokens if plan.tokens is not None else default
        evaluated = [i for i, first in enumerate(sample.in_fit_half) if not first]
        with StateFile(folder / "evaluated.states") as held_out:
            for part in inputs.of([sample.windows[i] for i in evaluated]):
                held_out.add(part)
            cached = folder / "trained.states"
            with TrainingBatches(inputs, windows, plan.windows, plan.cache, cached, training.windows) as batches:
                while not training.curve or training.tokens < tokens:
                    if training.curve:
                        self._steps(batches, tokens)
                    training.validate(held_out.read(device), len(evaluated))
                    training.save(state)
                    on_progress(_losses_in_words(self._ranks, training.curve[-1][1]), training.tokens, tokens)
            nats = training.losses_of_best(held_out.read(device), len(evaluated))
        of_all = np.zeros((len(sample.windows), nats.shape[1]))
        of_all[evaluated] = nats
        return of_all

    def _steps(self, batches: TrainingBatches, tokens: int) -> None:
        """Train until the next validation is due, or until `tokens` tokens were trained on in all."""
        for _ in range(self._plan.every):
            self._training.step(*batches.next())
            if self._training.tokens >= tokens:
                break

    def columns(self, index: int) -> Row:
        """Return the columns of table `ranks`, other than losses, of the head with index `index` among the ranks."""
        training = self._training
        tokens_trained, _ = min(training.curve, key=lambda point: point[1][index])
        A, B = training.best_of(training.heads[index])
        return {
            "w_error": factored_error(self._head.weight, A, B),
            "tokens_trained": tokens_trained,
            "loss_last": training.curve[-1][1][index],
        }


def _losses_in_words(ranks: Sequence[int], losses: Sequence[float]) -> str:
    return "  ".join(f"{rank}: {loss:.3f}" for rank, loss in zip(ranks, losses, strict=True))
