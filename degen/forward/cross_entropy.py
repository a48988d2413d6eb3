"""Next-token cross-entropy from states and head, without holding the logits of all tokens at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from degen.model.logit_transform import LogitTransform
from degen.placement.rows_on_demand import is_on_demand
from degen.probe import Indices

if TYPE_CHECKING:
    import torch

TILE_TOKENS = 1024
NESTED_TOKENS, NESTED_ROWS = 256, 4096  # two tiles of 4 MB: each rank goes over them again, and they stay in the cache
TILE_ROWS = 8192  # 1024 × 8192 float32 logits: 32 MB, the size at which the CPU's cache still helps
DEVICE_LOGITS = 1 << 26  # of a tile on an accelerator, whole rows of the vocabulary: 256 MB of float32


def token_losses(
    states: torch.Tensor, targets: torch.Tensor, head: Any, transform: LogitTransform, at: Indices | None = None
) -> torch.Tensor:
    """Return the cross-entropy of each token, computed over tiles of tokens × vocabulary.

    Formula: ℓᵢ = ln Σ_v exp(zᵢᵥ) − z_{i,yᵢ}, z = f(h Wᵀ + b). Logits are computed in the dtype of the model, as the
    model does, and summed in float32.

    Args:
        states: h, n × d, what the head receives; B × T × d with `at`.
        targets: y, n, ids of the next tokens.
        head: a linear module with `weight` (V × d) and perhaps `bias`.
        transform: f, the model's scale and cap.
        at: rows and columns of the n states; states are copied for one tile at a time.

    Returns:
        n losses in nats, float32.
    """
    if is_on_demand(head.weight):
        return fetched_losses(states, targets, head, transform, at)
    losses_of = tiled_losses if states.device.type == "cpu" else whole_row_losses
    return losses_of(states, targets, head, transform, at)


def whole_row_losses(
    states: torch.Tensor, targets: torch.Tensor, head: Any, transform: LogitTransform, at: Indices | None = None
) -> torch.Tensor:
    """Return what `token_losses` does, over tiles of whole rows of the vocabulary: few kernels for an accelerator."""
    import torch

    losses = torch.empty(len(targets), dtype=torch.float32, device=states.device)
    tokens = _whole_rows(len(head.weight))
    for first in range(0, len(targets), tokens):
        part = slice(first, first + tokens)
        z = transform(
            torch.nn.functional.linear(_taken(states, at, part), head.weight, getattr(head, "bias", None)).float()
        )
        losses[part] = torch.nn.functional.cross_entropy(z, targets[part], reduction="none")
    return losses


def _taken(states: torch.Tensor, at: Indices | None, part: slice) -> torch.Tensor:
    """Return some of the states, n × d: those of a part of the rows and columns, or of the states themselves."""
    return states[part] if at is None else states[at[0][part], at[1][part]]


def tiled_losses(
    states: torch.Tensor, targets: torch.Tensor, head: Any, transform: LogitTransform, at: Indices | None = None
) -> torch.Tensor:
    """Return what `token_losses` does, over tiles that stay in the cache of a CPU.

    A running maximum goes over the tiles of the vocabulary (Milakov and Gimelshein 2018, online softmax).
    """
    import torch

    weight, bias = head.weight, getattr(head, "bias", None)
    size = min(TILE_TOKENS, len(targets)) * min(TILE_ROWS, len(weight))
    tile = torch.empty(size, dtype=torch.float32, device=states.device)
    losses = torch.empty(len(targets), dtype=torch.float32, device=states.device)
    for first in range(0, len(targets), TILE_TOKENS):
        part = slice(first, first + TILE_TOKENS)
        h, y = _taken(states, at, part), targets[part]
        total = _OnlineSum(y)
        for row in range(0, len(weight), TILE_ROWS):
            W = weight[row : row + TILE_ROWS]
            z = transform(_logits(h, W, None if bias is None else bias[row : row + TILE_ROWS], tile))
            total.add(z, row, z)
        losses[part] = total.losses()
    return losses


def fetched_losses(
    states: torch.Tensor, targets: torch.Tensor, head: Any, transform: LogitTransform, at: Indices | None = None
) -> torch.Tensor:
    """Return what `tiled_losses` does, to the bit, and fetch each block of the head's rows once for all tokens."""
    import torch

    parts = [slice(first, first + TILE_TOKENS) for first in range(0, len(targets), TILE_TOKENS)]
    sums = [_OnlineSum(targets[part]) for part in parts]
    size = min(TILE_TOKENS, len(targets)) * min(TILE_ROWS, len(head.weight))
    tile = torch.empty(size, dtype=torch.float32, device=states.device)
    bias = None if head.bias is None else head.bias[:]
    for row in range(0, len(head.weight), TILE_ROWS):
        W, b = head.weight[row : row + TILE_ROWS], None if bias is None else bias[row : row + TILE_ROWS]
        for part, total in zip(parts, sums, strict=True):
            z = transform(_logits(_taken(states, at, part), W, b, tile))
            total.add(z, row, z)
    return torch.cat([total.losses() for total in sums]) if sums else tile.new_empty(0)


