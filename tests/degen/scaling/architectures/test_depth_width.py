"""Depth against width: planted effects, none, and tables that cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import linregress
from scipy.stats import t as student_t

from degen.errors import DegenError
from degen.scaling.architectures.columns import Cost, Quality
from degen.scaling.architectures.depth_width import Shapes, compare_shapes
from degen.tables import Row

COST = np.repeat(np.logspace(18, 21, 5), 3)
ASPECT = np.tile([16.0, 48.0, 128.0], 5)


def loss(effect: float, seed: int = 0, noise: float = 0.005) -> np.ndarray:
    """A power law of cost, and `effect` for each doubling of d_model/layers."""
    clean = 1.7 + 2 * (COST / 1e18) ** -0.12 + effect * np.log2(ASPECT / 48)
    return clean + np.random.default_rng(seed).normal(0, noise, len(COST))


def compare(values: np.ndarray, aspect: np.ndarray | str = ASPECT, cost: np.ndarray = COST, better: str = "min") -> Row:
    shapes = Shapes(aspect, "layers", "d_model") if not isinstance(aspect, str) else aspect
    quality = Quality("loss", values, "max" if better == "max" else "min")
    (row,) = compare_shapes(shapes, [Cost("flops", cost)], [quality], None)
    return row


@pytest.mark.parametrize(("effect", "verdict"), [(0.02, "deeper is better"), (-0.02, "wider is better")])
def test_planted_effect_of_depth_is_detected(effect: float, verdict: str) -> None:
    row = compare(loss(effect))
    assert row["verdict"] == verdict
    assert row["effect_low"] <= -effect <= row["effect_high"]
    assert row["pairs"] == 15
    assert row["deeper_better"] == (15 if effect > 0 else 0)
    negated = compare(-loss(effect), better="max")
    assert negated["verdict"] == verdict
    assert negated["effect"] == pytest.approx(-row["effect"])


def test_absent_effect_of_depth_is_seldom_reported() -> None:
    rows = [compare(loss(0, seed)) for seed in range(150)]
    assert sum(row["verdict"] != "no difference shown" for row in rows) <= 26  # of 15 expected
    assert {row["verdict"] for row in rows} <= {"no difference shown", "deeper is better", "wider is better"}


def test_effect_of_size_is_not_attributed_to_width() -> None:
    """Wider models cost more here; at equal cost their shape does nothing."""
    rng = np.random.default_rng(0)
    wrong = 0
    for seed in range(60):
        aspect = ASPECT * (COST / 1e19) ** 0.2 * np.exp(rng.normal(0, 0.1, 15))
        wrong += compare(loss(0, seed), aspect)["verdict"] != "no difference shown"
    assert wrong <= 13


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (compare(loss(0), "no column layers"), "no column layers"),
        (compare(loss(0), np.full(15, 48.0)), "have the same aspect ratio"),
        (compare(loss(0), np.full(15, np.nan)), "no point has a known shape"),
        (compare(loss(0), cost=np.logspace(18, 21, 15)), "no two models of different shape have flops within 10%"),
        (compare(loss(0)[:4], ASPECT[:4], COST[:4]), "4 points are too few"),
        (compare(loss(0), np.sqrt(COST / 1e17) * np.tile([1, 1.02, 1.04], 5)), "their effects cannot be separated"),
    ],
)
def test_tables_that_cannot_tell_depth_from_width_have_a_reason(row: Row, reason: str) -> None:
    assert row["verdict"] == "cannot tell"
    assert (row["effect"], row["effect_low"]) == (None, None)
    assert reason in row["reason"]


def test_effect_of_architecture_is_not_attributed_to_depth() -> None:
    """One architecture is deep and good, the other wide and bad: that says nothing of depth."""
    labels = ["deep" if aspect < 20 else "wide" for aspect in ASPECT]
    (row,) = compare_shapes(
        Shapes(np.where(ASPECT < 20, 16.0, 48.0), "l", "d"), [Cost("flops", COST)], [Quality("loss", loss(0.1), "min")],
        labels,
    )  # fmt: skip
    assert row["verdict"] == "cannot tell"
    assert "no two models of different shape" in row["reason"]


def test_equal_cost_of_zero_is_refused() -> None:
    with pytest.raises(DegenError, match="--equal-cost 0%"):
        compare_shapes("", [Cost("flops", COST)], [Quality("loss", COST, "min")], None, equal=0)


def test_interval_of_depth_at_one_cost_equals_simple_regression() -> None:
    aspect = np.array([8.0, 16, 32, 64, 128, 256])
    loss = 3 + 0.2 * np.log10(aspect) + np.array([0.01, -0.02, 0.015, 0.0, -0.01, 0.005])
    shapes = Shapes(aspect, "layers", "d_model")
    (row,) = compare_shapes(shapes, [Cost("flops", np.full(6, 1e18))], [Quality("loss", loss, "min")], None)
    line = linregress(np.log10(aspect), loss)
    assert row["effect"] == pytest.approx(-line.slope * np.log10(2))
    half = student_t.ppf(0.95, 4) * line.stderr * np.log10(2)
    assert row["effect_high"] - row["effect"] == pytest.approx(half)
    assert row["effect"] - row["effect_low"] == pytest.approx(half)
