"""Participation ratio: how many dimensions the variance of the states takes, and without the bias of few samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from degen.probe import Site
from degen.states.moments import COST, Moments, SiteMoments
from degen.states.reasons import constant, few_positions, joined, rounding_alone, unmeasurable
from degen.states.shared_states import StateProbe
from degen.stats.spectral_figures import participation_ratio
from degen.tables import Column, Metric, Row

if TYPE_CHECKING:
    import torch

FEWEST = 4  # positions, of which a sum over four different ones needs as many


def corrected_participation_ratio(moments: SiteMoments) -> float | None:
    """Return the ratio of unbiased estimates of (tr Σ)² and tr Σ², Σ the covariance of independent states.

    With S the covariance by n − 1, s = tr S and Q = Σ‖h − μ‖⁴/(n − 1), and c = (n − 1)/(n(n − 2)(n − 3)):
    (tr Σ)² ≈ c·(2 tr S² + (n² − 3n + 1) s² − nQ), tr Σ² ≈ c·((n − 1)(n − 2) tr S² + s² − nQ). Both equal averages over
    all quadruples of different states: of ‖h₁ − h₂‖²‖h₃ − h₄‖²/4, and of ⟨h₁ − h₂, h₃ − h₄⟩²/4.

    Returns:
        1 or more but for chance, above d where chance has it; None for fewer than 4 states, or where the estimate of
        tr Σ² is not above zero.

    Source: Himeno and Yamada 2014, Estimations for some functions of covariance matrix in high dimension under
    non-normality; Chun et al. 2025 (arXiv 2509.26560) correct the participation ratio by such averages.
    """
    n = moments.count
    if n < FEWEST:
        return None
    scale = n / (n - 1)
    trace = scale * float(moments.covariance_eigenvalues.sum())
    square = scale**2 * float(moments.covariance_eigenvalues @ moments.covariance_eigenvalues)
    fourth = centred_fourth(moments) / (n - 1)
    of_trace = 2 * square + (n * n - 3 * n + 1) * trace**2 - n * fourth
    of_square = (n - 1) * (n - 2) * square + trace**2 - n * fourth
    return of_trace / of_square if of_square > 0 else None


def centred_fourth(moments: SiteMoments) -> float:
    """Return Σ ‖h − μ‖⁴, from Σ ‖y‖⁴, Σ ‖y‖² y, Σ y yᵀ and the mean of y = h − c."""
    mean: torch.Tensor = moments.from_origin
    length = float(mean @ mean)
    value = (
        float(moments.square_sum)
        + 4 * float(mean @ moments.products @ mean)
        - 4 * float(moments.weighted_sum @ mean)
        + 2 * moments.count * moments.square_from_origin * length
        - 3 * moments.count * length**2
    )
    return max(value, 0.0)


class ParticipationRatio(StateProbe):
    """The participation ratio of the covariance of the states of every site, from all positions."""

    measures = "participation ratio of the states at every layer, plain and without the bias of few samples"
    accumulators = (Moments,)
    cost = COST
    metrics = (
        Metric(
            ("participation_ratio",),
            formula="(Σλ)²/Σλ² of the covariance's eigenvalues",
            source="Gao et al. 2017, A theory of multineuronal dimensionality",
            range="1 to d, and to n − 1",
            high="the variance is spread over many directions",
            low="few directions hold it, or positions are too few",
            clashes="effective rank, which takes entropy of order 1 in place of 2; the ratio of the uncentred spectrum",
        ),
        Metric(
            ("participation_ratio_corrected",),
            formula="unbiased (tr Σ)² over unbiased tr Σ², of independent positions",
            source="Himeno and Yamada 2014; Chun et al. 2025 (arXiv 2509.26560)",
            range="about 1 to d, above it by chance",
            high="the variance is spread over many directions",
            low="few directions hold it, however few the positions",
            clashes="corrections for few dimensions (columns), which are all here",
        ),
    )
    columns = {
        "layers": (
            Column("participation_ratio", "float64", "dimensions", "(Σλ)²/Σλ² of the covariance's eigenvalues"),
            Column("participation_ratio_corrected", "float64", "dimensions",
                   "the same of unbiased estimates of (Σλ)² and Σλ², as if positions were independent"),
        )
    }  # fmt: skip

    def layer_row(self, site: Site, domain: int | None = None) -> Row:
        """Return the columns of table `layers` for one site, of the states of all or of one domain."""
        moments = self.shared.get(Moments).of(site, domain)
        if (reason := unmeasurable(moments) or constant(moments)) is not None:
            return {"reason": reason}
        corrected = corrected_participation_ratio(moments)
        few = few_positions(moments.count, moments.width)
        if corrected is None:
            few = f"{moments.count} positions are too few for a corrected participation ratio"
        return {
            "participation_ratio": participation_ratio(moments.covariance_eigenvalues),
            "participation_ratio_corrected": corrected,
            "reason": joined([few, rounding_alone(moments.mean, moments.variances, self.unit(site))]),
        }
