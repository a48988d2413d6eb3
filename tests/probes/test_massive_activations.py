from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from degen.probes.massive_activations import MassiveActivations, MedianRows
from hypothesis import given, settings
from hypothesis import strategies as st
from state_feeds import SITE, alike, cloud, feed, measure, rotation, sample_of, seeds, split, without_reason

LENGTHS = [9, 4, 1, 16, 7, 12]


def explicit(states: list[np.ndarray]) -> dict[str, float]:
    coordinates = [abs(x) for h in states for row in h for x in row.tolist()]
    first = [float(np.linalg.norm(h[0])) for h in states]
    others = [float(np.linalg.norm(row)) for h in states for row in h[1:]]
    largest, ordered = max(coordinates), sorted(coordinates)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return {
        "max_activation": largest,
        "max_over_median": largest / median,
        "first_token_norm_ratio": (sum(first) / len(first)) / (sum(others) / len(others)),
    }


@settings(max_examples=30)
@given(seeds, st.integers(1, 6), st.permutations(range(6)), st.integers(1, 6))
def test_figures_are_those_of_all_coordinates_in_any_order_and_any_batches(
    seed: int, width: int, order: list[int], size: int
) -> None:
    values = cloud(seed, sum(LENGTHS), width)
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    alike(measure(MassiveActivations, values, LENGTHS, batches), explicit(split(values, LENGTHS)), 1e-12)


@settings(max_examples=20)
@given(seeds, st.floats(1e-3, 1e3))
def test_scale_and_order_of_coordinates_leave_the_ratios_and_a_rotation_the_norms(seed: int, scale: float) -> None:
    values = cloud(seed, sum(LENGTHS), 5)
    before = measure(MassiveActivations, values, LENGTHS)
    order = np.random.default_rng(seed).permutation(5)
    moved = measure(MassiveActivations, -scale * values[:, order], LENGTHS)
    alike(moved, without_reason(before) | {"max_activation": scale * before["max_activation"]}, 1e-12)
    rotated = measure(MassiveActivations, values @ rotation(seed, 5), LENGTHS)
    assert rotated["first_token_norm_ratio"] == pytest.approx(before["first_token_norm_ratio"], rel=1e-12)


def test_one_massive_coordinate_of_the_first_tokens_is_seen_by_both_ratios() -> None:
    draw = np.random.default_rng(0)
    values = draw.choice([-1.0, 1.0], size=(48, 16))
    values[::8, 3] = 2000.0
    row = measure(MassiveActivations, values, [8] * 6)
    assert (row["max_activation"], row["max_over_median"]) == (2000, 2000)
    assert row["first_token_norm_ratio"] == pytest.approx(math.sqrt(15 + 2000**2) / 4, rel=1e-12)
    assert row["reason"] is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_states_of_fewer_bits_are_read_as_they_are(dtype: torch.dtype) -> None:
    values = torch.from_numpy(cloud(4, sum(LENGTHS), 6)).to(dtype).double().numpy()
    alike(measure(MassiveActivations, values, LENGTHS, dtype=dtype), explicit(split(values, LENGTHS)), 1e-6)


def test_a_norm_above_the_largest_float16_is_no_infinity() -> None:
    row = measure(MassiveActivations, np.full((4, 9), 60_000.0), dtype=torch.float16)
    assert (row["max_activation"], row["first_token_norm_ratio"]) == (60_000, 1)


def test_the_median_of_many_positions_is_that_of_256_which_do_not_depend_on_the_order() -> None:
    lengths = [40] * 20
    values = split(cloud(1, 800, 3), lengths)
    rows = []
    for order in (range(20), reversed(range(20))):
        probe = MassiveActivations(sample_of(lengths))
        for i in order:
            feed(probe, values, [i])
        (row,) = probe.finish()["layers"]
        rows.append(row)
        assert probe.shared.get(MedianRows).states(SITE).shape == (256, 3)
    alike(rows[0], rows[1], 1e-12)
    assert rows[0]["max_over_median"] == pytest.approx(explicit(values)["max_over_median"], rel=0.2)
    assert rows[0]["max_activation"] == explicit(values)["max_activation"]


def test_states_of_zeros_have_zero_and_not_its_negative() -> None:
    for values in (np.zeros((4, 3)), -np.zeros((4, 3))):
        assert math.copysign(1, measure(MassiveActivations, values)["max_activation"]) == 1


def test_merged_halves_are_the_whole() -> None:
    values = split(cloud(3, sum(LENGTHS), 5), LENGTHS)
    halves = MassiveActivations(sample_of(LENGTHS)), MassiveActivations(sample_of(LENGTHS))
    feed(halves[0], values, [1, 3])
    feed(halves[1], values, [0, 2, 4, 5])
    halves[0].merge(halves[1])
    alike(halves[0].finish()["layers"][0], explicit(values), 1e-12)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((4, 3)), "has no median"),
        (np.zeros((4, 3)), "all tokens but the first are zero"),
        (np.full((4, 3), np.inf), "not finite"),
        (np.full((4, 3), np.nan), "not finite"),
        (np.ones((1, 3)), "no token but the first"),
    ],
)
def test_what_has_no_ratio_has_a_reason(values: np.ndarray, words: str) -> None:
    row = measure(MassiveActivations, values)
    assert words in row["reason"]
    assert None in (row.get("max_over_median"), row.get("first_token_norm_ratio"))
