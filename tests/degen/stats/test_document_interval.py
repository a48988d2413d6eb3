"""Intervals of skewed figures: against the formula with every document written out, and how often they miss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from degen.stats.document_interval import JackknifeRange, document_interval, jackknife_range
from degen.stats.jackknife import jackknife_error

documents = st.lists(st.floats(-5, 5), min_size=3, max_size=40).filter(lambda x: np.ptp(x) > 1e-3)


def of_mean(values: np.ndarray, confidence: float = 0.95, **options: Any) -> Any:
    """Return the interval of the mean of independent documents."""
    left_out = (values.sum() - values) / (len(values) - 1)
    error = jackknife_error(left_out)
    assert error is not None
    return document_interval(
        float(values.mean()), error, confidence, len(values) - 1, jackknife_range(left_out), **options
    )


def with_one_more(values: np.ndarray, confidence: float) -> float:
    """Return the lower end with the unseen document as one of the values: Student's interval of W + 1 values."""
    mean, n = values.mean(), len(values)
    below, above = mean - values.min(), values.max() - mean
    unseen = mean - below - max(2, 40 / n) * max(0.0, below - above)
    more = np.append(values, unseen)
    # the quantile stays that of the documents that were seen
    return float(more.mean() - student.ppf(confidence, n - 1) * more.std(ddof=1) / math.sqrt(n + 1))


@given(documents, st.sampled_from([0.5, 0.8, 0.95, 0.99]))
def test_the_ends_are_those_of_a_sample_with_one_more_document(values: list[float], confidence: float) -> None:
    x = np.array(values)
    interval = of_mean(x, confidence)
    reach = student.ppf(confidence, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x))
    assert interval.normal_low == pytest.approx(x.mean() - reach, abs=1e-9)
    assert interval.normal_high == pytest.approx(x.mean() + reach, abs=1e-9)
    assert interval.low == pytest.approx(min(interval.normal_low, with_one_more(x, confidence)), abs=1e-9)
    assert interval.high == pytest.approx(max(interval.normal_high, -with_one_more(-x, confidence)), abs=1e-9)


@given(documents, st.floats(-3, 3), st.floats(0.1, 10))
def test_shift_scale_and_sign_carry_over(values: list[float], shift: float, scale: float) -> None:
    x = np.array(values)
    interval, moved, mirrored = of_mean(x), of_mean(shift + scale * x), of_mean(-x)
    assert moved.low == pytest.approx(shift + scale * interval.low, abs=1e-7)
    assert moved.high == pytest.approx(shift + scale * interval.high, abs=1e-7)
    assert (mirrored.low, mirrored.high) == pytest.approx((-interval.high, -interval.low), abs=1e-9)


@given(st.floats(-0.999, 0.999), st.floats(1e-6, 0.3), st.integers(1, 200))
def test_a_cosine_never_leaves_its_range(value: float, error: float, freedom: int) -> None:
    spread = JackknifeRange(max(value - error, -1.0), min(value + error, 1.0), value)
    interval = document_interval(value, error, 0.95, freedom, spread, cosine=True)
    assert -1 <= interval.low <= interval.normal_low <= value <= interval.normal_high <= interval.high <= 1


def test_small_errors_of_a_cosine_are_those_of_its_own_unit() -> None:
    plain = document_interval(0.6, 1e-5, 0.95, 50)
    cosine = document_interval(0.6, 1e-5, 0.95, 50, cosine=True)
    assert (cosine.low, cosine.high) == pytest.approx((plain.low, plain.high), abs=1e-9)


def test_the_centre_is_the_estimate_with_less_bias() -> None:
    interval = document_interval(0.15, 0.02, 0.5, 9, JackknifeRange(0.14, 0.16, 0.1), cosine=True)
    assert (interval.normal_low, interval.normal_high) == pytest.approx((0.1, 0.1))


def test_without_a_spread_it_is_student_and_without_documents_normal() -> None:
    assert document_interval(0.0, 1.0, 0.95, 9).high == pytest.approx(student.ppf(0.95, 9))
    assert document_interval(0.0, 1.0, 0.95).high == pytest.approx(1.6448536)
    assert document_interval(2.0, 0.0, 0.95, 9).low == 2.0


@pytest.mark.parametrize("count", [10, 30, 100])
def test_a_rare_outlying_document_hardly_ever_makes_a_false_alarm(count: int) -> None:
    """Pareto documents, of which Student's interval misses the mean in a fifth of the samples or more."""
    generator = np.random.default_rng(count)
    mean = 2.5 / 1.5
    drawn = generator.pareto(2.5, size=(1000, count)) + 1
    ends = [of_mean(-row) for row in drawn]
    assert np.mean([end.normal_low > -mean for end in ends]) > 0.1
    assert np.mean([end.low > -mean for end in ends]) <= 0.07
