"""Head frequency: whether the mean row of the LM head and its first direction say how frequent tokens are."""

from __future__ import annotations

import numpy as np

from degen.arrays import Floats
from degen.model.lm_head import Head
from degen.probe import HeadProbe
from degen.rank.head_factor import HeadFactor, head_factor
from degen.tables import Column, Metric, Row, Rows

MIN_TOKENS = 30  # different ones, for a correlation
FEW_TOKENS = 300  # with fewer, its standard error is above 1/√300 = 0.06
ROUNDING = 1e-12  # of the largest value: a smaller spread is no spread


class HeadFrequency(HeadProbe):
    """The mean row and the first right singular vector, and their correlation with the log frequency of tokens."""

    measures = "mean row and first singular direction of the LM head, and how they go with the frequency of tokens"
    needs = frozenset({"head", "counts"})
    cost = "one more reading of the head; a QR decomposition of it, shared with the other probes of it"
    metrics = (
        Metric(
            ("mean_row_share", "mean_row_norm"),
            formula="V‖μ‖²/‖W‖²_F, μ the mean of the rows",
            source="Mu and Viswanath 2018 (arXiv 1702.01417); Biś et al. 2021 (NAACL, Too much in common), its drift",
            range="0 to 1",
            high="the rows share one direction, which moves all logits alike",
            low="the rows are centred",
            clashes="the share of the mean state, of hidden states; ‖μ‖ over the mean length of a row",
        ),
        Metric(
            ("mean_row_frequency_r",),
            formula="Pearson's r of wᵢ·μ and ln fᵢ, over the tokens i of the sample",
            source="degen; Gao et al. 2019 (arXiv 1907.12009) for the hypothesis",
            range="−1 to 1",
            high="frequent tokens lie along the mean row",
            low="rare tokens lie along it",
            clashes="Spearman's ρ of the same; the correlation with the rank of a token",
        ),
        Metric(
            ("first_direction_frequency_r", "frequency_tokens"),
            formula="Pearson's r of wᵢ·v₁ and ln fᵢ, v₁ the first right singular vector with v₁·μ ≥ 0",
            source="Godey et al. 2024 (arXiv 2404.07647) for the hypothesis",
            range="−1 to 1",
            high="the first direction of the head raises frequent tokens",
            low="it raises rare ones; near 0 it has nothing to do with frequency",
            clashes="the same with v₁ of the centred head",
        ),
    )
    columns = {
        "checkpoints": (
            Column("mean_row_norm", "float64", "", "‖μ‖, length of the mean row of the head"),
            Column("mean_row_share", "float64", "", "V‖μ‖²/‖W‖²_F, share of the energy in the mean row"),
            Column("mean_row_frequency_r", "float64", "", "Pearson's r of wᵢ·μ and ln fᵢ over tokens i of the sample"),
            Column("first_direction_frequency_r", "float64", "",
                   "Pearson's r of wᵢ·v₁ and ln fᵢ, v₁ the first right singular vector"),
            Column("frequency_tokens", "int64", "tokens", "different tokens of the sample, of the correlations"),
            Column("frequency_reason", "string", "", "why the correlations are rough; null where they are not"),
        ),
    }  # fmt: skip

    def measure(self, head: Head) -> Rows:
        """Return rows by table: mean row and correlations in `checkpoints`."""
        factor = head_factor(head)
        if factor is None:
            return {"checkpoints": [{"reason": "no mean row: the LM head has no row that the tokenizer uses"}]}
        mean = factor.mean.numpy()
        energy = float(factor.raw.square().sum())
        row: Row = {
            "mean_row_norm": float(np.linalg.norm(mean)),
            "mean_row_share": factor.rows * float(mean @ mean) / energy if energy else None,
        }
        return {"checkpoints": [row | self._correlations(head, factor)]}

    def _correlations(self, head: Head, factor: HeadFactor) -> Row:
        """Return the columns of the correlations, or why there are none."""
        if self.counts is None:
            return {"reason": "no correlation with frequency: the series has no tokenizer; name one with --tokenizer"}
        counts = self.counts if head.used is None else self.counts[head.used]
        seen = counts > 0
        tokens = int(seen.sum())
        if tokens < MIN_TOKENS:
            reason = f"no correlation with frequency: the sample has {tokens} different tokens; it needs {MIN_TOKENS}"
            return {"frequency_tokens": tokens, "reason": reason}
        mean = factor.mean
        first = factor.directions[1][:, 0]
        both = np.stack([mean.numpy(), (first if float(first @ mean) >= 0 else -first).numpy()], axis=1)
        along = np.concatenate([block.numpy() @ both for block in head.blocks()])[seen]
        logs = np.log(counts[seen])
        few = f"the correlations are over {tokens} tokens; with fewer than {FEW_TOKENS} they are rough"
        of_mean, of_first = (_pearson(values, logs) for values in along.T)
        reasons = [few] if tokens < FEW_TOKENS else []
        if of_mean is None or of_first is None:
            reasons.append("no correlation where all the tokens lie equally far along, or are equally frequent")
        return {
            "mean_row_frequency_r": of_mean,
            "first_direction_frequency_r": of_first,
            "frequency_tokens": tokens,
            "frequency_reason": "; ".join(reasons) or None,
        }


def _pearson(x: Floats, y: Floats) -> float | None:
    """Return Pearson's r; None where one of the two is constant, but for rounding."""
    if any(np.ptp(values) <= ROUNDING * float(np.abs(values).max()) for values in (x, y)):
        return None
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / scale if scale > 0 else None
