"""The order in which metrics of a model got worse; an order is no cause."""

from __future__ import annotations

from collections.abc import Sequence

from .onset import Onset
from .verdict import Verdict


def co_occurrence(verdict: Verdict, others: Sequence[Verdict]) -> str | None:
    """Return the order of a metric's onset and those of the model's other metrics.

    One onset is `before` another where its interval ends before that of the other begins, `after` it where it begins
    after the other ends, and `with` it where the intervals overlap. Metrics that get worse together need not cause each
    other (arXiv 2602.20433).

    Args:
        verdict: of one metric.
        others: of all metrics of all models.

    Returns:
        A phrase such as `before singular_entropy; with loss`; None where this metric or all others have no onset.
    """
    if verdict.onset is None:
        return None
    metrics: dict[str, list[str]] = {"before": [], "with": [], "after": []}
    for other in others:
        same = other.curve.model == verdict.curve.model and other.curve.metric != verdict.curve.metric
        if same and other.onset is not None:
            metrics[_relation(verdict.onset, other.onset)].append(other.curve.metric)
    return "; ".join(f"{word} {', '.join(names)}" for word, names in metrics.items() if names) or None


def _relation(one: Onset, other: Onset) -> str:
    if one.high <= other.low:
        return "before"
    return "after" if one.low >= other.high else "with"
