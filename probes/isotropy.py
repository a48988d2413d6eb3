"""Isotropy of the LM head: how much the partition function Z(c) depends on the direction of c."""

from __future__ import annotations

import math

from degen.model.lm_head import Head
from degen.probe import HeadProbe
from degen.rank.head_factor import head_factor
from degen.rank.partition_function import log_partition_extremes
from degen.tables import Column, Metric, Rows


class Isotropy(HeadProbe):
    """The ratio of the least and the largest Z(c) over the eigenvectors of WᵀW, both ways."""

    measures = "partition isotropy I(W) of the LM head, over its singular directions both ways"
    cost = (
        "a product V × d × d and 2Vd exponentials in float32, in float64 of few directions; a QR decomposition of the "
        "head, shared with the other probes of it"
    )
    metrics = (
        Metric(
            ("isotropy", "isotropy_log"),
            formula="I(W) = min_c Z(c)/max_c Z(c), Z(c) = Σᵢ exp(wᵢ·c), c = ±v of every right singular vector v of W",
            source="Mu and Viswanath 2018 (arXiv 1702.01417), section 2; Arora et al. 2016 (arXiv 1502.03520)",
            range="0 to 1; isotropy_log = ln I(W), from −infinity to 0",
            high="the rows point every way alike",
            low="the rows share a direction, or are long in some",
            clashes="IsoScore; 1 − anisotropy; the same over +v alone, which depends on the signs that an SVD gives; "
            "unlike IsoScore, I(W) changes when W is scaled",
        ),
    )
    columns = {
        "checkpoints": (
            Column("isotropy", "float64", "", "I(W) = min Z(c)/max Z(c), Z(c) = Σᵢ exp(wᵢ·c), over c = ±v of the head"),
            Column("isotropy_log", "float64", "nats", "ln I(W), where I(W) itself may be too small"),
        ),
    }

    def measure(self, head: Head) -> Rows:
        """Return rows by table: I(W) in `checkpoints`.

        Formula: exp(min ln Z − max ln Z), over Z(±v): `degen.rank.partition_function`.
        """
        factor = head_factor(head)
        if factor is None:
            return {"checkpoints": [{"reason": "no isotropy: the LM head has no row that the tokenizer uses"}]}
        values, directions = factor.directions
        least, largest = log_partition_extremes(head, directions, float(values.max(initial=0.0)))
        return {"checkpoints": [{"isotropy": math.exp(least - largest), "isotropy_log": least - largest}]}
