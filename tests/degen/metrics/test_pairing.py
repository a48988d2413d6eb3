"""Differences of losses paired by windows: their errors against those of two values that have nothing in common."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from degen.arrays import Floats
from degen.metrics.window_losses import WindowLosses, paired_covariance
from degen.stats.document_interval import document_interval

LOSSES = st.floats(0, 20, allow_nan=False, width=32)


def on_windows(losses: Floats, per_document: int = 2) -> WindowLosses:
    numbers = np.arange(len(losses))
    return WindowLosses(numbers, numbers // per_document, 30.0 + numbers % 7, losses)


@given(arrays(np.float64, (2, 12), elements=LOSSES))
def test_a_paired_error_is_that_of_two_values_less_their_covariance(losses: Floats) -> None:
    one, other = on_windows(losses[0]), on_windows(losses[1])
    paired, apart = one.difference_error(other), math.hypot(one.error() or 0, other.error() or 0)
    covariance = paired_covariance([one, other])
    assert paired is not None
    assert covariance is not None
    assert paired**2 == pytest.approx(apart**2 - 2 * covariance[0, 1], abs=1e-9)
    assert paired <= (one.error() or 0) + (other.error() or 0) + 1e-9
    if covariance[0, 1] >= 1e-9:
        assert paired < apart


@given(st.integers(0, 2**32 - 1), st.floats(-0.5, 5), st.floats(0, 1))
def test_a_paired_error_of_checkpoints_that_find_the_same_texts_hard_is_not_above_the_unpaired(
    seed: int, shift: float, share: float
) -> None:
    """The other checkpoint has the same losses, shifted and drawn towards their mean, as adjacent ones have."""
    one = np.random.default_rng(seed).gamma(2.0, 1.5, size=40)
    other = one.mean() + share * (one - one.mean()) + shift
    paired, first, second = (
        on_windows(one).difference_error(on_windows(other)),
        on_windows(one).error(),
        on_windows(other).error(),
    )
    assert paired is not None
    assert paired <= math.hypot(first or 0, second or 0) + 1e-12


def test_paired_intervals_hold_the_true_difference_as_often_as_they_say() -> None:
    """Documents of skewed difficulty, drawn anew 1,000 times; the true difference is 0.1 nats."""
    rng, held, ratios = np.random.default_rng(3), 0, []
    for _ in range(1000):
        hard = np.repeat(rng.gamma(2.0, 1.0, size=50), 2)
        one, other = on_windows(hard + rng.normal(0.1, 0.3, 100)), on_windows(hard + rng.normal(0, 0.3, 100))
        error = one.difference_error(other)
        assert error is not None
        interval = document_interval(one.mean() - other.mean(), error, 0.95, one.freedom)
        held += interval.low <= 0.1 <= interval.high
        ratios.append(error / math.hypot(one.error() or 0, other.error() or 0))
    assert 870 <= held <= 930
    assert np.median(ratios) < 0.5
