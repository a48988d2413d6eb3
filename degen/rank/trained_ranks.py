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
    """How `trained` learns.

    Attributes:
        tokens: to train on, in all; None for 150 million on an accelerator, as in the paper, and 1 million on a CPU.
        windows: in a batch, that is, for one step.
        init: `normal` for A and B from N(0, 1), `whitened` for the closed form.
        every: steps between two validations.
        seed: of A and B.
        cache: keep the states of the first so many tokens in a file, and train on them again and again; 0 for new ones
            without end.

    Raises:
        DegenError: training so cannot begin.
    """

    tokens: int | None = None
    windows: int = 256
    init: str = "normal"
    every: int = 16
    seed: int = 0
    cache: int = 0

    def __post_init__(self) -> None:
        if (self.tokens is not None and self.tokens < 0) or self.windows < 1 or self.every < 1 or self.cache < 0:
            raise DegenError("training takes tokens and a cache of at least 0, and at least 1 window a batch")
        if self.init not in ("normal", "whitened"):
            raise DegenError(f"--init {self.init}: not one of normal, whitened")


class TrainedRanks:
    """One head of each rank, all trained on the same states.

    Args:
        head: the full head.
        ranks: ascending.
        plan: how they learn.
        start: the closed form to begin from; None for A and B from N(0, 1).
    """

    def __init__(
        self, head: OutputHead, ranks: Sequence[int], plan: TrainingPlan, start: NestedHead | None = None
    ) -> None:
        self._head = head
        self._ranks = ranks
        self._plan = plan
        self._training = Training(head, [self._first(rank, start) for rank in ranks])

    def _first(self, rank: int, start: NestedHead | None) -> TrainedHead:
        """Return A and B before the first step."""
        if start is None:
            return TrainedHead.random(rank, self._head, self._plan.seed)
        return TrainedHead.balanced(start.factor[:, :rank], start.map[:, :rank].T)

    def train(
        self, inputs: HeadInputs, sample: Sample, windows: Iterator[Window], folder: Path, on_progress: OnProgress
    ) -> Floats:
        """Train until the plan's tokens have passed, then evaluate every head at its best.

        Args:
            inputs: what the head receives, of any windows.
            sample: its second half is evaluated.
            windows: to train on, without end.
            folder: for the states that are kept, and for what a continued run goes on from.
            on_progress: called after every validation with the losses in words, tokens trained and to train.

        Returns:
            Nats by window of the sample and head, 0 in the first half.
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
        """Take the steps up to the next validation, or to the last token."""
        for _ in range(self._plan.every):
            self._training.step(*batches.next())
            if self._training.tokens >= tokens:
                break

    def columns(self, index: int) -> Row:
        """Return the columns of `ranks` that a trained head has beside its losses; `index` counts the ranks."""
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
