"""Probes that call the loaded model itself: for attention weights, or with weights of their own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from degen.text.windows import Sample, Window

from .arrays import Floats
from .probe import Need, Probe
from .tables import Rows

if TYPE_CHECKING:
    import torch


class LoadedModel(Protocol):
    """A frozen model and what can be had of it.

    Attributes:
        model: a causal LM of transformers, in evaluation mode on its device.
        device: where it is.
        layers: how many blocks it has.
        batch_tokens: the most tokens of a call.
    """

    model: Any
    device: torch.device
    layers: int
    batch_tokens: int

    def losses(self, windows: Sequence[Window]) -> Floats:
        """Return the summed loss of each window in nats, float64; the first token of a window is not scored."""

    def attentions(self, ids: torch.Tensor) -> Iterator[tuple[int | None, torch.Tensor]]:
        """Yield the attention weights of each attention in order.

        Args:
            ids: token ids, B × T.

        Yields:
            The layer, from 1 (None where it cannot be told), and B × heads × T × T: a row for each query.

        Raises:
            CheckpointError: the model gives no attention weights.
        """

    def replaced(self, parameters: Mapping[str, torch.Tensor]) -> AbstractContextManager[None]:
        """Give parameters other values while the block lasts, and their own ones, to the bit, behind it."""


class ModelProbe(Probe):
    """A probe that calls the loaded model itself, after the pass that all stream probes share.

    Where it fails, the figures of the others stay, and its reason is in the row of the checkpoint.

    Attributes:
        copies: how many copies of all parameters it holds at once.

    Args:
        sample: the windows of the scan.
        options: those that the user set for this probe, by name.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"model"})
    copies: ClassVar[int] = 0

    def __init__(self, sample: Sample, **_options: Any) -> None:
        self.sample = sample

    @abstractmethod
    def measure(self, model: LoadedModel) -> Rows:
        """Return the rows of one checkpoint by table.

        Raises:
            CheckpointError: it cannot be measured.
        """

    @classmethod
    def forward_tokens(cls, **_options: Any) -> int:
        """Return how many tokens it sends through the model at most, for `--dry-run`."""
        return 0