def nested_token_losses(
    coefficients: torch.Tensor,
    factor: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    ranks: Sequence[int],
    transform: LogitTransform,
) -> torch.Tensor:
    """Return the cross-entropy of each token under the first r columns of a factored head, for several r at once.

    Formula: ℓᵢᵣ = ln Σ_v exp(zᵢᵥ) − z_{i,yᵢ}, z = f(c[:, :r] U[:, :r]ᵀ + b). Each rank adds its columns to the logits
    of the rank before it. So all ranks together take the matrix products of the largest one, and each of them one sum
    of exponentials; the cap is applied for every rank.

    Args:
        coefficients: c, n × ρ float32.
        factor: U, V × ρ float32.
        bias: b, V; None without one.
        targets: y, n, ids of the next tokens.
        ranks: K of them, ascending, each at most ρ.
        transform: f, the model's scale and cap.

    Returns:
        n × K losses in nats, float32.
    """
    import torch

    losses = coefficients.new_empty(len(coefficients), len(ranks))
    tokens, rows = _nested_tile(coefficients.device, len(factor))
    work = coefficients.new_empty(2, min(tokens, len(coefficients)) * min(rows, len(factor)))
    for first in range(0, len(coefficients), tokens):
        c, y = coefficients[first : first + tokens], targets[first : first + tokens]
        sums = [_OnlineSum(y) for _ in ranks]
        for row in range(0, len(factor), rows):
            U = factor[row : row + rows]
            z, copy = (w[: len(c) * len(U)].view(len(c), len(U)) for w in work)
            z.copy_(bias[row : row + rows].expand_as(z)) if bias is not None else z.zero_()
            done = 0
            for rank, total in zip(ranks, sums, strict=True):
                z.addmm_(c[:, done:rank], U[:, done:rank].t())
                total.add(z if transform.is_identity else transform(copy.copy_(z)), row, copy)
                done = rank
        losses[first : first + tokens] = torch.stack([total.losses() for total in sums], dim=1)
    return losses


def _nested_tile(device: torch.device, rows: int) -> tuple[int, int]:
    """Return the tokens and the rows of a tile for a head of so many rows: whole ones on an accelerator."""
    return (NESTED_TOKENS, NESTED_ROWS) if device.type == "cpu" else (_whole_rows(rows), rows)


def _whole_rows(rows: int) -> int:
    """Return the tokens of a tile of whole rows of the vocabulary, whole blocks of a matrix product where it can be."""
    tokens = max(DEVICE_LOGITS // rows, 1)
    return tokens // 128 * 128 if tokens > 128 else tokens


class _OnlineSum:
    """The sum ln Σ exp(z) − z_y over the tiles of a vocabulary, with a running maximum (Milakov, Gimelshein 2018)."""

    def __init__(self, targets: torch.Tensor) -> None:
        import torch

        self._targets = targets
        self._top = torch.full(targets.shape, -torch.inf, device=targets.device)
        self._total = torch.zeros_like(self._top)
        self._chosen = torch.zeros_like(self._top)

    def add(self, z: torch.Tensor, first: int, work: torch.Tensor) -> None:
        """Add a tile of logits.

        Args:
            z: the logits, n × rows of the tile.
            first: the head's row with which the tile begins.
            work: memory of the same shape, which is overwritten; may be `z` itself.
        """
        import torch

        local = self._targets - first
        inside = (local >= 0) & (local < z.shape[1])
        picked = z.gather(1, local.clamp(0, z.shape[1] - 1).unsqueeze(1)).squeeze(1)
        self._chosen = torch.where(inside, picked, self._chosen)
        top = torch.maximum(self._top, z.amax(dim=1))
        exponentials = torch.sub(z, top.unsqueeze(1), out=work).exp_()
        self._total = self._total * (self._top - top).exp() + exponentials.sum(dim=1)
        self._top = top

    def losses(self) -> torch.Tensor:
        """Return the loss of every token."""
        return self._top + self._total.log() - self._chosen


def _logits(h: torch.Tensor, W: torch.Tensor, bias: torch.Tensor | None, tile: torch.Tensor) -> torch.Tensor:
    """Return h Wᵀ + b as float32 in the memory of `tile`."""
    import torch

    z = tile[: len(h) * len(W)].view(len(h), len(W))
    if h.dtype == torch.float32:
        torch.mm(h, W.t(), out=z)
        return z if bias is None else z.add_(bias)
    return z.copy_(torch.nn.functional.linear(h, W, bias))
