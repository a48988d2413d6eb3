"""The base classes of probes, and the types that probes receive.

A probe is one measure in one file. It declares what it needs and the columns it fills; a scan loads no more of a
checkpoint than its probes need. `degen.probe_registry` finds probes through
the entry-point group `degen.probes`, ours and others'.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

import numpy as np

from degen.model.lm_head import Head
from degen.model.logit_transform import LogitTransform
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
        default: whether a scan measures it without `--probes`.
    """

    measures: ClassVar[str]
    needs: ClassVar[frozenset[Need]]
    columns: ClassVar[Mapping[str, Sequence[Column]]]
    default: ClassVar[bool] = False

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Check the options that a user set for this probe, before anything is measured; by default there are none.

        Raises:
            DegenError: an option is unknown, or its value is wrong.
        """
        for name in options:
            raise DegenError(f"probe {cls.__name__.lower()} has no option {name!r}")


class HeadProbe(Probe):
    """A probe of the head's weights alone: no forward pass."""

    needs: ClassVar[frozenset[Need]] = frozenset({"head"})

    @abstractmethod
    def measure(self, head: Head) -> Rows:
        """Return the rows of one checkpoint by table, given its head."""


@dataclass(frozen=True)
class OutputHead:
    """The head of a loaded model: logits = f(h Wᵀ + b).

    Attributes:
        weight: W, V × d, on the device and in the dtype of the model.
        bias: b, V; None without one.
        transform: f, what the model does to the logits, in place.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    transform: LogitTransform


@dataclass(frozen=True)
class Site:
    """Where in the model states were taken: layer 0 `embedding`, 1…L `block`, L `head_input`.

    Attributes:
        layer: blocks before it, 0…L.
        name: which of the three.
    """

    layer: int
    name: Literal["embedding", "block", "head_input"]


@dataclass(frozen=True)
class Batch:
    """Some windows that go through the model together.

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
        states: h, n × d float32, what the head receives where each token is predicted.
        targets: y, n, ids of the tokens.
        windows: n, for each token the index of its window.
    """

    states: torch.Tensor
    targets: torch.Tensor
    windows: torch.Tensor


class HeadInputs(Protocol):
    """The states that the head of a frozen model receives, for any windows.

    Attributes:
        device: where the model is.
    """

    device: torch.device

    def of(self, windows: Sequence[Window]) -> Iterator[Scored]:
        """Return the scored tokens of some windows, a batch at a time."""


class StreamProbe(Probe):
    """A probe of states or losses: it accumulates over batches, with one instance for one checkpoint.

    Its memory may grow with the documents (documents × d) or the width (d²), never with the tokens times d.

    Attributes:
        halves: whether the windows of `sample.in_fit_half` must come before all others.
        trains: whether `train` is called; an instance may set it by its options.

    Args:
        sample: the windows that will come, each once, in any order.
        options: those that the user set for this probe, by name.
    """

    halves: ClassVar[bool] = False
    trains: bool = False

    def __init__(self, sample: Sample, **_options: Any) -> None:
        self.sample = sample

    def begin(self, head: OutputHead) -> None:
        """Prepare for a pass over a model with this head."""

    def update_states(self, batch: Batch, site: Site, states: torch.Tensor) -> None:
        """Add the states of a batch at one site, B × T × d in the model's dtype, which must not be kept."""

    def update_losses(self, batch: Batch, losses: torch.Tensor, scored: torch.Tensor) -> None:
        """Add the loss of tokens 1…T−1 in nats, B × (T − 1) float32; `scored` is true for those that count."""

    def train(self, inputs: HeadInputs, windows: Iterator[Window], folder: Path, on_progress: OnProgress) -> None:
        """Train on more states of the frozen model, once all batches of the sample are done.

        Args:
            inputs: give the states before the head, for any windows.
            windows: to train on, without end, none of them from the half of the sample that evaluates.
            folder: for files from which an interrupted run continues; no other checkpoint uses it.
            on_progress: called with the losses as text, tokens trained and tokens to train.
        """

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Add the accumulated state of another instance, which got other batches of the same sample."""

    @abstractmethod
    def finish(self) -> Rows:
        """Return the rows of one checkpoint, by table."""


@contextmanager
def probe_errors(name: str) -> Iterator[None]:
    """Turn an error in the block into one that names the probe.

    Raises:
        CheckpointError: the block met an error. Errors of degen's own and out of memory are raised as they are.
    """
    try:
        yield
    except DegenError:
        raise
    except Exception as error:  # a third party's probe may raise errors of any class
        if is_out_of_memory(error):
            raise
        raise CheckpointError(f"probe {name}: {one_line(error)}") from error
