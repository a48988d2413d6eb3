from __future__ import annotations

import numpy as np
import pytest
from simulated_evidence import KNOWN, noise, rows_of

from degen.saturation.evidence import evidence_of
from degen.saturation.null_quantiles import TAILS, critical_evidence, p_value, quantiles_of


@pytest.mark.parametrize(("n", "tested"), [(8, 8), (13, 13), (24, 12)])
def test_the_shipped_quantiles_are_drawn_again(n: int, tested: int) -> None:
    """With another seed: the quantiles are about the same."""
    drawn = {(row[0], row[2]): np.array(row[3:], dtype=np.float64) for row in rows_of(n, 600, seed=7)}
    for kind in ("final", "highest"):
        shipped, again = quantiles_of(kind, n, tested), drawn[kind, tested]
        for tail, room in ((0.5, 0.3), (0.2, 0.3), (0.05, 0.5)):
            i = TAILS.index(tail)
            assert again[i] == pytest.approx(shipped[i], abs=room)


@pytest.mark.parametrize("n", KNOWN)
def test_with_known_noise_the_shares_of_draws_are_the_p_values(n: int) -> None:
    evidence = evidence_of(noise(np.random.default_rng([5, n]), 4000, n))
    for level in (0.02, 0.1, 0.5):
        assert np.mean(evidence > critical_evidence(level, "known final", n, n)) == pytest.approx(
            level, rel=0.15, abs=0.01
        )


def test_a_p_value_falls_with_the_evidence_from_1_to_a_thousandth() -> None:
    p = [p_value(evidence, "final", 25, 20) for evidence in np.linspace(-5, 20, 200)]
    assert (np.diff(p) <= 0).all()
    assert (p[0], p[-1]) == (1.0, pytest.approx(0.001))


@pytest.mark.parametrize("level", [0.001, 0.03, 0.05, 0.2, 0.9])
@pytest.mark.parametrize("size", [(5, 5), (23, 11), (24, 24), (64, 64), (63, 7)])
def test_the_critical_evidence_has_the_level_for_its_p_value(level: float, size: tuple[int, int]) -> None:
    assert p_value(critical_evidence(level, "final", *size), "final", *size) == pytest.approx(level, rel=1e-6)


def test_counts_that_were_not_drawn_lie_between_those_that_were() -> None:
    low, between, high = (quantiles_of("final", n, 20) for n in (20, 22, 24))
    np.testing.assert_allclose(between, (low + high) / 2, rtol=1e-9)
    assert (np.diff(low) > 0).all()
