"""Which metrics of a model turned before, with or after which. That is all it says: nothing of cause."""

from __future__ import annotations

from collections.abc import Sequence

from .onset import Onset
from .verdict import Verdict


def co_occurrence(verdict: Verdict, others: Sequence[Verdict]) -> str | None:
    """Return where the onset of a metric lies among those of the model's other metrics.

    One onset is `before` another where its interval ends before the other's begins, `after` where it begins after the
    other's ended, and `with` it where the intervals overlap. Metrics that move together need not move each other (see
    arXiv 2602.20433).

    Args:
        verdict: of one metric.
        others: of all metrics of all models.

    Returns:
        A phrase such as `before singular_entropy; with loss`; None where nothing else has an onset, or this has none.
    """
    if verdict.onset is None:
        return None
    found: dict[str, list[str]] = {"before": [], "with": [], "after": []}
    for other in others:
        same = other.curve.model == verdict.curve.model and other.curve.metric != verdict.curve.metric
        if same and other.onset is not None:
            found[_place(verdict.onset, other.onset)].append(other.curve.metric)
    return "; ".join(f"{word} {', '.join(names)}" for word, names in found.items() if names) or None


def _place(one: Onset, other: Onset) -> str:
    if one.high <= other.low:
        return "before"
    return "after" if one.low >= other.high else "with"
