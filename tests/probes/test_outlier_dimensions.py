from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from degen.probes.outlier_dimensions import OutlierDimensions
from hypothesis import given, settings
from hypothesis import strategies as st
from state_feeds import alike, cloud, feed, measure, sample_of, seeds, split, without_reason

LENGTHS = [9, 4, 1, 16, 7, 12]


def parts_of(vectors: np.ndarray) -> np.ndarray:
    """Return the mean over all ordered pairs of the products of unit vectors, coordinate by coordinate."""
    units = [v / np.linalg.norm(v) for v in vectors if v.any()]
    return np.mean([a * b for a, b in itertools.permutations(units, 2)], axis=0)


def explicit(h: np.ndarray) -> dict[str, Any]:
    raw = parts_of(h)
    z = (h - h.mean(axis=0)) / h.std(axis=0)
    even = parts_of(z)
    figures: dict[str, Any] = {"standardised_cosine": float(even.sum())}
    figures["outlier_share_standardised"] = float(even.max() / even.sum()) if even.sum() >= 0.01 else None
    big = raw.sum() >= 0.01
    figures["outlier_share"] = float(raw.max() / raw.sum()) if big else None
    figures["outlier_dimension"] = int(raw.argmax()) if big else None
    return figures


@settings(max_examples=25)
@given(seeds, st.integers(2, 7), st.floats(0, 5))
def test_shares_are_those_of_the_mean_over_the_pairs_themselves(seed: int, width: int, offset: float) -> None:
    values = cloud(seed, sum(LENGTHS), width, offset)
    alike(measure(OutlierDimensions, values, LENGTHS), explicit(values), 1e-8)


@settings(max_examples=20)
@given(seeds, st.permutations(range(6)), st.integers(1, 4))
def test_batches_order_scale_and_order_of_coordinates_leave_the_shares(seed: int, order: list[int], size: int) -> None:
    values = cloud(seed, sum(LENGTHS), 6, 4)
    before = measure(OutlierDimensions, values, LENGTHS)
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    moved = measure(OutlierDimensions, 3 * values[:, order], LENGTHS, batches)
    assert order[moved.pop("outlier_dimension")] == before["outlier_dimension"]
    alike(moved, {name: value for name, value in without_reason(before).items() if name != "outlier_dimension"})


@given(seeds, st.floats(0.1, 10), st.floats(-5, 5))
def test_scaling_and_moving_single_coordinates_leaves_the_standardised_cosine(seed: int, a: float, b: float) -> None:
    values = cloud(seed, 30, 4)
    moved = values * np.array([a, 1, 1, 1 / a]) + np.array([0, b, -b, 1])
    before = measure(OutlierDimensions, values)["standardised_cosine"]
    assert measure(OutlierDimensions, moved)["standardised_cosine"] == pytest.approx(before, abs=1e-8)


def test_one_coordinate_far_from_zero_carries_the_cosine_and_standardising_takes_it_away() -> None:
    values = np.random.default_rng(0).normal(size=(400, 20))
    values[:, 13] += 50
    probe = OutlierDimensions(sample_of([400]))
    feed(probe, [values], [0])
    rows = probe.finish()
    (row,) = rows["layers"]
    assert (row["outlier_dimension"], row["outlier_share"]) == (13, pytest.approx(1, abs=1e-3))
    assert abs(row["standardised_cosine"]) < 0.01
    assert row.get("outlier_share_standardised") is None
    assert row["reason"] is None
    table = rows["outlier_dimensions"]
    assert [r["index"] for r in table] == list(range(10))
    assert table[0]["coordinate"] == 13
    shares = [r["cosine_share"] for r in table]
    assert shares == sorted(shares, reverse=True)


def test_merged_halves_are_the_whole() -> None:
    values = split(cloud(3, sum(LENGTHS), 5, 4), LENGTHS)
    halves = OutlierDimensions(sample_of(LENGTHS)), OutlierDimensions(sample_of(LENGTHS))
    feed(halves[0], values, [1, 3])
    feed(halves[1], values, [0, 2, 4, 5])
    halves[0].merge(halves[1])
    alike(halves[0].finish()["layers"][0], explicit(np.concatenate(values)))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((4, 3)), "all its states are zero"),
        (np.full((4, 3), np.nan), "not finite"),
        (np.tile([1.0, 2.0, 3.0], (4, 1)), "all its states are equal"),
        (np.ones((1, 3)), "has no two states"),
        (np.concatenate([np.eye(3), -np.eye(3)]), "the mean cosine is below 0.01"),
    ],
)
def test_what_has_no_share_has_a_reason(values: np.ndarray, words: str) -> None:
    row = measure(OutlierDimensions, values)
    assert words in row["reason"]
    assert all(v is None or math.isfinite(v) for v in without_reason(row).values())


def test_a_constant_coordinate_and_zero_vectors_are_no_division_by_zero() -> None:
    values = cloud(1, 40, 4, 4)
    values[:, 2] = 7.0
    values[5] = 0.0
    row = measure(OutlierDimensions, values)
    assert row["outlier_share"] == pytest.approx(float(parts_of(values).max() / parts_of(values).sum()))
    assert math.isfinite(row["standardised_cosine"])
