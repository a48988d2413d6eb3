"""What a probe is, and where probes are found.

A probe is one measure in one file. It declares what it needs and the columns it fills; the scan plans the cheapest
load that serves every probe asked for. Probes are found through the entry-point group `degen.probes`, ours beside
anybody else's.
"""

from __future__ import annotations

import difflib
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from .errors import CheckpointError, DegenError, one_line
from .head import Head
from .memory import is_out_of_memory
from .tables import Column, Rows
from .windows import Sample

if TYPE_CHECKING:
    import torch

GROUP = "degen.probes"

Need = Literal["head", "states", "losses"]


class Probe(ABC):
    """A measure of one checkpoint.

    Attributes:
        measures: what it measures, in one line.
        needs: `head` (the stored head matrix), `states` (hidden states), `losses` (the loss of every token).
        columns: the columns it fills, by table; `checkpoints`, `layers` and `windows` are the engine's, others its own.
        default: whether a scan measures it unasked.
    """

    measures: ClassVar[str]
    needs: ClassVar[frozenset[Need]]
    columns: ClassVar[Mapping[str, Sequence[Column]]]
    default: ClassVar[bool] = False


class HeadProbe(Probe):
    """A probe of the head's weights alone: no forward pass."""

    needs: ClassVar[frozenset[Need]] = frozenset({"head"})

    @abstractmethod
    def measure(self, head: Head) -> Rows:
        """The rows of one checkpoint, by table."""


@dataclass(frozen=True)
class Place:
    """Where states were taken: layer 0 `embedding`, 1…L `block`, L `head_input`."""

    layer: int
    site: Literal["embedding", "block", "head_input"]


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


class StreamProbe(Probe):
    """A probe of what flows through the model: an accumulator, one instance for one checkpoint.

    Its state may grow with the documents (documents × d) or the width (d²), never with the tokens times d.

    Args:
        sample: the windows that will come, each once, in an order of the engine's choosing.
    """

    def __init__(self, sample: Sample) -> None:
        self.sample = sample

    def update_states(self, batch: Batch, place: Place, states: torch.Tensor) -> None:
        """Take the states of a batch at one place, B × T × d in the model's dtype; do not keep them."""

    def update_losses(self, batch: Batch, losses: torch.Tensor, scored: torch.Tensor) -> None:
        """Take the loss of every token in nats, B × (T − 1) float32, of tokens 1…T−1; `scored` says which count."""

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Add what another instance has seen of other batches of the same sample."""

    @abstractmethod
    def finish(self) -> Rows:
        """The rows of one checkpoint, by table."""


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Say which probe it was that failed, where it does not say itself what is wrong with the checkpoint."""
    try:
        yield
    except DegenError:
        raise
    except Exception as error:  # a third party's probe fails in ways of its own
        if is_out_of_memory(error):
            raise
        raise CheckpointError(f"probe {name}: {one_line(error)}") from error


def installed() -> dict[str, EntryPoint]:
    """Every probe's entry point by name, in alphabetical order."""
    return {e.name: e for e in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def load_probes(names: Sequence[str] | None) -> dict[str, type[Probe]]:
    """Load the probes named; the default ones for None.

    Raises:
        DegenError: an unknown name, or a probe that cannot be imported.
    """
    there = installed()
    if names is None:
        return {name: probe for name, entry in there.items() if (probe := _usable(entry)) and probe.default}
    for name in names:
        if name not in there:
            close = difflib.get_close_matches(name, there, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(there)}"
            raise DegenError(f"no probe is called {name!r}{hint}")
    return {name: _load(there[name]) for name in sorted(set(names))}


def _usable(entry: EntryPoint) -> type[Probe] | None:
    """A probe that nobody asked for by name; a broken one stands in nobody's way."""
    try:
        return _load(entry)
    except DegenError as error:
        logging.getLogger("degen").warning("warning: %s; it is passed over", error)
        return None


def _load(entry: EntryPoint) -> type[Probe]:
    try:
        probe = entry.load()
    except Exception as error:  # whatever a third party's module does on import
        raise DegenError(f"probe {entry.name} ({entry.value}) cannot be imported: {one_line(error)}") from error
    if not (isinstance(probe, type) and issubclass(probe, HeadProbe | StreamProbe)):
        raise DegenError(f"probe {entry.name} ({entry.value}) is neither a HeadProbe nor a StreamProbe")
    return probe
