"""An update beside the matrix that it changes: where its directions lie, and which of the sum's are new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from degen.device import gram

from .matrices import Matrix, Transposed, finite
from .spectra import Decomposition

if TYPE_CHECKING:
    import torch

CHECKED = 10  # leading singular vectors of W + ΔW that may be intruders
SIMILAR = 0.5  # the |cosine| with every singular vector of W below which one is
MIN_SINGULAR = 1e-7  # of σ₁; of a Gram matrix smaller singular values are rounding


@dataclass(frozen=True)
class AgainstBase:
    """An update ΔW beside W, both n × m.

    Attributes:
        base_norm: ‖W‖_F.
        relative_norm: ‖ΔW‖_F/‖W‖_F; None where W is zero.
        leading: k, how many leading directions are compared, min(k90, 16).
        overlap_output: φ = ‖U_Δᵀ U_W‖²_F/k of the leading k left singular vectors; None where there are none.
        overlap_input: the same of the right ones.
        amplification: ‖U_Δᵀ ΔW V_Δ‖_F/‖U_Δᵀ W V_Δ‖_F, of the leading k directions of ΔW.
        intruders: how many of the leading 10 left singular vectors of W + ΔW are intruders.
        intruder_similarity: the smallest max_i |cos(y_j, x_i)| among these.
    """

    base_norm: float
    relative_norm: float | None
    leading: int
    overlap_output: float | None
    overlap_input: float | None
    amplification: float | None
    intruders: int | None
    intruder_similarity: float | None


def compare_with_base(base: Matrix, update: Matrix, spectrum: Decomposition) -> AgainstBase:
    """Return where an update lies beside the matrix that it changes.

    Formulas: overlap of subspaces and amplification as in Hu et al. 2021 (arXiv 2106.09685, section 7), the latter
    with ΔW reduced to its leading directions on both sides; a left singular vector y_j of W + ΔW is an intruder
    dimension where |cos(y_j, x_i)| < 0.5 for every left singular vector x_i of W (Shuttleworth et al. 2024, arXiv
    2410.21228).

    Method: the Gram matrices WᵀW, (W + ΔW)ᵀ(W + ΔW) and (W + ΔW)ᵀW of the shorter side, summed up in one pass over the
    rows; a matrix with fewer rows than columns is held in memory for that.

    Args:
        base: W.
        update: ΔW, of the same shape.
        spectrum: of ΔW.

    Raises:
        NotFiniteError: one of the matrices holds NaN or infinity.
    """
    wide = base.shape[0] < base.shape[1]
    k = min(spectrum.k90, spectrum.left.shape[1])
    left, right = spectrum.left[:, :k], spectrum.right[:, :k]
    if wide:
        sums = _GramSums(Transposed(base), Transposed(update), right)
        left, right = right, left
    else:
        sums = _GramSums(base, update, left)
    base_norm = float(sums.base.trace().clamp(min=0).sqrt())
    values, basis = _eigen(sums.base)
    short = min(k, len(values))
    far = far_side = amplification = None
    if short:  # of the longer side U_W = W V_W/σ, so that U_Δᵀ U_W is (U_Δᵀ W) V_W/σ
        far = float((sums.projected @ basis[:, :short] / values[:short]).square().sum()) / k
        far_side = float((right.T @ basis[:, :short]).square().sum()) / k
        passed = float((sums.projected @ right).norm())
        amplification = float(_leading_norm(spectrum, k)) / passed if passed > 0 else None
    intruders, similarity = _intruders(sums, values, basis, wide) if spectrum.any else (0, None)
    return AgainstBase(
        base_norm=base_norm, relative_norm=spectrum.norm / base_norm if base_norm > 0 else None, leading=k,
        overlap_output=far_side if wide else far, overlap_input=far if wide else far_side,
        amplification=amplification, intruders=intruders, intruder_similarity=similarity,
    )  # fmt: skip


def _leading_norm(spectrum: Decomposition, k: int) -> float:
    """Return the Frobenius norm of what the leading k directions of an update make up, sqrt(Σ_{i≤k} σᵢ²)."""
    return float((spectrum.values[:k] ** 2).sum() ** 0.5)


class _GramSums:
    """What one pass over the rows of W and W + ΔW sums up; their rows are the longer side.

    Attributes:
        base: WᵀW.
        tuned: (W + ΔW)ᵀ(W + ΔW).
        crossed: (W + ΔW)ᵀW.
        projected: U_ΔᵀW, k × m.
    """

    def __init__(self, base: Matrix, update: Matrix, left: torch.Tensor) -> None:
        import torch

        m = base.shape[1]
        self.base, self.tuned, self.crossed = (torch.zeros(m, m, dtype=torch.float64) for _ in range(3))
        self.projected = torch.zeros(left.shape[1], m, dtype=torch.float64)
        for (first, last, block), (_, _, change) in zip(base.blocks(), update.blocks(), strict=True):
            changed = finite(block + change)
            self.base += gram(block)
            self.tuned += gram(changed)
            self.crossed.addmm_(changed.T, block)
            self.projected.addmm_(left[first:last].T, block)


def _eigen(gram: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the singular values above rounding, descending, and the right singular vectors, given the Gram matrix."""
    import torch

    energies, vectors = torch.linalg.eigh(gram)
    values = energies.clamp(min=0).sqrt().flip(0)
    kept = int((values > MIN_SINGULAR * values[:1]).sum())
    return values[:kept], vectors.flip(1)[:, :kept]


def _intruders(
    sums: _GramSums, values: torch.Tensor, basis: torch.Tensor, wide: bool
) -> tuple[int | None, float | None]:
    """Return how many leading left singular vectors of W + ΔW resemble none of W, and the smallest resemblance.

    Args:
        sums: of the pass; for a wide W of the transposes, whose right singular vectors are W's left ones.
        values: σ of W.
        basis: right singular vectors of the longer side's matrix, m × ρ.
        wide: whether the transposes were summed up.
    """
    tuned, vectors = _eigen(sums.tuned)
    count = min(CHECKED, len(tuned))
    if not count or not len(values):
        return None, None
    if wide:
        cosines = vectors[:, :count].T @ basis
    else:  # y_j = (W + ΔW) v_j/τ_j and x_i = W v_i/σ_i
        cosines = (vectors[:, :count].T @ sums.crossed @ basis) / (tuned[:count, None] * values)
    resemblance = cosines.abs().max(dim=1).values.clamp(max=1.0)
    return int((resemblance < SIMILAR).sum()), float(resemblance.min())
