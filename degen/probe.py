"""What a probe is, and where probes are found.

A probe is one measure in one file. It declares what it needs and the columns it fills; the scan plans the cheapest
load that serves every probe asked for. Probes are found through the entry-point group `degen.probes`, ours beside
anybody else's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

import numpy as np

from degen.model.architecture import LogitTransform
from degen.model.lm_head import Head
from degen.text.windows import Sample, Window

from .device import is_out_of_memory
from .errors import CheckpointError, DegenError, one_line
from .tables import Column, Rows

if TYPE_CHECKING:
    from pathlib import Path

    import torch


OnProgress = Callable[[str, int, int], None]
Need = Literal["head", "states", "head_input", "losses"]


class Probe(ABC):
    """A measure of one checkpoint.

    Attributes:
        measures: what it measures, in one line.
        needs: `head` (the stored head matrix), `states` (hidden states at every site), `head_input` (those the head
            receives), `losses` (the loss of every token).
        columns: the columns it fills, by table; `checkpoints`, `layers` and `windows` are the engine's, others its own.
        default: whether a scan measures it unasked.
    """

    measures: ClassVar[str]
    needs: ClassVar[frozenset[Need]]
    columns: ClassVar[Mapping[str, Sequence[Column]]]
    default: ClassVar[bool] = False

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Refuse options that make no sense, before anything is measured; a probe without options takes none.

        Raises:
            DegenError: an option is unknown, or its value is.
        """
        for name in options:
            raise DegenError(f"probe {cls.__name__.lower()} has no option {name!r}")


class HeadProbe(Probe):
    """A probe of the head's weights alone: no forward pass."""

    needs: ClassVar[frozenset[Need]] = frozenset({"head"})

    @abstractmethod
    def measure(self, head: Head) -> Rows:
        """Return the rows of one checkpoint, by table."""


@dataclass(frozen=True)
class OutputHead:
    """The head of a loaded model: logits = f(h Wᵀ + b).

    Attributes:
        weight: W, V × d, on the device and in the dtype of the model.
        bias: b, V; None without one.
        transform: f, what the model does to logits afterwards, in place.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    transform: LogitTransform


@dataclass(frozen=True)
class Site:
    """Where states were taken: layer 0 `embedding`, 1…L `block`, L `head_input`.

    Attributes:
        layer: blocks before it, 0…L.
        name: which of the three.
    """

    layer: int
    name: Literal["embedding", "block", "head_input"]


@dataclass(frozen=True)
class Batch:
    """Some windows on their way through the model.

    Attributes:
        ids: token ids, B × T, on the device; 0 behind the end of a short window.
        mask: B × T, true where there is a token; None where every window is T long.
        windows: index of each row's window in the sample, B.
        documents: index of each row's document among the sample's documents, B.
    """

    ids: torch.Tensor
    mask: torch.Tensor | None
    windows: np.ndarray[Any, np.dtype[np.int64]]
    documents: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Scored:
    """The scored tokens of some windows.

    Attributes:
        states: h, N × d float32, what the head receives where each of them is predicted.
        targets: y, N, their ids.
        windows: place among the windows asked for that each of them is of, N.
    """

    states: torch.Tensor
    targets: torch.Tensor
    windows: torch.Tensor


class HeadInputs(Protocol):
    """What the head of a frozen model receives, of any windows.

    Attributes:
        device: where the model is.
    """

    device: torch.device

    def of(self, windows: Sequence[Window]) -> Iterator[Scored]:
        """Return the scored tokens of these windows, a batch at a time."""


class StreamProbe(Probe):
    """A probe of what flows through the model: an accumulator, one instance for one checkpoint.

    Its state may grow with the documents (documents × d) or the width (d²), never with the tokens times d.

    Attributes:
        halves: whether all windows of `sample.first_half` must come before the others.
        trains: whether `train` is to be called; an instance may say so by its options.

    Args:
        sample: the windows that will come, each once, in an order of the engine's choosing.
        options: what the user set for this probe by name; a probe without options takes none.
    """

    halves: ClassVar[bool] = False
    trains: bool = False

    def __init__(self, sample: Sample, **_options: Any) -> None:
        self.sample = sample

    def begin(self, head: OutputHead) -> None:
        """Begin a pass over a model that has this head."""

    def update_states(self, batch: Batch, site: Site, states: torch.Tensor) -> None:
        """Take the states of a batch at one site, B × T × d in the model's dtype; do not keep them."""

    def update_losses(self, batch: Batch, losses: torch.Tensor, scored: torch.Tensor) -> None:
        """Take the loss of every token in nats, B × (T − 1) float32, of tokens 1…T−1; `scored` says which count."""

    def train(self, inputs: HeadInputs, windows: Iterator[Window], folder: Path, on_progress: OnProgress) -> None:
        """Train once the sample has passed, on more states of the frozen model.

        Args:
            inputs: what the head receives, of any windows.
            windows: to train on, without end; none of the sample's second half.
            folder: of this checkpoint's own, in which to keep what a continued run goes on from.
            on_progress: called with the losses as text, tokens trained and tokens to train.
        """

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Add what another instance has seen of other batches of the same sample."""

    @abstractmethod
    def finish(self) -> Rows:
        """Return the rows of one checkpoint, by table."""


@contextmanager
def probe_errors(name: str) -> Iterator[None]:
    """Name the probe in the error of the block, unless it says itself what is wrong with the checkpoint.

    Raises:
        CheckpointError: the block met an error that is none of ours; out of memory passes as it is.
    """
    try:
        yield
    except DegenError:
        raise
    except Exception as error:  # a third party's probe fails in ways of its own
        if is_out_of_memory(error):
            raise
        raise CheckpointError(f"probe {name}: {one_line(error)}") from error
