"""Heads of every rank in closed form, `svd` and `whitened`: half of the documents gathers C, the other evaluates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from degen.device import as_float64, factor_device, gram
from degen.forward.cross_entropy import nested_token_losses
from degen.probe import Indices, OutputHead

from .nested_head import NestedHead, nested_heads

if TYPE_CHECKING:
    import torch

CLOSED = ("svd", "whitened")


class ClosedForm:
    """The closed forms of one head, from the states it receives.

    `gather` sums C = E[h hᵀ]; `factor` makes the heads from it, once; `losses` evaluates them.

    Args:
        head: the full head.
        ranks: the ranks to evaluate, ascending.
        methods: the methods to evaluate, some of `CLOSED`.
        others: methods that are not evaluated, but whose factors the caller needs.
    """

    def __init__(
        self, head: OutputHead, ranks: Sequence[int], methods: Sequence[str], others: Sequence[str] = ()
    ) -> None:
        import torch

        width = head.weight.shape[1]
        self.methods = tuple(methods)
        self._head = head
        self._ranks = ranks
        self._factored = (*self.methods, *(m for m in others if m not in self.methods))
        device = factor_device(head.weight.device)
        self._moment = torch.zeros(width, width, dtype=torch.float64, device=device)  # Σ h hᵀ
        self._count = 0
        self._heads: dict[str, NestedHead] | None = None

    @property
    def is_factored(self) -> bool:
        """Whether `factor` has made the heads; after that no more states can be gathered."""
        return self._heads is not None

    def gather(self, states: torch.Tensor, at: torch.Tensor | Indices | None) -> None:
        """Add the states of a batch to the second moment.

        Args:
            states: B × T × d.
            at: rows and columns of the tokens, or a mask of B × T; None where there is a token everywhere.
        """
        flat = as_float64(states if at is None else states[at]).reshape(-1, states.shape[-1])
        self._moment += gram(flat)
        self._count += len(flat)

    def merge(self, other: ClosedForm) -> None:
        """Add the states that another instance gathered.

        Raises:
            ValueError: one of the two has made its heads already.
        """
        if self.is_factored or other.is_factored:
            raise ValueError("one of the two has made its heads already: merge before `factor` is called")
        self._moment += other._moment.to(self._moment.device)
        self._count += other._count

    def factor(self) -> None:
        """Make the heads of all ranks from the gathered states; a second call does nothing.

        Raises:
            CheckpointError: the weights of the full head are all zero, or not finite.
        """
        if self._heads is None:
            C = self._moment / max(self._count, 1)
            heads = nested_heads(self._head, C, self._factored) if self._factored else []
            self._heads = {head.method: head for head in heads}

    def nested(self, method: str) -> NestedHead:
        """Return the nested head of a method, which holds the heads of all ranks; `factor` must be called before."""
        assert self._heads is not None  # `factor` comes first
        return self._heads[method]

    @property
    def basis(self) -> torch.Tensor:
        """An orthonormal basis of the columns of W, V × ρ float32."""
        return self.nested(self._factored[0]).factor

    def losses(self, states: torch.Tensor, targets: torch.Tensor) -> list[torch.Tensor]:
        """Return the loss of N tokens at K ranks in nats, a list with an N × K float32 tensor for each method.

        Args:
            states: h, N × d float32.
            targets: y, the ids of the tokens to predict, shape (N,).
        """
        bias = None if self._head.bias is None else self._head.bias.float()
        losses = []
        for method in self.methods:
            nested = self.nested(method)
            ranks = [min(rank, nested.map.shape[1]) for rank in self._ranks]
            coefficients = states @ nested.map
            losses.append(nested_token_losses(coefficients, nested.factor, bias, targets, ranks, self._head.transform))
        return losses
