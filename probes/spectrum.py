"""Spectrum of the LM head: its singular values, and their divergence from a flat spectrum."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats
from degen.device import OutOfMemoryError, memory_errors
from degen.errors import NotFiniteError
from degen.model.lm_head import Head
from degen.probe import HeadProbe
from degen.rank.linear_algebra import device_factor, triangular_factor
from degen.stats.entropy import effective_rank, shannon_entropy
from degen.tables import Column, Row, Rows

if TYPE_CHECKING:
    import torch


def singular_values(blocks: Iterable[torch.Tensor]) -> Floats:
    """Return the singular values of a tall matrix that comes in blocks of rows, descending.

    Formula: W = QR, so σ(W) = σ(R).

    Args:
        blocks: rows of W in order, each n × d float64.

    Returns:
        min(V, d) singular values, float64.

    Source: Golub and Van Loan, Matrix Computations, 8.6.
    """
    import torch

    triangle = triangular_factor(blocks)
    if triangle is None:
        return np.zeros(0)
    values: Floats = torch.linalg.svdvals(triangle).numpy()
    return values


def singular_values_of(head: Head) -> Floats:
    """Return the singular values of the used rows of a head, descending; computed on its device where it has one.

    Raises:
        NotFiniteError: a row holds NaN or infinity.
    """
    if head.device is not None:
        with suppress(OutOfMemoryError), memory_errors():  # then on the CPU, a block at a time
            if (pieces := head.pieces()) is not None:
                return triangle_values(device_factor(pieces))
    return singular_values(head.blocks())


def triangle_values(R: torch.Tensor) -> Floats:
    """Return the singular values of a triangle, descending, computed where it is.

    By bidiagonal QR on a CUDA device, which takes Jacobi's rotations unless it is told: those take twice as long for
    large triangles, and are off by 1e-13 of the largest.
    """
    import torch

    driver = "gesvd" if R.device.type == "cuda" else None
    values: Floats = torch.linalg.svdvals(R, driver=driver).cpu().numpy()
    return values


def entropy_from_flat(weights: Floats) -> float:
    """Return the divergence of a spectrum from a flat one: KL(p‖uniform) = ln d − H(p), with p = w/Σw.

    Args:
        weights: non-negative, shape (d,): σ² for `singular_entropy`, σ for `singular_entropy_sigma`.

    Returns:
        Nats: 0 for a flat spectrum, ln d for one direction; NaN where all weights are zero.

    Source: Godey et al. 2024 (arXiv 2404.07647), figure 5, for p = σ²/Σσ².
    """
    return math.log(len(weights)) - shannon_entropy(weights)


class Spectrum(HeadProbe):
    """Singular values of the used rows of the head in float64, their entropies and ranks."""

    measures = "singular values of the LM head, their entropy, effective and stable rank"
    default = True
    columns = {
        "checkpoints": (
            Column("singular_entropy", "float64", "nats", "KL(p‖uniform), p = σ²/Σσ²: 0 flat, ln d one direction",
                   summary=True),
            Column("singular_entropy_sigma", "float64", "nats", "KL(p‖uniform), p = σ/Σσ"),
            Column("effective_rank", "float64", "dimensions", "exp(H(p)), p = σ/Σσ", summary=True),
            Column("stable_rank", "float64", "dimensions", "Σσ²/σ₁²"),
            Column("top_singular_share", "float64", "", "σ₁²/Σσ²"),
        ),
        "spectrum": (
            Column("index", "int64", "", "0 for the largest singular value", key=True),
            Column("singular_value", "float64", "", "singular value of the head's used rows"),
        ),
    }  # fmt: skip

    def measure(self, head: Head) -> Rows:
        """Return rows by table: the singular values of the head in `spectrum`, entropies and ranks in `checkpoints`.

        Formulas: p = σ²/Σσ² and p = σ/Σσ; effective rank exp(H(σ/Σσ)) (Roy and Vetterli 2007); stable rank Σσ²/σ₁²
        (Rudelson and Vershynin 2007).
        """
        values = singular_values_of(head)
        if not np.isfinite(values).all():
            raise NotFiniteError(f"the LM head ({head.key}) holds values too large for its singular values in float64")
        spectrum = [{"index": i, "singular_value": float(v)} for i, v in enumerate(values)]
        return {"checkpoints": [_figures(values)], "spectrum": spectrum}


def _figures(values: Floats) -> Row:
    """Return the columns of table `checkpoints` for descending singular values.

    Where none of them is above zero, every column is None, and `reason` says why.
    """
    names = [column.name for column in Spectrum.columns["checkpoints"]]
    if not values.any():
        state = "holds zeros alone" if len(values) else "has no row that the tokenizer uses"
        return dict.fromkeys(names) | {"reason": f"no spectrum: the LM head {state}"}
    scale = 1.0 if 1e-150 < values[0] < 1e150 else values[0]  # squares of others are no float64; all shares are alike
    energy = (values / scale) ** 2
    top, total = float(energy[0]), float(energy.sum())
    entropies = entropy_from_flat(energy), entropy_from_flat(values)
    return dict(zip(names, (*entropies, effective_rank(values), total / top, top / total), strict=True))
