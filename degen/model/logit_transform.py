"""What a model does to logits after its head: a scale, then a cap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class LogitTransform:
    """What the model does to logits after its head: a scale, then a cap.

    Formula: z ↦ cap · tanh(s·z / cap), with s = 1 and no cap for most models.

    Attributes:
        scale: s.
        cap: None where there is none.
    """

    scale: float = 1.0
    cap: float | None = None

    @property
    def is_identity(self) -> bool:
        """Whether logits stay as they are."""
        return self.scale == 1.0 and self.cap is None

    def slope(self, transformed: torch.Tensor) -> torch.Tensor | float:
        """Return the derivative of the transform, s·(1 − (f/cap)²), given its value f."""
        if self.cap is None:
            return self.scale
        return self.scale * (1 - (transformed / self.cap).square())

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Transform logits in place and return them."""
        if self.scale != 1.0:
            logits.mul_(self.scale)
        if self.cap is not None:
            logits.div_(self.cap).tanh_().mul_(self.cap)
        return logits
