"""The states that the LM head of a frozen model receives: computed for any windows, or kept in a file for later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from degen.device import copied_ahead, exact_float32
from degen.placement.output_layer import without_gradients
from degen.probe import HeadInputs, Scored
from degen.text.windows import Sample, Window

from .batches import padded_batches, prefetched
from .block_calls import NO_BLOCKS
from .hooks import ModelHooks
from .one_sequence import one_sequence_a_row

if TYPE_CHECKING:
    import torch


class ModelHeadInputs(HeadInputs):
    """The states that the head of a frozen model receives.

    Args:
        model: a causal LM on `device`.
        batch_tokens: padded tokens of a batch at most.
        device: where the model is.
        padded: whether windows of different lengths may be in one batch.
        flops: of a token in the forward pass; 0 where unknown.
    """

    def __init__(
        self, model: Any, batch_tokens: int, device: torch.device, padded: bool = True, flops: float = 0.0
    ) -> None:
        self._model = model
        self._batch_tokens = batch_tokens
        self._padded = padded
        self.device = device
        self.flops = flops

    def of(self, windows: Sequence[Window]) -> Iterator[Scored]:
        """Yield the scored tokens of some windows, a batch at a time."""
        import torch

        sample = Sample("", tuple(windows))
        coming = padded_batches(sample, self._batch_tokens, self.device, halves=False, padded=self._padded)
        asks = nullcontext() if self.device.type == "cpu" else one_sequence_a_row()
        with without_gradients(self._model), exact_float32(), asks, ModelHooks(self._model, {}, NO_BLOCKS) as hooks:
            for batch in prefetched(coming):
                states, _ = hooks.run(batch)
                rows, columns = at = batch.scored_at
                numbers = copied_ahead(torch.from_numpy(batch.windows), self.device)
                yield Scored(states[at].float(), batch.ids[rows, columns + 1], numbers[rows])


class StateFile:
    """Scored tokens in a file, memory-mapped when they are read.

    Args:
        file: overwritten if it exists, and deleted at the end of the `with`.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._parts: list[tuple[int, int, np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []
        file.parent.mkdir(parents=True, exist_ok=True)
        self._open = file.open("wb")

    def add(self, part: Scored) -> None:
        """Append some tokens."""
        offset = self._open.tell()
        self._open.write(part.states.cpu().numpy().tobytes())
        self._parts.append((offset, part.states.shape[1], part.targets.cpu().numpy(), part.windows.cpu().numpy()))

    def read(self, device: torch.device) -> Iterator[Scored]:
        """Yield all tokens in the order they came."""
        import torch

        self._open.flush()
        for offset, width, targets, windows in self._parts:
            shape = (len(targets), width)
            states = np.memmap(self._file, dtype=np.float32, mode="c", offset=offset, shape=shape)
            yield Scored(*(torch.from_numpy(array).to(device) for array in (states, targets, windows)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()
        self._file.unlink(missing_ok=True)


class TrainingBatches:
    """Batches of windows to train on: new ones without end, or the states of the first few again and again.

    Args:
        inputs: the states of the frozen model.
        windows: without end.
        size: windows of a batch.
        cache: tokens whose states are kept in files; 0 for none.
        file: path of those files, each with a number behind it.
        done: windows that an earlier attempt was trained on, which are skipped.
    """

    def __init__(
        self, inputs: HeadInputs, windows: Iterator[Window], size: int, cache: int, file: Path, done: int
    ) -> None:
        self._inputs = inputs
        self._size = size
        self._kept: list[tuple[StateFile, list[Window]]] = []
        self._tokens, self._cache, self._file = 0, cache, file
        self._at = 0
        self._windows = windows if cache else islice(windows, done, None)
        self._skip = done if cache else 0

    def next(self) -> tuple[Iterator[Scored], list[Window]]:
        """Return the next batch: its scored tokens, and its windows."""
        if self._cache and self._tokens >= self._cache:
            states, batch = self._kept[self._at % len(self._kept)]
            self._at += 1
            return states.read(self._inputs.device), batch
        batch = list(islice(self._windows, self._size))
        if not self._cache:
            return self._inputs.of(batch), batch
        states = StateFile(self._file.with_suffix(f".{len(self._kept)}"))
        for part in self._inputs.of(batch):
            states.add(part)
        self._kept.append((states, batch))
        self._tokens += sum(len(w.tokens) for w in batch)
        return states.read(self._inputs.device), batch

    def __enter__(self) -> Self:
        while self._skip > 0:  # an earlier attempt went this far through the cache
            self._skip -= len(self.next()[1])
        return self

    def __exit__(self, *exception: object) -> None:
        for states, _ in self._kept:
            states.__exit__()
