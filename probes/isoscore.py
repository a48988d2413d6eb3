"""IsoScore: how evenly the variance of the states is spread over the dimensions."""

from __future__ import annotations

import math

import numpy as np

from degen.arrays import Floats
from degen.probe import Site
from degen.states.moments import COST, Moments
from degen.states.reasons import constant, few_positions, joined, rounding_alone, unmeasurable
from degen.states.shared_states import StateProbe
from degen.tables import Column, Metric, Row


def isoscore(eigenvalues: Floats) -> float | None:
    """Return the IsoScore of a covariance: 0 for one direction, 1 where all d have the same variance.

    With Λ̂ = √d · λ/‖λ‖, the isotropy defect is δ = ‖Λ̂ − 1‖ / √(2(d − √d)), the dimensions used are
    k = (d − δ²(d − √d))² / d, and IsoScore is (k − 1)/(d − 1). It equals (P − 1)/(d − 1), P the participation ratio.

    Args:
        eigenvalues: λ of the covariance, d of them.

    Returns:
        In [0, 1]; None for one dimension or a covariance of zero.

    Source: Rudman et al. 2022, IsoScore (arXiv 2108.07344), algorithm 1.
    """
    d, length = len(eigenvalues), float(np.linalg.norm(eigenvalues))
    if d < 2 or length == 0:
        return None
    normalised = math.sqrt(d) * eigenvalues / length
    defect = float(np.linalg.norm(normalised - 1)) / math.sqrt(2 * (d - math.sqrt(d)))
    used = (d - defect**2 * (d - math.sqrt(d))) ** 2 / d
    return (used - 1) / (d - 1)


class IsoScore(StateProbe):
    """The IsoScore of the states of every site, from all positions."""

    measures = "IsoScore of the states at every layer: how evenly their variance is spread over the dimensions"
    accumulators = (Moments,)
    cost = COST
    metrics = (
        Metric(
            ("isoscore",),
            formula="(k − 1)/(d − 1), k = (d − δ²(d − √d))²/d = (Σλ)²/Σλ², λ of the covariance, δ its defect",
            source="Rudman et al. 2022 (arXiv 2108.07344)",
            range="0 to 1",
            high="the variance is spread evenly over the dimensions",
            low="few directions hold the variance, or positions are too few",
            clashes="isotropy by cosines, which a shared mean alone can spoil; IsoScore*, which shrinks the covariance",
        ),
    )
    columns = {
        "layers": (
            Column("isoscore", "float64", "",
                   "IsoScore of the covariance: 0 one direction, 1 all alike; too low for few positions, see reason"),
        )
    }  # fmt: skip

    def layer_row(self, site: Site, domain: int | None = None) -> Row:
        """Return the columns of table `layers` for one site, of the states of all or of one domain."""
        moments = self.shared.get(Moments).of(site, domain)
        if (reason := unmeasurable(moments) or constant(moments)) is not None:
            return {"reason": reason}
        value = isoscore(moments.covariance_eigenvalues)
        if value is None:
            return {"isoscore": None, "reason": "one dimension has no isoscore"}
        few = few_positions(moments.count, moments.width)
        return {
            "isoscore": value,
            "reason": joined([few, rounding_alone(moments.mean, moments.variances, self.unit(site))]),
        }
