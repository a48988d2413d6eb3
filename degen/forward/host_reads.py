"""Results of a device on their way to the host: copied batch by batch, and read while the device is busy with the next.

On an accelerator the host runs ahead: it asks for work and waits for none of it, until it reads a result. So results
wait here until a later batch has been asked for. On a CPU they are there at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from degen.errors import CheckpointError
from degen.probe import probe_errors, read_now

if TYPE_CHECKING:
    import torch

BATCHES_AHEAD = 2  # whose results may be on their way when those of an earlier one are waited for

Then = Callable[..., None]


@dataclass(frozen=True)
class _Read:
    """What is called with tensors once they are on the host, and for which probe; None for the engine."""

    then: Then
    tensors: Sequence[torch.Tensor]
    owner: str | None


@dataclass(frozen=True)
class _Copied:
    """The reads of a batch, their tensors on the host once all `events` have come to pass."""

    reads: Sequence[_Read]
    events: Sequence[Any]


class HostReads:
    """The results of a pass that are to be read, in the order in which they were asked for.

    Args:
        device: where the results are.
        later: whether to read them later; None to do so on an accelerator alone.

    Attributes:
        owner: name of the probe that asks at present, for the message of an error; None for the engine.
    """

    def __init__(self, device: torch.device, later: bool | None = None) -> None:
        self.owner: str | None = None
        self._later = device.type != "cpu" if later is None else later
        self._device = device
        self._streams = device.type in ("cuda", "xpu")  # others copy at once
        self._asked: list[_Read] = []
        self._meanwhile: list[Callable[[], None]] = []
        self._copied: deque[_Copied] = deque()
        self._is_reading = False

    def add(self, then: Then, tensors: Sequence[torch.Tensor]) -> None:
        """Have `then` called with the tensors as arrays, once they are on the host."""
        if self._later:
            self._asked.append(_Read(then, tensors, self.owner))
        else:
            read_now(then, *tensors)

    def meanwhile(self, call: Callable[[], None]) -> None:
        """Have something done that makes reads faster, once the device was asked for all of the batch."""
        if self._later:
            self._meanwhile.append(call)

    def end_batch(self) -> None:
        """Copy what a batch asked for to the host, and read what came before the last few batches."""
        if self._asked:
            self._copied.append(self._copy(self._asked))
        for call in self._meanwhile:
            call()
        self._asked, self._meanwhile = [], []
        while len(self._copied) > BATCHES_AHEAD:
            self._read_next()

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Read what is left where the block fails: states that are not finite may be known to be the cause only then.

        Raises:
            CheckpointError: of what was read, in place of the one of the block.
        """
        try:
            yield
        except CheckpointError:
            if not self._is_reading:
                self.finish()
            raise

    def finish(self) -> None:
        """Read all that is left, each batch while those after it are computed."""
        self.end_batch()
        while self._copied:
            self._read_next()

    def _read_next(self) -> None:
        self._is_reading = True
        batch = self._copied.popleft()
        for event in batch.events:
            if not event.query():
                event.synchronize()
        for read in batch.reads:
            with probe_errors(read.owner) if read.owner is not None else nullcontext():
                read_now(read.then, *read.tensors)
        self._is_reading = False

    def _copy(self, reads: Sequence[_Read]) -> _Copied:
        """Return the reads with their tensors copied to the host: one copy for all that are of one dtype."""
        import torch

        tensors = [tensor for read in reads for tensor in read.tensors]
        on_host: dict[int, torch.Tensor] = {}
        for kind in {(tensor.device, tensor.dtype) for tensor in tensors}:
            alike = [i for i, tensor in enumerate(tensors) if (tensor.device, tensor.dtype) == kind]
            packed = torch.cat([tensors[i].reshape(-1) for i in alike])
            pieces = torch.split(packed.to("cpu", non_blocking=self._streams), [tensors[i].numel() for i in alike])
            on_host |= {i: piece.view(tensors[i].shape) for i, piece in zip(alike, pieces, strict=True)}
        devices = {tensor.device for tensor in tensors if tensor.device.type == self._device.type}
        streams: Any = torch.get_device_module(self._device)  # of each device: a model may lie on several
        events = [streams.current_stream(device).record_event() for device in devices] if self._streams else []
        copied = iter(range(len(tensors)))
        return _Copied([_Read(r.then, [on_host[next(copied)] for _ in r.tensors], r.owner) for r in reads], events)
