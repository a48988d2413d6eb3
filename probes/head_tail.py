"""Head tail: the exponent of a power law in the tail of the LM head's eigenvalues."""

from __future__ import annotations

import numpy as np

from degen.errors import NotFiniteError
from degen.model.lm_head import Head
from degen.probe import HeadProbe
from degen.rank.head_factor import head_factor
from degen.stats.power_law_tail import power_law_tail
from degen.stats.spectral_figures import above_rounding, squares
from degen.tables import Column, Metric, Rows


class HeadTail(HeadProbe):
    """A power law fitted to the largest eigenvalues λ = σ² of WᵀW."""

    measures = "power law in the tail of the LM head's eigenvalues: exponent and where the tail begins"
    cost = "a QR decomposition of the head, shared with the other probes of it; the fit takes d² steps"
    metrics = (
        Metric(
            ("head_tail_exponent", "head_tail_exponent_se", "head_tail_count", "head_tail_share", "head_tail_distance"),
            formula="α = 1 + n/Σ ln(λᵢ/λ_min) over the n eigenvalues λᵢ ≥ λ_min, λ_min by Kolmogorov–Smirnov",
            source="Clauset et al. 2009, sections 3.1 and 3.3; Martin and Mahoney 2021 for weights",
            range="1 to infinity; 2 to 6 in well-trained layers by Martin and Mahoney",
            high="the spectrum falls off fast: no heavy tail, as in a random matrix",
            low="a heavy tail: a few eigenvalues are far larger than the others",
            clashes="the exponent of the density of σ, 2α − 1; the slope of ln λ over ln rank (α-ReQ), 1/(α − 1); the "
            "two-sided distance of Kolmogorov and Smirnov, which is larger than this one by 1/n at most",
        ),
    )
    columns = {
        "checkpoints": (
            Column("head_tail_exponent", "float64", "", "α of the tail λ^(−α) of the eigenvalues λ = σ² of the head"),
            Column("head_tail_exponent_se", "float64", "", "its standard error (α − 1)/√n"),
            Column("head_tail_count", "int64", "", "n, eigenvalues in the tail"),
            Column("head_tail_share", "float64", "", "share of the eigenvalues that the tail has"),
            Column("head_tail_distance", "float64", "", "Kolmogorov–Smirnov distance between the tail and the law"),
            Column("head_tail_reason", "string", "", "why the exponent is rough; null where it is not"),
        ),
    }

    def measure(self, head: Head) -> Rows:
        """Return rows by table: the fit in `checkpoints`. Formulas: `degen.stats.power_law_tail`."""
        factor = head_factor(head)
        values = np.zeros(0) if factor is None else factor.directions[0]
        if not np.isfinite(values).all():
            raise NotFiniteError(
                f"the {head.name} ({head.key}) holds values too large for its singular values in float64"
            )
        tail = power_law_tail(squares(above_rounding(values)))
        if tail is None:
            return {"checkpoints": [{"reason": "no tail exponent: the head has fewer than two different eigenvalues"}]}
        row = {
            "head_tail_exponent": tail.exponent,
            "head_tail_exponent_se": tail.standard_error,
            "head_tail_count": tail.count,
            "head_tail_share": tail.count / len(values),
            "head_tail_distance": tail.distance,
            "head_tail_reason": tail.reason,
        }
        return {"checkpoints": [row]}
