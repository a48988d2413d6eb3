from __future__ import annotations

import math

import numpy as np
import pytest

from degen.saturation.evidence import evidence_of, evidence_unit
from degen.saturation.noise import Scatter
from degen.stats.window_contrasts import final_contrasts, highest_contrasts


def rows(n: int, count: int = 40) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(count, n)) + np.linspace(-1, 3, count)[:, None] * np.linspace(0, 1, n)


def slow_evidence(row: np.ndarray, few: bool) -> float:
    least = min(float(final_contrasts(np.delete(row, i)[None])[0]) for i in range(len(row)))
    if not few or least <= 0:
        return least
    ratio = float(final_contrasts(row[None])[0]) / least
    return least * float(np.interp(ratio, [2.0, 4.0], [2**0.8, 1.0])) if ratio > 2 else least * max(ratio, 1.0) ** 0.8


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("n", [3, 4, 5, 9, 15])
def test_the_evidence_is_the_least_without_each_value_and_what_one_may_add(n: int, few: bool) -> None:
    for row, evidence in zip(rows(n), evidence_of(rows(n), few=few), strict=True):
        assert evidence == pytest.approx(slow_evidence(row, few), rel=1e-9)


def test_one_value_adds_to_what_the_others_give_unless_it_is_out_of_proportion() -> None:
    row = np.append(np.random.default_rng(0).normal(size=11) + np.linspace(0, 4, 11), 0.0)
    found = []
    for last in (4, 7, 40, 1000):
        row[-1] = last
        found.append(float(evidence_of(row[None], few=True)[0]))
    assert found[0] < found[1] > found[2]
    assert found[2] == found[3] == pytest.approx(float(evidence_of(row[None])[0]))


def test_other_contrasts_have_an_evidence_of_their_own() -> None:
    hump = np.where((np.arange(12) > 3) & (np.arange(12) < 8), 5.0, 0.0) + 0.1 * rows(12, 1)[0]
    anywhere = evidence_of(hump[None], lambda each: highest_contrasts(each)[0])
    assert anywhere[0] > 3 > evidence_of(hump[None])[0]


@pytest.mark.parametrize(("checkpoints", "damping"), [(5, 0.6), (15, 0.6), (16, 0.3), (60, 0.3)])
def test_the_unit_grows_with_the_correlation_up_to_a_half(checkpoints: int, damping: float) -> None:
    for correlation, counted in ((0.2, 0.2), (-0.3, -0.3), (0.9, 0.5), (-0.8, -0.5)):
        unit = evidence_unit(Scatter(0.02, correlation), checkpoints)
        assert unit == pytest.approx(0.02 * math.exp(damping * counted))
