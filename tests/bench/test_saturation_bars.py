"""`bench/saturation_bars.py`: which rates miss what is asked of them, and by how much."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def misses(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import saturation_bars

    return saturation_bars.misses


def row(noise: str, n: int, change: str, saturated: float, **other: Any) -> dict[str, Any]:
    case = {"noise": noise, "checkpoints": n, "spacing": "even", "shape": "plateau", "change": change}
    shares = {"saturated": saturated, "recovered": 0.0, "not_saturated": 0.0, "undecided": 1 - saturated}
    plain = {"draws": 400, "carried": 0.0, "covered": None, "one_checkpoint": False}
    return {"case": case | other.pop("case", {}), "shares": shares, **plain, **other}


def test_false_rates_are_bounded_on_average_and_in_every_row(misses: Any) -> None:
    rows = [row("t3", n, "none", share) for n, share in ((8, 0.08), (12, 0.06))]
    average, most = misses(rows)
    assert (average.bar, average.row, average.rate, average.limit) == ("false", "t3, on average", 7.0, 5.0)
    assert average.error == pytest.approx(math.sqrt(5 * 95 / 800))
    assert (most.row, most.rate, most.limit) == ("t3, 8 even, plateau, none", 8.0, 7.0)
    assert most.error == pytest.approx(math.sqrt(7 * 93 / 400))
    assert misses([row("AR .5", n, "none", share) for n, share in ((8, 0.09), (12, 0.05))]) == []


@pytest.mark.parametrize(
    ("noise", "n", "case", "limit"),
    [
        ("normal", 25, {}, 95), ("normal", 12, {}, 85), ("normal", 60, {"spacing": "doubling"}, 85),
        ("normal", 25, {"shape": "line"}, 85), ("AR .5", 60, {}, 80), ("AR .5", 25, {"shape": "exponential"}, 75),
    ],
)  # fmt: skip
def test_ramps_are_to_be_found_more_often_where_that_is_easy(
    noise: str, n: int, case: dict[str, str], limit: float, misses: Any
) -> None:
    (miss,) = misses([row(noise, n, "ramp", limit / 100 - 0.01, case=case)])
    assert (miss.bar, miss.limit) == ("ramp", limit)
    assert misses([row(noise, n, "ramp", limit / 100, case=case)]) == []
    assert misses([row(noise, n, "ramp", 0.1, case=case, one_checkpoint=True)]) == []


def test_a_column_of_errors_is_to_hide_no_ramp(misses: Any) -> None:
    plain, hidden = row("AR .5", 25, "ramp", 0.99), row("shared errors AR .5", 25, "ramp", 0.9)
    (miss,) = misses([plain, hidden])
    assert (miss.bar, miss.row, miss.limit) == ("column", "shared errors AR .5, 25 even, plateau, ramp", 94.0)
    assert misses([plain, row("shared errors AR .5", 25, "ramp", 0.94)]) == []


def test_the_other_bars_are_of_their_own_figures(misses: Any) -> None:
    healthy = row("growing", 8, "ramp", 0.3)
    healthy["shares"]["not_saturated"] = 0.02
    rows = [
        healthy,
        row("normal", 16, "collapse", 0.69),
        row("normal", 60, "collapse", 0.9),
        row("normal", 25, "onset jump", 1.0, covered=0.84),
        row("normal", 25, "onset ramp", 1.0, covered=0.85),
        row("normal", 12, "lucky best", 0.02, carried=0.01),
    ]
    assert [(m.bar, m.rate, m.limit) for m in misses(rows)] == [
        ("few", 2.0, 0.0), ("collapse", pytest.approx(69.0), 70.0), ("onset", 84.0, 85.0), ("single", 1.0, 0.0),
    ]  # fmt: skip


def test_the_rates_that_ship_miss_no_more_than_the_page_says(misses: Any) -> None:
    rows = json.loads((ROOT / "docs" / "saturation_rates.json").read_text(encoding="utf-8"))["rows"]
    page = (ROOT / "docs" / "saturation.md").read_text(encoding="utf-8")
    for miss in misses(rows):
        assert f"| {miss.row} | {miss.rate:.1f} | {miss.limit:.1f} |" in page
        assert miss.bar != "column"  # kinds that differ in the column alone have the same noise
