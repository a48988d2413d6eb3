"""Spectrum of the states: their effective rank by two definitions, matrix entropy, and the first direction."""

from __future__ import annotations

import numpy as np

from degen.probe import Site
from degen.states.moments import COST, Moments
from degen.states.reasons import constant, few_positions, joined, rounding_alone, unmeasurable
from degen.states.shared_states import StateProbe
from degen.stats.entropy import shannon_entropy
from degen.stats.spectral_figures import effective_rank
from degen.tables import Column, Metric, Row


class StateSpectrum(StateProbe):
    """Figures of the singular values of the states and of the eigenvalues of their covariance, from all positions."""

    measures = "effective rank of the states at every layer by two definitions, matrix entropy, first direction's share"
    accumulators = (Moments,)
    cost = COST
    metrics = (
        Metric(
            ("effective_rank_states",),
            formula="exp(H(σ/Σσ)), σ of the uncentred states",
            source="Roy and Vetterli 2007; of all positions it is RankMe of Garrido et al. 2023 without its ε",
            range="1 to d",
            high="many directions of like size",
            low="few directions, perhaps the mean alone",
            clashes="effective_rank, which is of the head's weights; effective_rank_covariance",
        ),
        Metric(
            ("effective_rank_covariance",),
            formula="exp(H(λ/Σλ)), λ of the covariance",
            source="Li et al. 2025 (arXiv 2509.23024)",
            range="1 to d",
            high="the variance is spread over many directions",
            low="few directions hold the variance",
            clashes="effective_rank_states: papers call both effective rank and RankMe, and this one is the smaller",
        ),
        Metric(
            ("matrix_entropy",),
            formula="H(σ²/Σσ²) of the uncentred states, nats",
            source="Giraldo et al. 2014; Skean et al. 2025 (arXiv 2502.02013)",
            range="0 to ln d",
            high="many directions of like energy",
            low="one direction holds the energy, perhaps the mean",
            clashes="the same of single prompts, or of states of length 1; entropy of attention",
        ),
        Metric(
            ("first_direction_variance",),
            formula="λ₁/Σλ of the covariance = σ₁²/Σσ² of the centred states",
            source="Razzhigaev et al. 2024 (arXiv 2311.05928)",
            range="1/d to 1",
            high="one direction holds the variance",
            low="no direction stands out",
            clashes="anisotropy, as its authors call it; here that is the mean cosine",
        ),
    )
    columns = {
        "layers": (
            Column("effective_rank_states", "float64", "dimensions",
                   "exp(H(σ/Σσ)), σ the singular values of the uncentred states"),
            Column("effective_rank_covariance", "float64", "dimensions",
                   "exp(H(λ/Σλ)), λ the eigenvalues of their covariance"),
            Column("matrix_entropy", "float64", "nats", "H(σ²/Σσ²) of the uncentred states"),
            Column("first_direction_variance", "float64", "",
                   "λ₁/Σλ of the covariance, which is σ₁²/Σσ² of the centred states"),
        )
    }  # fmt: skip

    def layer_row(self, site: Site, domain: int | None = None) -> Row:
        """Return the columns of table `layers` for one site, of the states of all or of one domain.

        Source: effective rank: Roy and Vetterli 2007; of eigenvalues: Li et al. 2025 (arXiv 2509.23024); matrix
        entropy: Giraldo et al. 2014 for α → 1, of hidden states Skean et al. 2025 (arXiv 2502.02013); share of the
        first direction: Razzhigaev et al. 2024 (arXiv 2311.05928), who call it anisotropy.
        """
        moments = self.shared.get(Moments).of(site, domain)
        if (reason := unmeasurable(moments)) is not None:
            return {"reason": reason}
        squares = moments.second_moment_eigenvalues
        row: Row = {
            "effective_rank_states": effective_rank(np.sqrt(squares)),
            "matrix_entropy": shannon_entropy(squares),
            "reason": few_positions(moments.count, moments.width),
        }
        if (reason := constant(moments)) is not None:
            return row | {"reason": reason}
        variances = moments.covariance_eigenvalues
        return row | {
            "effective_rank_covariance": effective_rank(variances),
            "first_direction_variance": float(variances[0] / variances.sum()),
            "reason": joined([row["reason"], rounding_alone(moments.mean, moments.variances, self.unit(site))]),
        }
