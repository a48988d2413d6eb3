from __future__ import annotations

import numpy as np
import pytest

from degen.ngram.counting import NextTokens
from degen.ngram.estimate import Effort, estimated_curve, spectrum_of
from degen.ngram.matrix import Parts, split
from degen.ngram.w_error import WErrorCurve, exact_curve

# As much less than the default as these matrices are smaller than those that are estimated.
SMALL = Effort(probes=20, steps=32, largest=16, iterations=8)


def random_counts(seed: int) -> NextTokens:
    """Return counts of 500 to 1,500 contexts of several tokens each, as of short contexts: Zipf, or nearly uniform."""
    rng = np.random.default_rng(seed)
    contexts, vocabulary = int(rng.integers(500, 1500)), int(rng.integers(400, 1200))
    exponent = rng.uniform(0.3, 1.3)
    shares = np.arange(1, vocabulary + 1) ** -exponent
    repeats = np.minimum(rng.zipf(1.6, contexts) + rng.integers(0, 6), 60)
    row = np.repeat(np.arange(contexts), repeats)
    token = rng.choice(vocabulary, len(row), p=shares / shares.sum())
    pairs, count = np.unique(row * vocabulary + token, return_counts=True)
    row, token = np.divmod(pairs, vocabulary)
    return NextTokens(row, token, count, contexts, vocabulary)


def curves(seed: int) -> tuple[WErrorCurve, WErrorCurve]:
    parts = split(random_counts(seed), weighted=bool(seed % 2))
    return exact_curve(parts), estimated_curve(parts, 50, seed, SMALL)


@pytest.fixture(scope="module")
def fifty() -> list[tuple[WErrorCurve, WErrorCurve]]:
    return [curves(seed) for seed in range(50)]


@pytest.mark.parametrize("level", [0.5, 0.1])
def test_intervals_of_the_dimension_hold_the_exact_one(
    level: float, fifty: list[tuple[WErrorCurve, WErrorCurve]]
) -> None:
    held = 0
    for exact, estimated in fifty:
        true = exact.dimension(level)[0]
        value, low, high = estimated.dimension(level)
        assert low is not None
        assert high is not None
        assert low <= value <= high
        assert abs(value - true) <= 0.1 * true + 2
        held += low <= true <= high
    assert held >= 45


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6, 0.9])
def test_intervals_of_w_error_hold_the_exact_one(share: float, fifty: list[tuple[WErrorCurve, WErrorCurve]]) -> None:
    held = 0
    for exact, estimated in fifty:
        d = int(share * len(exact.w_error))
        value, low, high = estimated.at(d)
        assert low is not None
        assert high is not None
        assert high - low < 0.1
        held += low - 1e-12 <= exact.at(d)[0] <= high + 1e-12
        assert value == pytest.approx(exact.at(d)[0], abs=0.03)
    assert held >= 45


def test_a_curve_falls_from_one_to_zero(fifty: list[tuple[WErrorCurve, WErrorCurve]]) -> None:
    for exact, estimated in fifty:
        assert len(exact.w_error) == len(estimated.w_error)
        assert estimated.w_error[0] == pytest.approx(1)
        assert estimated.w_error[-1] == 0
        for curve in (estimated.w_error, estimated.low, estimated.high):
            assert curve is not None
            assert np.all(np.diff(curve) <= 1e-15)


def test_largest_eigenvalues_are_exact_and_the_rest_adds_up() -> None:
    block = max(split(random_counts(4), weighted=False).blocks, key=lambda b: min(b.shape))
    spectrum = spectrum_of(block, SMALL, np.random.default_rng(0))
    true = np.linalg.svd(block.toarray(), compute_uv=False) ** 2
    assert len(spectrum.exact) >= 3
    np.testing.assert_array_less(
        np.cumsum(true)[: len(spectrum.exact)], np.cumsum(spectrum.exact) + spectrum.coupling + 1e-9
    )
    assert np.all(spectrum.exact <= true[: len(spectrum.exact)] + 1e-9)
    assert spectrum.rest == pytest.approx(true.sum() - spectrum.exact.sum())
    assert spectrum.nodes.counts.sum(axis=1) == pytest.approx(min(block.shape) - len(spectrum.exact))


def test_as_many_steps_as_dimensions_give_the_exact_curve() -> None:
    """Lanczos to the end gives every eigenvalue; those of small blocks are exact in any case."""
    rng = np.random.default_rng(1)
    from scipy.sparse import csr_array

    parts = Parts(np.asarray([2.0, 1.0]), [csr_array(rng.random((30, 40))), csr_array(rng.random((5, 4)))])
    exact = exact_curve(parts)
    assert estimated_curve(parts, 30, 0, SMALL).w_error == pytest.approx(exact.w_error, abs=1e-12)
    estimated = estimated_curve(parts, 10, 0, Effort(probes=3, steps=40, largest=30, iterations=20))
    assert estimated.w_error == pytest.approx(exact.w_error, abs=1e-2)
