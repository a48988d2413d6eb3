from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import kstest

from degen.arrays import Floats
from degen.stats.power_law_tail import PowerLawTail, power_law_tail

samples = st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=40, unique=True).map(np.array)


def twin(values: Floats) -> tuple[float, float, int, float]:
    """Return α, x_min, n and the distance by the formulas, one value at a time."""
    best = (math.inf, 0.0, 0.0, 0)
    for start in sorted({float(v) for v in values})[:-1]:
        tail = sorted(float(v) for v in values if v >= start)
        alpha = 1 + len(tail) / math.fsum(math.log(v / start) for v in tail)
        distance = max(abs(1 - (v / start) ** (1 - alpha) - i / len(tail)) for i, v in enumerate(tail))
        best = min(best, (distance, alpha, start, len(tail)), key=lambda found: found[0])
    return best[1], best[2], best[3], best[0]


def fitted(values: Floats) -> PowerLawTail:
    tail = power_law_tail(values)
    assert tail is not None
    return tail


@given(samples)
@example(np.array([1.0, math.nextafter(1000, 0), 1000.0]))  # two values whose logarithms are one
def test_the_fit_is_the_one_of_the_formulas_written_out(values: Floats) -> None:
    tail = fitted(values)
    alpha, start, count, distance = twin(values)
    assert tail.distance == pytest.approx(distance, abs=1e-9)
    if tail.count == count:  # two beginnings may lie equally near
        assert tail.exponent == pytest.approx(alpha, rel=1e-8)
        assert tail.start == pytest.approx(start, rel=1e-12)
        assert tail.standard_error == pytest.approx((alpha - 1) / math.sqrt(count), rel=1e-8)


@given(samples)
def test_the_two_sided_distance_is_larger_by_a_value_of_the_tail_at_most(values: Floats) -> None:
    tail = fitted(values)
    logs = np.log(values[values >= tail.start] / tail.start)
    two_sided = float(kstest((tail.exponent - 1) * logs, "expon").statistic)
    assert tail.distance - 1e-9 <= two_sided <= tail.distance + 1 / tail.count + 1e-9


@given(samples, st.integers(-300, 300), st.integers(0, 99))
def test_order_and_scale_change_neither_exponent_nor_tail(values: Floats, exponent: int, seed: int) -> None:
    tail = fitted(values)
    other = fitted(np.ldexp(np.random.default_rng(seed).permutation(values), exponent))
    assert other.distance == pytest.approx(tail.distance, abs=1e-9)
    if other.count == tail.count:
        assert other.exponent == pytest.approx(tail.exponent, rel=1e-6)
        assert other.start == pytest.approx(math.ldexp(tail.start, exponent), rel=1e-9)


@pytest.mark.parametrize("alpha", [1.8, 2.5, 4.0])
def test_a_power_law_is_found_again(alpha: float) -> None:
    values = np.random.default_rng(1).uniform(size=4000) ** (-1 / (alpha - 1))
    tail = fitted(values)
    assert tail.count > 1000
    assert tail.exponent == pytest.approx(alpha, abs=4 * tail.standard_error)
    assert tail.reason is None


def test_what_lies_below_the_tail_is_left_out() -> None:
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.uniform(0.1, 5, size=3000), 5 * rng.uniform(size=1000) ** (-1 / 1.5), np.zeros(10)])
    tail = fitted(values)
    assert tail.exponent == pytest.approx(2.5, abs=0.2)
    assert tail.start == pytest.approx(5, rel=0.3)


def test_a_short_tail_says_so() -> None:
    assert fitted(np.arange(1.0, 20.0)).reason == (
        f"the power law is fitted to a tail of {fitted(np.arange(1.0, 20.0)).count} values, and needs 50"
    )


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [1.0], [2.0, 2.0, 0.0]])
def test_fewer_than_two_different_values_have_no_tail(values: list[float]) -> None:
    assert power_law_tail(np.array(values)) is None


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(5))
def test_the_package_powerlaw_fits_the_same(seed: int) -> None:
    powerlaw = pytest.importorskip("powerlaw")
    rng = np.random.default_rng(seed)
    values = np.linalg.svd(rng.standard_t(3, size=(300, 100)), compute_uv=False) ** 2
    tail, peer = fitted(values), powerlaw.Fit(values, verbose=False, parameter_ranges={"alpha": [1.0, 100.0]})
    assert tail.exponent == pytest.approx(peer.power_law.alpha, abs=1e-8)
    assert tail.start == pytest.approx(peer.xmin, rel=1e-12)
    assert tail.distance == pytest.approx(peer.power_law.D, abs=1e-8)
