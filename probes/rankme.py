"""RankMe and α-ReQ: effective rank and decay of the states' spectrum, over all positions and over last tokens."""

from __future__ import annotations

import math

import numpy as np

from degen.arrays import Floats
from degen.probe import Site
from degen.states.chosen_rows import LastTokens
from degen.states.moments import COST, Moments
from degen.states.reasons import (
    PER_DIMENSION,
    constant,
    few_positions,
    joined,
    rounding_alone,
    unmeasurable,
)
from degen.states.shared_states import StateProbe
from degen.states.spectra import FEWEST_FITTED, FIT_FIRST, alpha_req, rankme
from degen.tables import Column, Metric, Row

SAMPLINGS = "all", "last"  # all positions, and the last of each window


class RankMe(StateProbe):
    """RankMe by its first definition and by the later one, and α-ReQ, each for two samplings of positions."""

    measures = "RankMe and α-ReQ of the states at every layer, over all positions and over the last of each window"
    accumulators = (Moments, LastTokens)
    cost = f"{COST}; 2,000 states of each"
    metrics = (
        Metric(
            ("rankme_all", "rankme_last"),
            formula="exp(−Σ p ln p), p = σ/Σσ + 10⁻⁷, σ of the uncentred states",
            source="Garrido et al. 2023 (arXiv 2210.02885)",
            range="1 to d, and to n",
            high="the states use many directions",
            low="they use few, or positions are few",
            clashes="RankMe of the covariance's eigenvalues, which is the next one",
        ),
        Metric(
            ("rankme_covariance_all", "rankme_covariance_last"),
            formula="exp(−Σ p ln p), p = λ/Σλ + 10⁻⁷, λ of the covariance",
            source="Li et al. 2025 (arXiv 2509.23024), of last tokens",
            range="1 to d, and to n − 1",
            high="the variance is spread over many directions",
            low="few directions hold it, or positions are few",
            clashes="RankMe as first defined, of singular values, which is larger",
        ),
        Metric(
            ("alpha_req_all", "alpha_req_last"),
            formula="α of λ_i ∝ i^−α, least squares of logarithms with weights 1/i, i from 11 to 100",
            source="Agrawal et al. 2022; Li et al. 2025 (arXiv 2509.23024)",
            range="0 to infinity",
            high="the spectrum falls fast: few directions matter",
            low="it falls slowly, to a flat one at 0",
            clashes="exponents of the density of eigenvalues, as of weightwatcher; fits of another range of i",
        ),
    )
    columns = {
        "layers": (
            Column("rankme_all", "float64", "dimensions",
                   "exp(H(σ/Σσ + 10⁻⁷)), σ of the uncentred states at all positions"),
            Column("rankme_last", "float64", "dimensions", "the same at the last position of each window"),
            Column("rankme_covariance_all", "float64", "dimensions",
                   "exp(H(λ/Σλ + 10⁻⁷)), λ of the covariance at all positions, also called RankMe"),
            Column("rankme_covariance_last", "float64", "dimensions", "the same at the last position of each window"),
            Column("alpha_req_all", "float64", "",
                   "α of λ_i ∝ i^−α, fitted to the covariance's eigenvalues 11 to 100, all positions"),
            Column("alpha_req_last", "float64", "", "the same at the last position of each window"),
        )
    }  # fmt: skip

    def layer_row(self, site: Site, domain: int | None = None) -> Row:
        """Return the columns of table `layers` for one site, of the states of all or of one domain.

        Source: Garrido et al. 2023 (arXiv 2210.02885); Li et al. 2025 (arXiv 2509.23024), who take the last token.
        """
        moments = self.shared.get(Moments).of(site, domain)
        if (reason := unmeasurable(moments)) is not None:
            return {"reason": reason}
        kept = min(moments.count, moments.width)
        singular_values: Floats = np.sqrt(moments.second_moment_eigenvalues[:kept])
        last = self.shared.get(LastTokens).states(site, domain)
        of_last = np.linalg.svd(last, compute_uv=False).astype(np.float64)
        eigenvalues = moments.covariance_eigenvalues[:kept], _covariance_eigenvalues(last)
        row: Row = {
            "rankme_all": rankme(singular_values),
            "rankme_last": _number(rankme(of_last)),
        }
        for sampling, values in zip(SAMPLINGS, eigenvalues, strict=True):
            row |= {
                f"rankme_covariance_{sampling}": _number(rankme(values)),
                f"alpha_req_{sampling}": alpha_req(values),
            }
        reasons = [
            few_positions(moments.count, moments.width),
            constant(moments) or rounding_alone(moments.mean, moments.variances, self.unit(site)),
            _few_last(*last.shape),
            *(_short_of(name, values) for name, values in zip(SAMPLINGS, eigenvalues, strict=True)),
        ]
        return row | {"reason": joined(reasons)}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _covariance_eigenvalues(states: Floats) -> Floats:
    """Return the eigenvalues of the covariance of n × d states, min(n, d), with 0 for what rounding alone may give.

    The states are taken from the first of them, so that those far from zero leave as many digits as those around it,
    and those that are all equal have no variance at all.
    """
    if not len(states):
        return np.zeros(0)
    y = states - states[0]
    values: Floats = np.linalg.svd(y - y.mean(axis=0), compute_uv=False) ** 2 / len(y)
    square = float((y**2).sum()) / len(y)
    values[values <= y.shape[1] * np.finfo(np.float64).eps * square] = 0.0
    return values


def _few_last(count: int, width: int) -> str | None:
    """Return a warning for so few last tokens; None where they are enough."""
    if count >= PER_DIMENSION * width:
        return None
    return f"{count} last tokens for {width} dimensions: rankme_last is {min(count, width)} at most, and biased"


def _short_of(sampling: str, eigenvalues: Floats) -> str | None:
    """Return why α-ReQ of a sampling is missing where so few eigenvalues are above zero; None where it is not."""
    positive = int((eigenvalues > 0).sum())
    if positive >= FIT_FIRST + FEWEST_FITTED:
        return None
    return f"alpha_req_{sampling} needs {FIT_FIRST + FEWEST_FITTED} eigenvalues above zero, and has {positive}"
