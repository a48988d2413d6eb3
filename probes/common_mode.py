"""Common mode: how much of the states is one vector that all share, and the mean cosine without it."""

from __future__ import annotations

import numpy as np
from degen.probes.anisotropy import mean_cosine

from degen.arrays import Floats
from degen.probe import Site
from degen.states.chosen_rows import Reservoir
from degen.states.moments import COST, Moments, SiteMoments
from degen.states.reasons import constant, rounding_alone, unmeasurable
from degen.states.shared_states import StateProbe
from degen.tables import Column, Metric, Row


def mean_vector_share(moments: SiteMoments) -> float:
    """Return ‖μ‖² / E‖h‖², the share of the states' energy that is their mean: 0 for centred states, 1 for equal ones.

    Source: Mu and Viswanath 2018 (arXiv 1702.01417), who take the mean away.
    """
    return float(moments.mean @ moments.mean) / moments.energy


def common_mode_energy(moments: SiteMoments) -> float | None:
    """Return E⟨h, μ̂⟩² / E‖h‖², the share of the energy along the direction μ̂ = μ/‖μ‖ of the mean, variance included.

    Returns:
        At least `mean_vector_share`, at most 1; None where the mean is zero.

    Source: Mu and Viswanath 2018 (arXiv 1702.01417).
    """
    length = float(np.linalg.norm(moments.mean))
    if length == 0:
        return None
    direction = moments.mean / length
    along = moments.second_moment.cpu().numpy() @ direction
    return float(direction @ along) / moments.energy


def centred_cosine(states: Floats, mean: Floats) -> float | None:
    """Return the mean of cos(hᵢ − μ, hⱼ − μ) over all i ≠ j, without those equal to μ; None for fewer than two others.

    Args:
        states: h, n × d.
        mean: μ, d.

    Source: Mu and Viswanath 2018 (arXiv 1702.01417), who take the mean away.
    """
    centred = states - mean
    norms = np.linalg.norm(centred, axis=1)
    moved = norms > np.finfo(np.float64).eps * len(mean) * np.linalg.norm(states, axis=1)
    unit_sum = (centred[moved] / norms[moved, None]).sum(axis=0)
    value = float(mean_cosine(float(unit_sum @ unit_sum), float(moved.sum())))
    return None if np.isnan(value) else value


class CommonMode(StateProbe):
    """The share of the mean vector in the states, and their mean cosine once it is subtracted."""

    measures = "share of the mean vector in the states, and the mean cosine without it, at every layer"
    accumulators = (Moments, Reservoir)
    cost = f"{COST}; 2,000 states of each"
    metrics = (
        Metric(
            ("mean_vector_share",),
            formula="‖μ‖² / E‖h‖², μ the mean state",
            source="Mu and Viswanath 2018 (arXiv 1702.01417)",
            range="0 to 1",
            high="all states share one vector",
            low="the states lie around the origin",
            clashes="anisotropy, which is about the same where all states are of one length",
        ),
        Metric(
            ("common_mode_energy",),
            formula="E⟨h, μ/‖μ‖⟩² / E‖h‖²",
            source="Mu and Viswanath 2018 (arXiv 1702.01417)",
            range="mean_vector_share to 1",
            high="states and their variance lie along the mean",
            low="little lies along the mean",
            clashes="the share of the first singular direction, which need not be that of the mean",
        ),
        Metric(
            ("centred_cosine",),
            formula="mean of cos(hᵢ − μ, hⱼ − μ) over i ≠ j, of 2,000 positions",
            source="Mu and Viswanath 2018 (arXiv 1702.01417), who take the mean away",
            range="−1/(n − 1) to 1",
            high="clusters or long vectors to one side, which the mean does not explain",
            low="nothing but the mean made the cosines high",
            clashes="anisotropy after removing further directions (all-but-the-top)",
        ),
    )
    columns = {
        "layers": (
            Column("mean_vector_share", "float64", "", "‖μ‖² / mean ‖h‖², μ the mean state"),
            Column("common_mode_energy", "float64", "", "mean ⟨h, μ/‖μ‖⟩² / mean ‖h‖²"),
            Column("centred_cosine", "float64", "cosine",
                   "mean cos(hᵢ − μ, hⱼ − μ) over all i ≠ j of 2,000 positions, μ of all positions"),
        )
    }  # fmt: skip

    def layer_row(self, site: Site, domain: int | None = None) -> Row:
        """Return the columns of table `layers` for one site, of the states of all or of one domain."""
        moments = self.shared.get(Moments).of(site, domain)
        if (reason := unmeasurable(moments)) is not None:
            return {"reason": reason}
        row: Row = {"mean_vector_share": mean_vector_share(moments), "common_mode_energy": common_mode_energy(moments)}
        if (reason := constant(moments)) is not None:
            return row | {"reason": reason}
        return row | {
            "centred_cosine": centred_cosine(self.shared.get(Reservoir).states(site, domain), moments.mean),
            "reason": rounding_alone(moments.mean, moments.variances, self.unit(site)),
        }
