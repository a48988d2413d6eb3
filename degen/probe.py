"""The base classes of probes, and the types that probes receive.

A probe is one measure in one file. It declares what it needs, and no more is loaded; and the columns that it fills.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

import numpy as np

from degen.arrays import Ints
from degen.checkpoints.source import Source
from degen.model.architecture import Architecture
from degen.model.lm_head import Head
from degen.model.logit_transform import LogitTransform
from degen.model.readout import Readout
from degen.text.windows import Sample, Window

from .device import is_out_of_memory
from .errors import DegenError, ProbeError, one_line
from .tables import Column, Metric, Rows

if TYPE_CHECKING:
    from pathlib import Path

    import torch


OnProgress = Callable[[str, int, int], None]
Need = Literal["head", "tensors", "states", "head_input", "losses", "readout", "model", "counts"]
Indices = tuple["torch.Tensor", "torch.Tensor"]  # rows and columns, on the device


class Probe(ABC):
    """A measure of one checkpoint.

    Attributes:
        measures: what it measures, in one line.
        needs: `head` (the stored head matrix), `tensors` (all stored tensors), `states` (hidden states at every
            site), `head_input` (those the head receives), `losses` (the loss of every token), `readout` (what lies
            between the last block and the head), `model` (the loaded model itself), `counts` (how often each token is
            in the sample).
        columns: the columns it fills, by table; `checkpoints`, `layers` and `windows` are the engine's, others its own.
        metrics: what its columns are and mean: formula, source, range, high and low, names that clash; may be left out.
        cost: what it takes, in time and memory; empty where it does not say.
        default: whether a scan measures it without `--probes`; where such a one fails, the checkpoint does.
        whole_numbers: the names of its options whose value is a whole number above zero, which `check` looks at.
        few_documents: the number of documents below which a scan warns, and what so few do to its figures; or None.
    """

    measures: ClassVar[str]
    needs: ClassVar[frozenset[Need]]
    columns: ClassVar[Mapping[str, Sequence[Column]]]
    metrics: ClassVar[Sequence[Metric]] = ()
    cost: ClassVar[str] = ""
    default: ClassVar[bool] = False
    whole_numbers: ClassVar[tuple[str, ...]] = ()
    few_documents: ClassVar[tuple[int, str] | None] = None

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Check the options that a user set for this probe, before anything is measured: those of `whole_numbers`.

        Raises:
            DegenError: an option is unknown, or its value is wrong.
        """
        for name, value in options.items():
            if name not in cls.whole_numbers:
                hint = f"; its option is {', '.join(cls.whole_numbers)}" if cls.whole_numbers else ""
                raise DegenError(f"probe {cls.__name__.lower()} has no option {name!r}{hint}")
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise DegenError(f"{name} of probe {cls.__name__.lower()}: {value!r} is no whole number above zero")

    @classmethod
    def stored_bytes(cls, shape: Architecture, **_options: Any) -> int:
        """Return the bytes that it keeps of a checkpoint beside figures, for `--dry-run`."""
        return 0


class HeadProbe(Probe):
    """A probe of the head's weights alone: no forward pass.

    Attributes:
        counts: how often each id is among the scored tokens of the sample, one number for each row of the head, unused
            ones included. None without text, and for a probe that does not need `counts`.

    Args:
        options: those that the user set for this probe, by name.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"head"})
    counts: Ints | None = None

    def __init__(self, **_options: Any) -> None:
        super().__init__()

    @abstractmethod
    def measure(self, head: Head) -> Rows:
        """Return the rows of one checkpoint by table, given its head."""


class SourceProbe(Probe):
    """A probe of what is stored of a checkpoint, of its adapter and of the first checkpoint: no forward pass."""

    needs: ClassVar[frozenset[Need]] = frozenset({"tensors"})
    ids: frozenset[int] | None = None  # of the tokenizer, where there is one
    counts_of: Callable[[int], Ints | None] | None = None  # of each id below a number, where `counts` are needed

    @abstractmethod
    def measure(self, source: Source, first: Source) -> Rows:
        """Return the rows of one checkpoint by table.

        Args:
            source: where its files are; tensors are read from there, by byte ranges.
            first: the same of the first checkpoint of its series, which may be the same one.
        """


@dataclass(frozen=True)
class OutputHead:
    """The head of a loaded model: logits = f(h Wᵀ + b).

    Attributes:
        weight: W, V × d, on the device and in the dtype of the model.
        bias: b, V; None without one.
        transform: f, what the model does to the logits, in place.
        readout: what lies between the last block and the head; None where no probe needs it.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    transform: LogitTransform
    readout: Readout | None = None


