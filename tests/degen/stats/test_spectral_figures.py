from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from degen.arrays import Floats
from degen.stats.spectral_figures import (
    condition_number,
    directions_holding,
    effective_rank,
    entropy_from_flat,
    participation_ratio,
    spectral_gap,
    squares,
    stable_rank,
    top_share,
)

spectra = st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=40).map(np.array)


def twin_k(values: Floats, share: float) -> int:
    ordered = sorted((float(v) ** 2 for v in values), reverse=True)
    total = math.fsum(ordered)
    return next(k for k in range(1, len(ordered) + 1) if math.fsum(ordered[:k]) >= share * total * (1 - 1e-12))


def twin_entropy(weights: list[float]) -> float:
    total = math.fsum(weights)
    return -math.fsum(w / total * math.log(w / total) for w in weights if w)


@given(spectra)
def test_every_figure_equals_its_formula_written_out(values: Floats) -> None:
    σ = sorted((float(v) for v in values), reverse=True)
    λ = [s * s for s in σ]
    assert effective_rank(values) == pytest.approx(math.exp(twin_entropy(σ)), abs=1e-8)
    assert stable_rank(values) == pytest.approx(math.fsum(λ) / λ[0], abs=1e-8)
    assert top_share(values) == pytest.approx(λ[0] / math.fsum(λ), abs=1e-8)
    assert participation_ratio(values) == pytest.approx(math.fsum(σ) ** 2 / math.fsum(λ), abs=1e-8)
    assert participation_ratio(squares(values)) == pytest.approx(
        math.fsum(λ) ** 2 / math.fsum(x * x for x in λ), abs=1e-8
    )
    assert condition_number(values) == pytest.approx(σ[0] / σ[-1], rel=1e-12)
    assert spectral_gap(values) == pytest.approx((σ[0] - σ[1]) / σ[0], abs=1e-12)
    assert entropy_from_flat(values) == pytest.approx(math.log(len(σ)) - twin_entropy(σ), abs=1e-8)
    for share in (0.5, 0.9, 0.95, 0.99, 1.0):
        assert directions_holding(values, share) == twin_k(values, share)


FIGURES: list[Callable[[Floats], float | None]] = [
    effective_rank, stable_rank, top_share, participation_ratio, condition_number, spectral_gap,
    lambda values: directions_holding(values, 0.9), lambda values: entropy_from_flat(squares(values)),
]  # fmt: skip


@pytest.mark.parametrize("figure", FIGURES)
@given(values=spectra, exponent=st.integers(-900, 900), seed=st.integers(0, 99))
def test_order_and_scale_change_no_figure(
    figure: Callable[[Floats], float | None], values: Floats, exponent: int, seed: int
) -> None:
    """Scaled by powers of two, which round nothing: also where squares would be no float64."""
    shuffled = np.random.default_rng(seed).permutation(values)
    assert figure(np.ldexp(shuffled, exponent)) == pytest.approx(figure(values), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n", [2, 3, 100])
def test_a_flat_spectrum_and_one_direction(n: int) -> None:
    flat, one = np.full(n, 7.0), np.eye(n)[0]
    for figure in (effective_rank, stable_rank, participation_ratio):
        assert figure(flat) == pytest.approx(n, rel=1e-12)
        assert figure(one) == pytest.approx(1, rel=1e-12)
    assert (top_share(flat), top_share(one)) == (pytest.approx(1 / n), 1)
    assert (condition_number(flat), condition_number(one)) == (1, math.inf)
    assert (spectral_gap(flat), spectral_gap(one)) == (0, 1)
    assert (directions_holding(flat, 0.9), directions_holding(one, 0.9)) == (math.ceil(0.9 * n), 1)
    assert entropy_from_flat(flat) == pytest.approx(0, abs=1e-12)
    assert entropy_from_flat(one) == pytest.approx(math.log(n))


def test_a_value_lost_in_rounding_makes_a_matrix_singular_where_that_is_asked() -> None:
    values = np.array([2.0, 1.0, 1e-13])
    assert condition_number(values) == pytest.approx(2e13)
    assert condition_number(values, rounding=1e-12) == math.inf


@pytest.mark.parametrize("values", [np.zeros(0), np.zeros(1), np.zeros(5)])
def test_zeros_alone_have_no_figure(values: Floats) -> None:
    for figure in FIGURES[:-1]:
        assert figure(values) is None
    assert not squares(values).any()


def test_a_single_value_has_no_gap() -> None:
    assert spectral_gap(np.array([3.0])) is None


@pytest.mark.parametrize("shape", [(4000, 40), (20000, 100)])
def test_of_a_gaussian_matrix_the_divergence_from_flat_is_that_of_marchenko_and_pastur(shape: tuple[int, int]) -> None:
    """With ratio γ = d/V of the sides KL is γ/2 for σ² and γ/8 for σ, to first order in γ."""
    V, d = shape
    values = np.linalg.svd(np.random.default_rng(0).normal(size=shape), compute_uv=False)
    assert entropy_from_flat(squares(values)) == pytest.approx(d / (2 * V), rel=0.05)
    assert entropy_from_flat(values) == pytest.approx(d / (8 * V), rel=0.05)
