"""Outlier dimensions: which coordinates carry the mean cosine, and what is left of it when all are standardised."""

from __future__ import annotations

import numpy as np

from degen.arrays import Floats
from degen.probe import Site
from degen.states.chosen_rows import Reservoir
from degen.states.directions import Directions
from degen.states.moments import COST, Moments, SiteMoments
from degen.states.reasons import constant, joined, rounding_alone, unmeasurable
from degen.states.shared_states import StateProbe
from degen.tables import Column, Metric, Row, Rows

LISTED = 10  # coordinates of a site in the table
LEAST_COSINE = 0.01  # below it the mean cosine is near zero, and shares of it mean nothing


def cosine_by_coordinate(unit_sum: Floats, unit_squares: Floats, count: int) -> Floats:
    """Return the part of each coordinate k in the mean cosine: the mean of ĥᵢₖ ĥⱼₖ over all i ≠ j.

    Formula: (S_k² − Σ ĥᵢₖ²) / (n(n − 1)), S = Σ ĥ; all coordinates together are the mean cosine.

    Args:
        unit_sum: S, d.
        unit_squares: Σ ĥᵢₖ², d.
        count: n, 2 or more.

    Source: Timkey and van Schijndel 2021 (arXiv 2109.04404), equation 3.
    """
    parts: Floats = (unit_sum**2 - unit_squares) / (count * (count - 1))
    return parts


def standardised(states: Floats, moments: SiteMoments) -> Floats:
    """Return states with each coordinate less its mean, over its standard deviation; 0 where that is 0.

    Mean and standard deviation are those of all positions; a variance that rounding alone may give counts as 0.
    """
    deviations = np.sqrt(moments.variances)
    scale: Floats = np.divide(1, deviations, where=deviations > 0, out=np.zeros_like(deviations))
    return (states - moments.mean) * scale


class OutlierDimensions(StateProbe):
    """The share of single coordinates in the mean cosine of the states, raw and standardised."""

    measures = "coordinates that carry the mean cosine of the states, and the mean cosine of standardised coordinates"
    accumulators = (Moments, Directions, Reservoir)
    cost = f"{COST}; 2,000 states of each"
    metrics = (
        Metric(
            ("outlier_share", "outlier_dimension", "coordinate", "cosine_share"),
            formula="A_k/ΣA, A_k = (S_k² − Σ ĥ_k²)/(n(n − 1)), S = Σ ĥ; the largest, and its coordinate k",
            source="Timkey and van Schijndel 2021 (arXiv 2109.04404)",
            range="1/d to 1; above 1 where others count against it",
            high="few coordinates make the cosines high: standardise before comparing states",
            low="the mean cosine is spread over the coordinates",
            clashes="outlier features of quantisation, which are told by size; massive activations, of few tokens",
        ),
        Metric(
            ("standardised_cosine", "outlier_share_standardised"),
            formula="mean cosine, and largest share, of z_k = (h_k − mean)/sd of all positions, over 2,000 of them",
            source="Timkey and van Schijndel 2021 (arXiv 2109.04404)",
            range="−1/(n − 1) to 1; 1/d to 1",
            high="states are alike beyond the mean and the scale of their coordinates",
            low="outlier coordinates and the mean explain the anisotropy",
            clashes="centred_cosine, which keeps the scales of coordinates",
        ),
    )
    columns = {
        "layers": (
            Column("outlier_share", "float64", "", "largest share of a coordinate in the mean cosine"),
            Column("outlier_dimension", "int64", "", "that coordinate, counted from 0"),
            Column("standardised_cosine", "float64", "cosine",
                   "mean cosine of 2,000 positions, each coordinate with mean 0 and variance 1 over all positions"),
            Column("outlier_share_standardised", "float64", "",
                   "largest share of a coordinate in that; null where it is below 0.01"),
        ),
        "outlier_dimensions": (
            Column("layer", "int64", "", "0 for the embedding, 1 to L for the blocks", key=True),
            Column("site", "string", "", "embedding, block or head_input", key=True),
            Column("index", "int64", "", "0 for the largest share; ten of a site", key=True),
            Column("coordinate", "int64", "", "coordinate of the states, counted from 0"),
            Column("cosine_share", "float64", "", "its share in the mean cosine"),
        ),
    }  # fmt: skip

    def finish(self) -> Rows:
        """Return rows by table: in `layers` one for every site, in `outlier_dimensions` ten."""
        rows = super().finish()
        listed: list[Row] = []
        for site in self.sites():
            if (shares := self._shares(site)) is None:
                continue
            listed += [
                {"layer": site.layer, "site": site.name, "index": i, "coordinate": k, "cosine_share": float(shares[k])}
                for i, k in enumerate(np.argsort(-shares, kind="stable")[:LISTED].tolist())
            ]
        return rows | {"outlier_dimensions": listed}

    def _shares(self, site: Site, domain: int | None = None) -> Floats | None:
        """Return the share of each coordinate in the mean cosine; None where that is near zero or not known."""
        unit_sum, unit_squares, count = self.shared.get(Directions).of(site, domain).arrays()
        return _shares_of(cosine_by_coordinate(unit_sum, unit_squares, count)) if count > 1 else None

    def layer_row(self, site: Site, domain: int | None = None) -> Row:
        """Return the columns of table `layers` for one site, of the states of all or of one domain."""
        moments = self.shared.get(Moments).of(site, domain)
        if (reason := unmeasurable(moments)) is not None:
            return {"reason": reason}
        row: Row = {}
        reasons = []
        if (shares := self._shares(site, domain)) is not None:
            row |= {"outlier_share": float(shares.max()), "outlier_dimension": int(shares.argmax())}
        else:
            reasons.append(f"no outlier_share: the mean cosine is below {LEAST_COSINE} or has no two states")
        if (reason := constant(moments)) is not None:
            return row | {"reason": "; ".join([*reasons, reason])}
        z = standardised(self.shared.get(Reservoir).states(site, domain), moments)
        norms = np.linalg.norm(z, axis=1)
        unit = z[norms > 0] / norms[norms > 0, None]
        if len(unit) > 1:
            parts = cosine_by_coordinate(unit.sum(axis=0), (unit**2).sum(axis=0), len(unit))
            row["standardised_cosine"] = float(parts.sum())
            if (shares := _shares_of(parts)) is not None:
                row["outlier_share_standardised"] = float(shares.max())
        return row | {"reason": joined([*reasons, rounding_alone(moments.mean, moments.variances, self.unit(site))])}


def _shares_of(parts: Floats) -> Floats | None:
    """Return parts of a mean cosine over their sum; None where it is below `LEAST_COSINE` or not finite."""
    total = float(parts.sum())
    return parts / total if np.isfinite(total) and total >= LEAST_COSINE else None