@dataclass(frozen=True)
class Site:
    """Where in the model states were taken: layer 0 `embedding`, 1…L `block`, L `head_input`.

    Attributes:
        layer: blocks before it, 0…L.
        name: which of the three.
    """

    layer: int
    name: Literal["embedding", "block", "head_input"]


class Reads(Protocol):
    """Results of a device, read while it goes on with the next batch; see `degen.forward.host_reads`."""

    def add(self, then: Callable[..., None], tensors: Sequence[torch.Tensor]) -> None:
        """Have `then` called with the tensors as arrays, once they are on the host."""

    def meanwhile(self, call: Callable[[], None]) -> None:
        """Have something done that makes reads faster, once the device was asked for all of the batch."""


@dataclass(frozen=True)
class Batch:
    """Some windows that go through the model together.

    Attributes:
        ids: token ids, B × T, on the device; 0 behind the end of a short window.
        mask: B × T, true where there is a token; None where every window is T long.
        windows: index of each row's window in the sample, B.
        documents: index of each row's document among the sample's documents, B.
        tokens: how many there are without padding; None to count those of `mask`.
        token_indices: the rows and columns of all tokens; None for those of `mask`.
        scored_indices: the rows and columns, in `ids[:, 1:]`, of the tokens that are scored; None for those of `mask`.
        reads: where results are read later; None to read them at once.
        lengths: how many tokens each row has, B, on the host; None to count those of `mask`.
        first: position in its window of the first column; above 0 where the first positions are left out.
    """

    ids: torch.Tensor
    mask: torch.Tensor | None
    windows: Ints
    documents: Ints
    tokens: int | None = None
    token_indices: Indices | None = None
    scored_indices: Indices | None = None
    reads: Reads | None = None
    lengths: Ints | None = None
    first: int = 0

    @cached_property
    def row_lengths(self) -> Ints:
        """How many tokens each row has, B, without padding."""
        if self.lengths is not None:
            return self.lengths
        if self.mask is None:
            return np.full(len(self.windows), self.ids.shape[1], dtype=np.int64)
        lengths: Ints = self.mask.sum(dim=1).cpu().numpy()
        return lengths

    @property
    def token_count(self) -> int:
        """How many tokens there are, without padding."""
        if self.tokens is not None:
            return self.tokens
        return int(self.ids.numel() if self.mask is None else self.mask.sum())

    @cached_property
    def scored(self) -> torch.Tensor:
        """Which tokens of `ids[:, 1:]` are scored, B × (T − 1): all that are no padding."""
        import torch

        return torch.ones_like(self.ids[:, 1:], dtype=torch.bool) if self.mask is None else self.mask[:, 1:]

    @property
    def at(self) -> Indices:
        """Rows and columns of all tokens, which select what a mask would without having it counted first."""
        import torch

        if self.token_indices is not None:
            return self.token_indices
        mask = torch.ones_like(self.ids, dtype=torch.bool) if self.mask is None else self.mask
        rows, columns = mask.nonzero(as_tuple=True)
        return rows, columns

    @property
    def scored_at(self) -> Indices:
        """Rows and columns of the scored tokens in `ids[:, 1:]`; the states that predict them are at the same ones."""
        if self.scored_indices is not None:
            return self.scored_indices
        rows, columns = self.scored.nonzero(as_tuple=True)
        return rows, columns

    def read(self, then: Callable[..., None], *tensors: torch.Tensor) -> None:
        """Call `then` with tensors as NumPy arrays: at once on a CPU, and later on an accelerator.

        An accelerator that is read from stops until it has done all it was asked to; so what `then` adds up is known
        only when `merge` and `finish` are called.
        """
        if self.reads is None:
            read_now(then, *tensors)
        else:
            self.reads.add(then, tensors)

    def meanwhile(self, call: Callable[[], None]) -> None:
        """Call what makes reads faster while an accelerator is busy with this batch; do nothing on a CPU."""
        if self.reads is not None:
            self.reads.meanwhile(call)


def read_now(then: Callable[..., None], *tensors: torch.Tensor) -> None:
    """Call `then` with tensors as NumPy arrays."""
    then(*(tensor.cpu().numpy() for tensor in tensors))


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
        flops: of a token in the forward pass; 0 where unknown.
    """

    device: torch.device
    flops: float

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
        ProbeError: the block met an error. Errors of degen's own and out of memory are raised as they are.
    """
    try:
        yield
    except DegenError:
        raise
    except Exception as error:  # a third party's probe may raise errors of any class
        if is_out_of_memory(error):
            raise
        raise ProbeError(f"probe {name}: {one_line(error)}") from error
