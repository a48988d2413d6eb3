from __future__ import annotations

import numpy as np
import pytest

from degen.metrics.curve import Curve
from degen.saturation.co_occurrence import co_occurrence
from degen.saturation.onset import Onset
from degen.saturation.verdict import Verdict


def verdict(metric: str, low: int | None = None, high: int = 0, model: str = "m") -> Verdict:
    curve = Curve(model, metric, np.arange(3), np.zeros(3), "min")
    if low is None:
        return Verdict(curve, "not_saturated", "", 3)
    return Verdict(curve, "saturated", "", 3, onset=Onset((low + high) // 2, low, high))


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (300, 400, "before loss"),
        (201, 300, "before loss"),
        (200, 300, "before loss"),  # one ends where the other begins
        (199, 300, "with loss"),
        (120, 130, "with loss"),
        (100, 200, "with loss"),
        (0, 1000, "with loss"),
        (50, 101, "with loss"),
        (50, 100, "after loss"),
        (50, 99, "after loss"),
        (0, 10, "after loss"),
    ],
)
def test_an_onset_is_before_with_or_after_another(low: int, high: int, message: str) -> None:
    first, second = verdict("anisotropy", 100, 200), verdict("loss", low, high)
    assert co_occurrence(first, [first, second]) == message
    turned = {"before": "after", "after": "before", "with": "with"}[message.split()[0]]
    assert co_occurrence(second, [first, second]) == f"{turned} anisotropy"


def test_metrics_are_listed_in_their_order_within_before_with_and_after() -> None:
    first = verdict("a", 100, 200)
    others = [verdict("z", 0, 50), verdict("y", 300, 400), verdict("x", 150, 160), verdict("w", 500, 600), first]
    assert co_occurrence(first, others) == "before y, w; with x; after z"


def test_other_models_and_metrics_without_an_onset_do_not_count() -> None:
    first = verdict("a", 100, 200)
    others = [first, verdict("b"), verdict("b", 300, 400, model="other"), verdict("a", 300, 400, model="other")]
    assert co_occurrence(first, others) is None
    assert co_occurrence(first, []) is None
    assert co_occurrence(first, [*others, verdict("c", 0, 50)]) == "after c"


def test_a_metric_without_an_onset_has_no_co_occurrence() -> None:
    first = verdict("a")
    assert co_occurrence(first, [first, verdict("b", 300, 400)]) is None
