from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.two_nn import TwoNN, two_nn
from hypothesis import given, settings
from hypothesis import strategies as st
from state_feeds import SITE, alike, cloud, feed, measure, rotation, sample_of, seeds, split

from degen.errors import DegenError
from degen.states.chosen_rows import LastTokens, Reservoir
from degen.text.windows import Sample, Window

LENGTHS = [9, 4, 1, 16, 7, 12]


def explicit(h: np.ndarray) -> float:
    """Return the slope from all distances, one by one."""
    logs = []
    for i, x in enumerate(h):
        nearest, second = sorted(math.dist(x, y) for j, y in enumerate(h) if j != i)[:2]
        logs.append(math.log(second / nearest))
    kept = sorted(logs)[: int(0.9 * len(h))]
    pairs = [(x, -math.log(1 - (i + 1) / len(h))) for i, x in enumerate(kept)]
    return sum(x * y for x, y in pairs) / sum(x * x for x, _ in pairs)


@settings(max_examples=40)
@given(seeds, st.integers(3, 60), st.integers(1, 8))
def test_the_dimension_is_that_of_all_distances_computed_one_by_one(seed: int, count: int, width: int) -> None:
    assert two_nn(cloud(seed, count, width, 100)) == pytest.approx(explicit(cloud(seed, count, width, 100)), rel=1e-8)


@settings(max_examples=25)
@given(seeds, st.floats(1e-3, 1e3))
def test_rotation_scale_and_translation_leave_it(seed: int, scale: float) -> None:
    values = cloud(seed, 49, 4)
    moved = scale * values @ rotation(seed, 4) + 3 * scale
    assert two_nn(moved) == pytest.approx(two_nn(values), rel=1e-7)


@pytest.mark.parametrize(("k", "tolerance"), [(1, 0.1), (2, 0.1), (5, 0.15)])
def test_a_flat_manifold_in_many_dimensions_has_its_own_dimension(k: int, tolerance: float) -> None:
    draw = np.random.default_rng(k)
    flat = draw.uniform(size=(1500, k)) @ draw.normal(size=(k, 64))
    assert two_nn(flat) == pytest.approx(k, rel=tolerance)


def test_more_states_than_are_compared_at_once_give_the_same() -> None:
    values = cloud(2, 1203, 3)
    assert two_nn(values) == pytest.approx(explicit(values), rel=1e-8)


@settings(max_examples=15)
@given(seeds, st.permutations(range(6)), st.integers(1, 4))
def test_order_and_size_of_batches_change_nothing_though_positions_are_left_out(
    seed: int, order: list[int], size: int
) -> None:
    values = split(cloud(seed, sum(LENGTHS), 5), LENGTHS)
    rows = []
    for batches in ([range(6)], [order[i : i + size] for i in range(0, len(order), size)]):
        probe = TwoNN(sample_of(LENGTHS, 10**6), positions=20)
        for batch in batches:
            feed(probe, values, batch)
        rows.append(probe.finish()["layers"])
    assert rows[0] == rows[1]


def test_the_positions_depend_on_the_windows_numbers_alone_and_are_spread_over_them() -> None:
    lengths = [100] * 50
    kept = Reservoir(sample_of(lengths))
    assert len(kept.windows) == 2000
    counts = np.bincount(kept.windows, minlength=50)
    assert counts.min() > 20
    assert counts.max() < 60
    assert abs(kept.positions.mean() - 49.5) < 3
    few = type("Few", (Reservoir,), {"limit": 100})(sample_of(lengths))
    pairs = set(zip(kept.windows.tolist(), kept.positions.tolist(), strict=True))
    assert set(zip(few.windows.tolist(), few.positions.tolist(), strict=True)) < pairs


def test_states_left_out_at_the_front_are_not_among_the_positions() -> None:
    sample = sample_of([10, 3, 20])
    assert set(zip(*(a.tolist() for a in Reservoir(sample, 5).candidates()), strict=True)) == {
        *((0, p) for p in range(5, 10)), *((2, p) for p in range(5, 20))
    }  # fmt: skip
    assert [a.tolist() for a in LastTokens(sample, 5).candidates()] == [[0, 2], [9, 19]]


def test_merged_halves_are_the_whole() -> None:
    values = split(cloud(3, sum(LENGTHS), 5), LENGTHS)
    halves = TwoNN(sample_of(LENGTHS, 10**6)), TwoNN(sample_of(LENGTHS, 10**6))
    feed(halves[0], values, [1, 3])
    feed(halves[1], values, [0, 2, 4, 5], torch.float64)
    halves[0].merge(halves[1])
    assert halves[0].shared.get(Reservoir).states(SITE).tolist() == np.concatenate(values).tolist()
    alike(halves[0].finish()["layers"][0], {"two_nn_dimension": explicit(np.concatenate(values))})


def test_copies_of_a_state_count_once_and_are_named() -> None:
    values = cloud(3, 30, 4)
    row = measure(TwoNN, np.concatenate([values, values[:12], values[:5]]), vocabulary=10**6)
    assert row["two_nn_dimension"] == pytest.approx(explicit(values), rel=1e-8)
    assert "of 30 different states at 47 positions" in row["reason"]


def test_states_behind_the_same_tokens_are_copies_but_for_rounding() -> None:
    values = cloud(3, 30, 4)
    again = values[:6] * (1 + 1e-7 * np.random.default_rng(0).normal(size=(6, 4)))
    tokens = np.arange(30, dtype=np.int32)
    windows = (Window(0, 0, None, 0, 9, tokens), Window(1, 1, None, 0, 9, tokens[:6]))
    probe = TwoNN(Sample("t", windows))
    feed(probe, [values, again], [0, 1])
    (row,) = probe.finish()["layers"]
    assert row["two_nn_dimension"] == pytest.approx(explicit(values), rel=1e-8)
    assert "of 30 different states at 36 positions" in row["reason"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((4, 3)), "fewer than three"),
        (np.full((4, 3), np.nan), "not finite"),
        (np.tile([1.0, 2.0, 3.0], (4, 1)), "fewer than three"),
        (np.ones((1, 3)), "fewer than three"),
        (np.eye(5), "neighbours at equal distances"),
        (cloud(1, 40, 30), "fewer than 10 for each dimension"),
    ],
)
def test_what_has_no_dimension_or_one_that_is_too_low_has_a_reason(values: np.ndarray, words: str) -> None:
    assert words in measure(TwoNN, values)["reason"]


@pytest.mark.parametrize("options", [{"positions": 2}, {"positions": 1 << 20}, {"positions": "9"}, {"neighbours": 3}])
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DegenError, match=r"two_nn: positions|has no option"):
        TwoNN.check(options)
