"""Whether models that are better upstream are better downstream, and the pairs of which the opposite holds."""

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

ALL = "all of them"  # stands where one of several columns would
LISTED = 10_000  # reversals that are listed one by one; all are counted


@dataclass(frozen=True, eq=False)
class Reversals:
    """The pairs of models that reverse.

    Attributes:
        names: of the models.
        upstream: quality in pre-training.
        downstream: qualities of tasks, k of them.
        pairs: p × 2, the model that is better upstream and the one that is better downstream, which are rows of
            `names`; the largest difference upstream first.
        turned: p × k, on which downstream columns the pair reverses.
        noise: p × k, 1 within noise, 0 beyond it, −1 where that is unknown.
    """

    names: Sequence[str]
    upstream: Quality
    downstream: Sequence[Quality]
    pairs: Ints
    turned: Mask
    noise: Ints

    @property
    def on_all(self) -> Mask:
        """Which pairs reverse on every downstream column."""
        return np.array([bool(row.all()) for row in self.turned], dtype=bool)

    @property
    def count(self) -> int:
        """How many there are, a pair once for each column on which it reverses."""
        return int(self.turned.sum())

    def rows(self, most: int = LISTED) -> list[Row]:
        """Return a row for each pair and downstream column that reverses, the first `most` of them."""
        every = self.on_all
        return [
            {
                "upstream": self.upstream.name,
                "downstream": self.downstream[k].name,
                "better_upstream": self.names[self.pairs[p, 0]],
                "better_downstream": self.names[self.pairs[p, 1]],
                "upstream_values": self.upstream.values[self.pairs[p]].tolist(),
                "downstream_values": self.downstream[k].values[self.pairs[p]].tolist(),
                "within_noise": {1: True, 0: False, -1: None}[int(self.noise[p, k])],
                "on_all": bool(every[p]),
            }
            for p, k in islice(zip(*np.nonzero(self.turned), strict=True), most)
        ]


def find_reversals(
    names: Sequence[str], upstream: Quality, downstream: Sequence[Quality], confidence: float = 0.9
) -> Reversals:
    """Return the pairs of models of which one is better upstream and the other downstream.

    Within noise: a difference that is at most z·√(se₁² + se₂²), upstream or downstream, of the columns that have
    standard errors; unknown where those that are there do not settle it.

    Args:
        names: of the models.
        upstream: quality in pre-training.
        downstream: qualities of tasks, at least one.
        confidence: from which z is, two-sided.

    Source: Tay et al. 2021, Scale Efficiently, arXiv 2109.10686: one model is better in pre-training, the other in
        every task.
    """
    good = np.stack([quality.good for quality in downstream], axis=1)
    found, on = [np.empty((0, 2), dtype=np.int64)], [np.empty((0, len(downstream)), dtype=bool)]
    for i in range(len(names)):  # row by row: a table of all pairs would be large
        worse = (good[i] < good) & (upstream.good[i] > upstream.good)[:, None]
        j = np.flatnonzero(worse.any(axis=1))
        found.append(np.stack([np.full(len(j), i), j], axis=1))
        on.append(worse[j])
    pairs, turned = np.concatenate(found), np.concatenate(on)
    order = np.argsort(-np.abs(upstream.values[pairs[:, 0]] - upstream.values[pairs[:, 1]]), kind="stable")
    pairs, turned = pairs[order], turned[order]
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    up, down = _within(upstream, pairs, z), [_within(quality, pairs, z) for quality in downstream]
    noise = [np.where((up == 1) | (one == 1), 1, np.where((up == 0) & (one == 0), 0, -1)) for one in down]
    return Reversals(names, upstream, downstream, pairs, turned, np.stack(noise, axis=1))


def correlate(found: Reversals, confidence: float = 0.9) -> list[Row]:
    """Return rank correlation of upstream with each downstream column, and with all at once.

    Both are turned so that higher is better: 1 says that the order is the same. All at once is the mean of the ranks in
    the downstream columns, over the models that have all of them.

    Args:
        found: of `find_reversals`.
        confidence: of the intervals.

    Returns:
        A row for each column, with `points`, `spearman` and `kendall` with their intervals, `pairs` whose order both
        columns warn, `reversals` among them and those `beyond_noise`, and `reason` where there is no correlation.
    """
    from scipy.stats import rankdata

    upstream, downstream = found.upstream, found.downstream
    rows = []
    for k, quality in enumerate(downstream):
        row = _correlated(upstream, quality.name, quality.good, confidence)
        row["pairs"] = _pairs(upstream.good, [quality.good])
        rows.append(row | _counted(found.noise[found.turned[:, k], k]))
    if len(downstream) > 1:
        known = np.all([np.isfinite(quality.good) for quality in [upstream, *downstream]], axis=0)
        mean = np.full(len(known), np.nan)
        if known.any():
            mean[known] = np.mean([rankdata(quality.good[known]) for quality in downstream], axis=0)
        row = _correlated(upstream, ALL, mean, confidence)
        row["pairs"] = _pairs(upstream.good, [quality.good for quality in downstream])
        noise = found.noise[found.on_all]
        # of a pair that reverses on all, one column within noise is enough to doubt it
        rows.append(row | _counted(np.where((noise == 1).any(axis=1), 1, noise.min(axis=1, initial=0))))
    return rows


def _correlated(upstream: Quality, name: str, good: Floats, confidence: float) -> Row:
    known = np.isfinite(upstream.good) & np.isfinite(good)
    rho = spearman(upstream.good[known], good[known], confidence)
    tau = kendall(upstream.good[known], good[known], confidence)
    return {
        "upstream": upstream.name, "downstream": name, "points": int(known.sum()),
        "spearman": rho.value, "spearman_low": rho.low, "spearman_high": rho.high,
        "kendall": tau.value, "kendall_low": tau.low, "kendall_high": tau.high,
        "reason": rho.reason,
    }  # fmt: skip


def _within(quality: Quality, pairs: Ints, z: float) -> Ints:
    """Return whether differences are within their noise: 1, 0, or −1 where that is unknown."""
    if quality.errors is None:
        return np.full(len(pairs), -1)
    bound = z * np.hypot(quality.errors[pairs[:, 0]], quality.errors[pairs[:, 1]])
    away = np.abs(quality.values[pairs[:, 0]] - quality.values[pairs[:, 1]])
    return np.where(np.isfinite(bound), (away <= bound).astype(np.int64), -1)


def _counted(noise: Ints) -> Row:
    """Return how many reversals there are, and how many beyond noise; None for that where nothing is known of any."""
    beyond = int((noise == 0).sum()) if (noise >= 0).any() or not len(noise) else None
    return {"reversals": len(noise), "beyond_noise": beyond}


def _pairs(one: Floats, others: Sequence[Floats]) -> int:
    """Return count pairs of points that differ in all of some columns."""
    total = 0
    for i in range(len(one) - 1):
        differ = np.isfinite(one[i + 1 :] - one[i]) & (one[i + 1 :] != one[i])
        for other in others:
            differ &= np.isfinite(other[i + 1 :] - other[i]) & (other[i + 1 :] != other[i])
        total += int(differ.sum())
    return total
