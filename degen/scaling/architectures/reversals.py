"""Rank correlation of upstream and downstream quality, and the pairs of models that reverse between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import NormalDist

import numpy as np

from degen.arrays import Floats, Ints, Mask
from degen.stats.correlation import kendall, spearman
from degen.tables import Row

from .columns import Quality

ALL = "all of them"  # name of the row that takes all downstream columns at once
MAX_LISTED = 10_000  # reversals that are listed one by one; all are counted
CORRELATION_COLUMNS = (
    "upstream", "downstream", "points", "spearman", "spearman_low", "spearman_high", "kendall", "kendall_low",
    "kendall_high", "reason", "pairs", "reversals", "beyond_noise",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Reversals:
    """The pairs of models of which one is better upstream and the other downstream.

    Attributes:
        names: of the models.
        upstream: quality in pre-training.
        downstream: k qualities in tasks.
        pairs: p × 2, indices in `names` of the model that is better upstream and the one that is better downstream; the
            largest upstream difference first.
        reversed_on: p × k, whether the pair reverses on each downstream column.
        noise: p × k, 1 where the reversal is within noise, 0 where it is beyond, −1 where that is unknown.
    """

    names: Sequence[str]
    upstream: Quality
    downstream: Sequence[Quality]
    pairs: Ints
    reversed_on: Mask
    noise: Ints

    @property
    def on_all(self) -> Mask:
        """A mask of the pairs that reverse on every downstream column."""
        return np.asarray(self.reversed_on.all(axis=1))

    @property
    def count(self) -> int:
        """The number of reversals; a pair counts once for each column on which it reverses."""
        return int(self.reversed_on.sum())

    def rows(self, limit: int = MAX_LISTED) -> list[Row]:
        """Return a row for each reversal of a pair on a downstream column, at most `limit` of them."""
        on_all = self.on_all
        return [
            {
                "upstream": self.upstream.name,
                "downstream": self.downstream[k].name,
                "better_upstream": self.names[self.pairs[p, 0]],
                "better_downstream": self.names[self.pairs[p, 1]],
                "upstream_values": self.upstream.values[self.pairs[p]].tolist(),
                "downstream_values": self.downstream[k].values[self.pairs[p]].tolist(),
                "within_noise": {1: True, 0: False, -1: None}[int(self.noise[p, k])],
                "on_all": bool(on_all[p]),
            }
            for p, k in islice(zip(*np.nonzero(self.reversed_on), strict=True), limit)
        ]


def find_reversals(
    names: Sequence[str], upstream: Quality, downstream: Sequence[Quality], confidence: float = 0.9
) -> Reversals:
    """Return the pairs of models of which one is better upstream and the other downstream.

    A reversal is within noise where the upstream or the downstream difference is at most z·√(se₁² + se₂²). That is
    unknown where a column has no standard errors, unless the other column settles it.

    Args:
        names: of the models.
        upstream: quality in pre-training.
        downstream: qualities in tasks, at least one.
        confidence: two-sided, of which z is the quantile.

    Source: Tay et al. 2021, Scale Efficiently, arXiv 2109.10686: one model is better in pre-training, the other in
        every task.
    """
    good = np.stack([quality.good for quality in downstream], axis=1)
    indices, columns = [np.empty((0, 2), dtype=np.int64)], [np.empty((0, len(downstream)), dtype=bool)]
    for i in range(len(names)):  # row by row, as a matrix of all pairs would be large
        worse = (good[i] < good) & (upstream.good[i] > upstream.good)[:, None]
        j = np.flatnonzero(worse.any(axis=1))
        indices.append(np.stack([np.full(len(j), i), j], axis=1))
        columns.append(worse[j])
    pairs, reversed_on = np.concatenate(indices), np.concatenate(columns)
    order = np.argsort(-np.abs(upstream.values[pairs[:, 0]] - upstream.values[pairs[:, 1]]), kind="stable")
    pairs, reversed_on = pairs[order], reversed_on[order]
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    up = _within_noise(upstream, pairs, z)[:, None]
    down = np.stack([_within_noise(quality, pairs, z) for quality in downstream], axis=1)
    noise = np.where((up == 1) | (down == 1), 1, np.where((up == 0) & (down == 0), 0, -1))
    return Reversals(names, upstream, downstream, pairs, reversed_on, noise)


def correlate(reversals: Reversals, confidence: float = 0.9) -> list[Row]:
    """Return the rank correlation of upstream with each downstream column, and with all at once.

    Values are signed so that higher is better: a correlation of 1 means the same order. For all columns at once, the
    mean rank over the downstream columns is used, of the models that have all of them.

    Args:
        reversals: of `find_reversals`.
        confidence: of the intervals.

    Returns:
        A row for each downstream column, with `points`, `spearman` and `kendall` with their intervals, `pairs` that
        differ in both columns, `reversals` among them and those `beyond_noise`, and `reason` where there is no
        correlation.
    """
    from scipy.stats import rankdata

    upstream, downstream = reversals.upstream, reversals.downstream
    rows = []
    for k, quality in enumerate(downstream):
        row = _correlation(upstream, quality.name, quality.good, confidence)
        row["pairs"] = _count_pairs(upstream, [quality])
        rows.append(row | _counts(reversals.noise[reversals.reversed_on[:, k], k]))
    if len(downstream) > 1:
        known = np.all([np.isfinite(quality.good) for quality in [upstream, *downstream]], axis=0)
        mean = np.full(len(known), np.nan)
        if known.any():
            mean[known] = np.mean([rankdata(quality.good[known]) for quality in downstream], axis=0)
        row = _correlation(upstream, ALL, mean, confidence)
        row["pairs"] = _count_pairs(upstream, downstream)
        noise = reversals.noise[reversals.on_all]
        # a pair that reverses on all columns is doubtful where one of them is within noise
        rows.append(row | _counts(np.where((noise == 1).any(axis=1), 1, noise.min(axis=1, initial=0))))
    return rows


def _correlation(upstream: Quality, name: str, good: Floats, confidence: float) -> Row:
    """Return the columns `spearman` and `kendall` and their intervals for upstream and one other quality.

    Args:
        upstream: quality in pre-training.
        name: name of the other column.
        good: values of the other column, signed so that higher is better.
        confidence: of the intervals.
    """
    known = np.isfinite(upstream.good) & np.isfinite(good)
    rho = spearman(upstream.good[known], good[known], confidence)
    tau = kendall(upstream.good[known], good[known], confidence)
    return {
        "upstream": upstream.name, "downstream": name, "points": int(known.sum()),
        "spearman": rho.value, "spearman_low": rho.low, "spearman_high": rho.high,
        "kendall": tau.value, "kendall_low": tau.low, "kendall_high": tau.high,
        "reason": rho.reason,
    }  # fmt: skip


def _within_noise(quality: Quality, pairs: Ints, z: float) -> Ints:
    """Return for each pair 1 where its difference in `quality` is within noise, 0 where beyond, −1 where unknown.

    Args:
        quality: the column.
        pairs: p × 2, indices of the models.
        z: the difference is within noise up to z standard errors.
    """
    if quality.errors is None:
        return np.full(len(pairs), -1)
    bound = z * np.hypot(quality.errors[pairs[:, 0]], quality.errors[pairs[:, 1]])
    difference = np.abs(quality.values[pairs[:, 0]] - quality.values[pairs[:, 1]])
    return np.where(np.isfinite(bound), (difference <= bound).astype(np.int64), -1)


def _counts(noise: Ints) -> Row:
    """Return the columns `reversals` and `beyond_noise`; the latter is None where the noise is unknown for all.

    Args:
        noise: for each reversal 1 where it is within noise, 0 where it is beyond, −1 where that is unknown.
    """
    beyond = int((noise == 0).sum()) if (noise >= 0).any() or not len(noise) else None
    return {"reversals": len(noise), "beyond_noise": beyond}


def _count_pairs(upstream: Quality, others: Sequence[Quality]) -> int:
    """Return the number of pairs of models that differ in upstream and in all other columns."""
    values = np.stack([quality.good for quality in (upstream, *others)], axis=1)
    differences = (values[i + 1 :] - values[i] for i in range(len(values) - 1))
    return int(sum((np.isfinite(d) & (d != 0)).all(axis=1).sum() for d in differences))
