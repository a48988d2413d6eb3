"""Isotropy of the LM head: how much the partition function Z(c) depends on the direction of c."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from degen.model.lm_head import Head
from degen.probe import HeadProbe
from degen.rank.head_factor import head_factor
from degen.tables import Column, Metric, Rows

if TYPE_CHECKING:
    import torch

SAFE = 300.0  # of |x|, where neither exp(x) nor exp(−x) nor their sum is too large or too small


class Isotropy(HeadProbe):
    """The ratio of the least and the largest Z(c) over the eigenvectors of WᵀW, both ways."""

    measures = "partition isotropy I(W) of the LM head, over its singular directions both ways"
    cost = (
        "a product V × d × d and 2Vd exponentials; a QR decomposition of the head, shared with the other probes of it"
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

        Formula: ln Z(±v) a block of rows at a time, by log-sum-exp where an exponential could overflow. As |wᵢ·v| ≤ σ₁
        none does where σ₁ is below 300, and exp(−x) is then 1/exp(x).
        """
        import torch

        factor = head_factor(head)
        if factor is None:
            return {"checkpoints": [{"reason": "no isotropy: the LM head has no row that the tokenizer uses"}]}
        values, directions = factor.directions
        small = not len(values) or float(values[0]) < SAFE
        directions = directions.to(head.device if head.device is not None else "cpu")
        sums: torch.Tensor | None = None
        for block in head.blocks():
            if len(block):
                dots = block.to(directions.device) @ directions
                both = _log_sums(dots, small)
                sums = both if sums is None else torch.logaddexp(sums, both)
        assert sums is not None
        log = float(sums.min() - sums.max())
        return {"checkpoints": [{"isotropy": math.exp(log), "isotropy_log": log}]}


def _log_sums(dots: torch.Tensor, small: bool) -> torch.Tensor:
    """Return ln Σᵢ exp(xᵢ) and ln Σᵢ exp(−xᵢ) of every column x, 2 × m.

    Args:
        dots: n × m.
        small: whether no |x| is above 300.
    """
    import torch

    if not small:
        return torch.stack([torch.logsumexp(dots, dim=0), torch.logsumexp(-dots, dim=0)])
    exponentials = dots.exp_()
    up = exponentials.sum(dim=0)
    return torch.stack([up, exponentials.reciprocal_().sum(dim=0)]).log_()
