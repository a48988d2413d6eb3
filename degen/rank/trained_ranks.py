"""Heads of restricted rank, trained with the model frozen: the method `trained`, from its plan to its columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from degen.arrays import Floats
from degen.forward.head_inputs import StateFile, TrainingBatches
from degen.probe import HeadInputs, OnProgress, OutputHead
from degen.tables import Row
from degen.text.windows import Sample, Window

from .flattening import possible_fall, why_not_flat
from .held_out import hold_out
from .linear_algebra import factored_error
from .nested_head import NestedHead
from .trained_head import TrainedHead
from .training import Training
from .training_plan import Schedule, TrainingPlan


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
        self._last: list[float] = []  # loss of each head at the end of training, on the evaluated half

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
            windows: the windows to train on, without end; some are held out for the validations.
            folder: for the cached states, and for the file from which an interrupted training continues.
            on_progress: is called after every validation with the losses as text, the number of tokens trained on so
                far, and the number to train on.

        Returns:
            Nats of each window of the sample and each head, windows × heads; 0 for windows of the first half.
        """
        training, state = self._training, folder / "state.safetensors"
        training.load(state)
        schedule = self._plan.schedule(self._head, self._ranks, inputs.flops, sample.longest)
        held_out, windows = hold_out(windows, sample, schedule.tokens)
        if held_out:
            with StateFile(folder / "held_out.states") as states:
                for part in inputs.of(held_out):
                    states.add(part)
                self._train(inputs, windows, schedule, states, len(held_out), state, on_progress)
        else:
            training.validate([], 1)
            training.curve.clear()
        evaluated = [i for i, first in enumerate(sample.in_fit_half) if not first]
        best, last = training.best_and_last(inputs.of([sample.windows[i] for i in evaluated]), len(evaluated))
        scored = sum(len(sample.windows[i].tokens) - 1 for i in evaluated)
        self._last = (last.sum(axis=0) / max(scored, 1)).tolist()
        of_all = np.zeros((len(sample.windows), best.shape[1]))
        of_all[evaluated] = best
        return of_all

    def _train(
        self,
        inputs: HeadInputs,
        windows: Iterator[Window],
        schedule: Schedule,
        held_out: StateFile,
        count: int,
        state: Path,
        on_progress: OnProgress,
    ) -> None:
        """Train as `schedule` says, with a validation on `count` held-out windows every so many steps."""
        training, plan = self._training, self._plan
        cached = state.with_name("trained.states")
        with TrainingBatches(inputs, windows, schedule.windows, plan.cache, cached, training.windows) as batches:
            while not training.curve or training.tokens < schedule.tokens:
                if training.curve:
                    self._steps(batches, schedule)
                training.validate(held_out.read(inputs.device), count)
                training.save(state)
                on_progress(_losses_in_words(self._ranks, training.curve[-1][1]), training.tokens, schedule.tokens)

    def _steps(self, batches: TrainingBatches, schedule: Schedule) -> None:
        """Train until the next validation is due, or until all tokens were trained on."""
        training = self._training
        due = training.steps + self._plan.every
        while training.steps < due and training.tokens < schedule.tokens:
            parts, windows = batches.next()
            if schedule.batch is None:
                training.step(parts, windows, schedule.rate(training.tokens))
            else:
                training.step_by_batches(parts, windows, schedule.batch, schedule.rate)

    def columns(self, index: int) -> Row:
        """Return the columns of table `ranks`, other than losses, of the head with index `index` among the ranks."""
        training = self._training
        tokens_trained, _ = min(training.curve, key=lambda point: point[1][index], default=(0, []))
        A, B = training.best_of(training.heads[index])
        return {
            "w_error": factored_error(self._head.weight, A, B),
            "tokens_trained": tokens_trained,
            "loss_last": self._last[index],
            "reason": self.reason(index),
        }

    def reason(self, index: int) -> str | None:
        """Return why the head with index `index` among the ranks may have more to learn; None where it has not."""
        return why_not_flat(self._training.curve, index, self._training.steps)

    def possible_fall(self, index: int) -> float:
        """Return how much lower the loss of that head might be after much more training, in nats per token."""
        return possible_fall(self._training.curve, index, self._training.steps)


def _losses_in_words(ranks: Sequence[int], losses: Sequence[float]) -> str:
    return "  ".join(f"{rank}: {loss:.3f}" for rank, loss in zip(ranks, losses, strict=True))
