"""Spectrum of the LM head: its singular values, and their divergence from a flat spectrum."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats
from degen.device import OutOfMemoryError, memory_errors
from degen.errors import NotFiniteError
from degen.model.lm_head import Head
from degen.probe import HeadProbe
from degen.rank.linear_algebra import device_factor, head_triangle
from degen.stats.spectral_figures import (
    any_above_zero,
    effective_rank,
    entropy_from_flat,
    squares,
    stable_rank,
    top_share,
)
from degen.tables import Column, Metric, Row, Rows

if TYPE_CHECKING:
    import torch


SHAPE_METRICS = (
    Metric(
        ("singular_entropy",),
        formula="KL(p‖uniform) = ln min(V, d) − H(p), p = σ²/Σσ²",
        source="Godey et al. 2024 (arXiv 2404.07647), figure 5",
        range="0 to ln min(V, d); d/(2V) for a Gaussian head of V × d",
        high="few directions carry the head: its spectrum is degenerate",
        low="all directions carry it alike: a flat spectrum",
        clashes="the entropy H(p) itself, which falls where this rises; the same of p = σ/Σσ",
    ),
    Metric(
        ("singular_entropy_sigma",),
        formula="KL(p‖uniform) = ln min(V, d) − H(p), p = σ/Σσ",
        source="Godey et al. 2024 (arXiv 2404.07647), by its formula",
        range="0 to ln min(V, d); d/(8V) for a Gaussian head of V × d",
        high="few directions carry the head",
        low="a flat spectrum",
        clashes="singular_entropy, of p = σ²/Σσ²",
    ),
    Metric(
        ("effective_rank",),
        formula="exp(H(p)), p = σ/Σσ",
        source="Roy and Vetterli 2007",
        range="1 to min(V, d)",
        high="many directions carry the head",
        low="few directions carry it",
        clashes="exp(H(λ/Σλ)) of eigenvalues λ = σ², by the same name in later papers; RankMe; the stable rank; "
        "(Σλ)²/Σλ²",
    ),
    Metric(
        ("stable_rank",),
        formula="Σσ²/σ₁² = ‖W‖²_F/‖W‖²₂",
        source="Rudelson and Vershynin 2007",
        range="1 to min(V, d)",
        high="no direction stands out",
        low="one direction holds most of the energy",
        clashes="numerical rank, which counts; Σσ/σ₁, intrinsic dimension of a matrix",
    ),
    Metric(
        ("top_singular_share",),
        formula="σ₁²/Σσ², the inverse of the stable rank",
        source="degen; of centred vectors the explained variance of the first direction",
        range="1/min(V, d) to 1",
        high="one direction holds most of the energy",
        low="no direction stands out",
        clashes="σ₁/Σσ; called anisotropy in other papers",
    ),
)
VALUE_METRIC = Metric(
    ("singular_value",),
    formula="σᵢ of the used rows of W, descending",
    source="Golub and Van Loan, Matrix Computations, 8.6",
    range="0 to infinity",
    high="a direction that moves the logits much",
    low="a direction that they ignore",
    clashes="eigenvalues σ² of WᵀW",
)


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

    triangle = head_triangle(blocks)
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


class Spectrum(HeadProbe):
    """Singular values of the used rows of the head in float64, their entropies and ranks."""

    measures = "singular values of the LM head, their entropy, effective and stable rank"
    default = True
    cost = "a QR decomposition of the head, 2Vd² FLOPs, once a checkpoint; memory: a block of rows and d × d numbers"
    metrics = (*SHAPE_METRICS, VALUE_METRIC)
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
        return {"checkpoints": [shape_figures(values)], "spectrum": spectrum}


def shape_figures(values: Floats) -> Row:
    """Return the columns of table `checkpoints` for descending singular values.

    Where none of them is above zero, every column is None, and `reason` says why.
    """
    if not any_above_zero(values):
        state = "holds zeros alone" if len(values) else "has no row that the tokenizer uses"
        names = [column.name for column in Spectrum.columns["checkpoints"]]
        return dict.fromkeys(names) | {"reason": f"no spectrum: the LM head {state}"}
    return {
        "singular_entropy": entropy_from_flat(squares(values)),
        "singular_entropy_sigma": entropy_from_flat(values),
        "effective_rank": effective_rank(values),
        "stable_rank": stable_rank(values),
        "top_singular_share": top_share(values),
    }
