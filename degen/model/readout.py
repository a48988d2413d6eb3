"""What a model does to states between its last block and its LM head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Readout:
    """What a model does to states between its last block and its LM head: a final norm, perhaps a projection.

    Attributes:
        modules: that are called one after the other; none where the head receives what the last block puts out.
        reason: why it could not be found; None where it was.
    """

    modules: tuple[Any, ...] = ()
    reason: str | None = None

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Return what the head would receive if the last block put these states out, … × d_head."""
        for module in self.modules:
            states = module(states)
        return states
