"""Head spectra: the spectrum of the LM head as it is, of its centred rows, and with the final norm folded in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from degen.probes.spectrum import SHAPE_METRICS, Spectrum, shape_figures, triangle_values

from degen.arrays import Floats
from degen.errors import NotFiniteError
from degen.model.lm_head import Head
from degen.probe import HeadProbe
from degen.rank.head_factor import head_factor
from degen.rank.linear_algebra import MIN_SINGULAR
from degen.stats.spectral_figures import condition_number, directions_holding, spectral_gap
from degen.tables import Column, Metric, Row, Rows

if TYPE_CHECKING:
    import torch

SHARES = {"k90": 0.9, "k95": 0.95, "k99": 0.99}  # of the energy
MORE = (
    Column("condition_number", "float64", "", "σ₁/σ_d; infinite where the rank is below d"),
    Column("k90", "int64", "dimensions", "least k whose leading singular values hold 90 % of Σσ²"),
    Column("k95", "int64", "dimensions", "the same of 95 %"),
    Column("k99", "int64", "dimensions", "the same of 99 %"),
    Column("spectral_gap", "float64", "", "1 − σ₂/σ₁"),
)


class HeadSpectra(HeadProbe):
    """Figures of four spectra: of W, of its rows less their mean, of W·diag(γ), and of both at once."""

    measures = "spectra of the LM head: as it is, with centred rows, with the final norm folded in"
    cost = "a QR decomposition of the head, shared with the other probes of it, and an SVD of d × d for each spectrum"
    metrics = (
        *SHAPE_METRICS,
        Metric(
            ("condition_number",),
            formula="σ₁/σₙ, n = min(V, d)",
            source="Golub and Van Loan, Matrix Computations, 2.6",
            range="1 to infinity; σₙ below 1e-12·σ₁ counts as zero",
            high="some directions hardly move the logits",
            low="all directions move them alike",
            clashes="that of WᵀW, its square",
        ),
        Metric(
            ("k90", "k95", "k99"),
            formula="least k with Σ_{i≤k} σᵢ² ≥ 0.9 Σσ² (0.95, 0.99)",
            source="Jolliffe 2002, Principal Component Analysis, 6.1.1",
            range="1 to min(V, d)",
            high="the energy spreads over many directions",
            low="few directions hold it",
            clashes="the same of σ instead of σ²",
        ),
        Metric(
            ("spectral_gap",),
            formula="1 − σ₂/σ₁",
            source="degen; Golub and Van Loan, Matrix Computations, 7.3, for σ₂/σ₁",
            range="0 to 1",
            high="one direction stands out",
            low="the two leading directions are alike",
            clashes="σ₁ − σ₂; λ₁ − λ₂ of a graph or a Markov chain",
        ),
    )
    columns = {
        "head_spectra": (
            Column("variant", "string", "", "raw, centred, folded, or centred_folded", key=True),
            *Spectrum.columns["checkpoints"],
            *MORE,
            Column("reason", "string", "", "why a figure is missing; null where none is"),
        ),
    }

    def measure(self, head: Head) -> Rows:
        """Return rows by table: in `head_spectra` one for every variant.

        Formulas: centred (I − 11ᵀ/V)W, its rows less their mean; folded W·diag(γ), with γ the weight of the final norm.
        Of W = QR the spectrum of W·diag(γ) is that of R·diag(γ).
        """
        factor = head_factor(head)
        if factor is None:
            none = np.zeros(0)
            return {"head_spectra": [{"variant": v} | _figures(none, head) for v in ("raw", "centred")]}
        spectra = {"raw": factor.directions[0], "centred": factor.centred_directions[0]}
        rows = [{"variant": variant} | _figures(values, head) for variant, values in spectra.items()]
        triangles = {"raw": factor.raw, "centred": factor.centred}
        gamma = head.norm_weight
        for variant, R in triangles.items():
            row: Row = {"variant": "folded" if variant == "raw" else f"{variant}_folded"}
            if gamma is None:
                row["reason"] = "the weight of the final norm is not known by its name, or there is none"
            else:
                row |= _figures(_values(R * R.new_tensor(gamma), factor.rows), head)
            rows.append(row)
        return {"head_spectra": rows}


def _values(R: torch.Tensor, rows: int) -> Floats:
    """Return the singular values of a triangle: those of the V × d matrix that it stands for, min(V, d) of them."""
    return triangle_values(R)[: min(rows, R.shape[1])]


def _figures(values: Floats, head: Head) -> Row:
    """Return the columns of one spectrum."""
    if not np.isfinite(values).all():
        raise NotFiniteError(f"the {head.name} ({head.key}) holds values too large for its singular values in float64")
    row = shape_figures(values) | {
        "condition_number": condition_number(values, MIN_SINGULAR),
        "spectral_gap": spectral_gap(values),
        **{name: directions_holding(values, share) for name, share in SHARES.items()},
    }
    if row["condition_number"] == np.inf:
        rank = int((values > MIN_SINGULAR * values[0]).sum())
        row["reason"] = f"infinite condition number: the rank is {rank}, of {len(values)}"
    elif len(values) == 1:
        row["reason"] = "no spectral gap: there is one singular value alone"
    return row
