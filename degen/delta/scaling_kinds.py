"""Adapters whose update depends on the weights that it changes, row by row: DoRA, IA³, OFT, and whole parameters.

| kind | W + ΔW | source |
| --- | --- | --- |
| DoRA | m ∘ (W + sBA)/‖W + sBA‖, by row (output) | Liu et al. 2024, arXiv 2402.09353 |
| IA³ | diag(l) W, in feed-forward modules W diag(l) | Liu et al. 2022, arXiv 2205.05638 |
| OFT | W Rᵀ, R of orthogonal blocks on the diagonal | Qiu et al. 2023, arXiv 2306.07280 |

None of them is of low rank, so their rows are computed when they are needed, and no more than a block of them is held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from degen.errors import CheckpointError

from .factored_kinds import Settings, number
from .matrices import Matrix, ReadRows

if TYPE_CHECKING:
    import torch

TERMS = 5  # of the Neumann series of OFT by default


def dora(base: Matrix, product: Matrix, magnitude: torch.Tensor, module: str) -> Matrix:
    """Return m ∘ (W + sBA)/‖W + sBA‖_row − W of DoRA.

    Args:
        base: W, n × m.
        product: sBA.
        magnitude: m, n values.
        module: for messages.

    Raises:
        CheckpointError: there is another number of magnitudes than of rows.
    """
    magnitudes = magnitude.flatten()
    if len(magnitudes) != base.shape[0]:
        raise CheckpointError(f"{module}: {len(magnitudes)} magnitudes of DoRA, and {base.shape[0]} rows of W")

    def rows(first: int, last: int) -> torch.Tensor:
        weight = base.rows(first, last)
        moved = weight + product.rows(first, last)
        scaled: torch.Tensor = magnitudes[first:last, None] * moved / moved.norm(dim=1, keepdim=True)
        return scaled - weight

    return ReadRows(base.shape, rows)


def ia3(base: Matrix, scales: torch.Tensor, module: str) -> Matrix:
    """Return (l − 1) ∘ W of IA³, by row where l is a column and by column where it is a row.

    Raises:
        CheckpointError: l fits neither the rows nor the columns of W.
    """
    if scales.shape == (base.shape[0], 1):
        return ReadRows(base.shape, lambda i, j: (scales[i:j] - 1) * base.rows(i, j))
    if scales.shape == (1, base.shape[1]):
        return ReadRows(base.shape, lambda i, j: base.rows(i, j) * (scales - 1))
    raise CheckpointError(f"{module}: the scales of IA³ fit neither the rows nor the columns of W")


def oft(base: Matrix, skew: torch.Tensor, settings: Settings, module: str) -> Matrix:
    """Return W(Rᵀ − I) of OFT, R = diag(R₁, …) of blocks by the Cayley transform of skew-symmetric ones.

    Args:
        base: W, n × m.
        skew: the entries above the diagonal of each block, blocks × b(b − 1)/2; one block where all share it.
        settings: the configuration.
        module: for messages.

    Raises:
        CheckpointError: the blocks do not fill the input.
    """
    import torch

    size = round((1 + (1 + 8 * skew.shape[1]) ** 0.5) / 2) if skew.dim() == 2 else 0
    shared = bool(settings.get("block_share"))
    if size < 2 or base.shape[1] % size or (not shared and len(skew) * size != base.shape[1]):
        raise CheckpointError(f"{module}: the blocks of OFT do not fill the {base.shape[1]} inputs of W")
    rotation = rotations(skew, size, settings)
    change = rotation - torch.eye(size, dtype=torch.float64)
    if len(change) == 1:
        change = change.expand(base.shape[1] // size, size, size)

    def rows(first: int, last: int) -> torch.Tensor:
        blocks = base.rows(first, last).reshape(last - first, -1, size)
        return torch.einsum("nbj,bij->nbi", blocks, change).flatten(1)

    return ReadRows(base.shape, rows)


def rotations(skew: torch.Tensor, size: int, settings: Settings) -> torch.Tensor:
    """Return the blocks R = (I − S)(I + S)⁻¹ of OFT, or their Neumann series, as its configuration says.

    Formula of the series of t terms: I + 2S + 2S² + … + 2Sᵗ⁻² + Sᵗ⁻¹. With `coft`, S is first shortened to a Frobenius
    norm of `eps`/√blocks.

    Args:
        skew: the entries above the diagonal, blocks × b(b − 1)/2.
        size: b.
        settings: the configuration.

    Returns:
        blocks × b × b, float64.
    """
    import torch

    S = torch.zeros(len(skew), size, size, dtype=torch.float64)
    rows, columns = torch.triu_indices(size, size, 1)
    S[:, rows, columns] = skew
    S = S - S.transpose(1, 2)
    if settings.get("coft"):
        longest = number(settings, "eps", 6e-5) / len(S) ** 0.5
        norms = S.norm(dim=(1, 2), keepdim=True)
        S = torch.where(norms <= longest, S, S * (longest / norms.clamp(min=1e-300)))
    identity = torch.eye(size, dtype=torch.float64)
    if not settings.get("use_cayley_neumann", True):
        solved: torch.Tensor = torch.linalg.solve(identity + S, identity - S, left=False)
        return solved
    terms = int(number(settings, "num_cayley_neumann_terms", TERMS))
    if not 1 <= terms <= 100:
        raise CheckpointError(f"num_cayley_neumann_terms is {terms}, and must be 1 to 100")
    terms = 4 if terms == 3 else terms  # as PEFT sums them up
    R, power = identity.expand_as(S).clone(), identity.expand_as(S)
    for term in range(1, terms):
        power = power @ S
        R = R + (1 if term == terms - 1 and terms > 2 else 2) * power
    return R


def replaced(base: Matrix, new: Matrix) -> Matrix:
    """Return the difference of a parameter that is stored whole from the base's."""
    return ReadRows(base.shape, lambda i, j: new.rows(i, j) - base.rows(i, j))


def tokens(base: Matrix, rows: torch.Tensor, indices: list[int]) -> Matrix:
    """Return the difference of trained rows of an embedding from the base's; all others are zero.

    Args:
        base: W, V × d.
        rows: the new rows, one for each index.
        indices: ids of the tokens.

    Raises:
        CheckpointError: they do not fit each other.
    """
    import torch

    if (
        len(set(indices)) != len(rows)
        or rows.shape[1:] != base.shape[1:]
        or not all(0 <= i < base.shape[0] for i in indices)
    ):
        raise CheckpointError("the trained tokens of the adapter do not fit the embedding of the base")
    where = torch.tensor(indices)

    def read(first: int, last: int) -> torch.Tensor:
        change = torch.zeros(last - first, base.shape[1], dtype=torch.float64)
        inside = (where >= first) & (where < last)
        if inside.any():
            weight = base.rows(first, last)
            at = where[inside] - first
            change[at] = rows[inside] - weight[at]
        return change

    return ReadRows(base.shape, read)
