"""The probes of moments against brute force over all states, closed forms and what leaves each figure as it is."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.common_mode import CommonMode
from degen.probes.isoscore import IsoScore, isoscore
from degen.probes.outlier_dimensions import OutlierDimensions
from degen.probes.participation_ratio import ParticipationRatio, centred_fourth
from degen.probes.rankme import RankMe
from degen.probes.state_spectrum import StateSpectrum
from degen.probes.two_nn import TwoNN
from hypothesis import given, settings
from hypothesis import strategies as st
from state_feeds import (
    SITE,
    alike,
    cloud,
    feed,
    feed_all,
    measure,
    rotation,
    sample_of,
    seeds,
    shared_probes,
    split,
    without_reason,
)

from degen.states import moments as module
from degen.states.moments import Moments, SiteMoments
from degen.states.spectra import alpha_req
from degen.states.state_rows import Vectors
from degen.stats.spectral_figures import participation_ratio

PROBES = [CommonMode, IsoScore, ParticipationRatio, RankMe, StateSpectrum]
LENGTHS = [9, 4, 1, 16, 7, 12]  # 49 states


def entropy(p: np.ndarray) -> float:
    return -sum(x * math.log(x) for x in p.tolist() if x > 0)


def power_law(values: np.ndarray) -> float:
    """Return α by weighted least squares, as the normal equations give it."""
    index = np.arange(11, 11 + len(values[10:100]))
    A = np.stack([-np.log(index), np.ones(len(index))], axis=1)
    W = np.diag(1 / index)
    return float(np.linalg.solve(A.T @ W @ A, A.T @ W @ np.log(values[10:100]))[0])


def explicit(h: np.ndarray, last: np.ndarray) -> dict[str, float]:
    """Return every figure by its definition, from the states themselves."""
    n, d = h.shape
    mean = sum(h) / n
    energy = sum(float(x @ x) for x in h) / n
    centred = h - mean
    units = [x / math.sqrt(float(x @ x)) for x in centred]
    cosines = [float(a @ b) for a, b in itertools.permutations(units, 2)]
    sigma, s = np.linalg.svd(h, compute_uv=False), np.linalg.svd(centred, compute_uv=False)
    variances = s**2 / s.dot(s)
    direction = mean / np.linalg.norm(mean)
    figures = {
        "mean_vector_share": float(mean @ mean) / energy,
        "common_mode_energy": sum(float(x @ direction) ** 2 for x in h) / n / energy,
        "centred_cosine": sum(cosines) / len(cosines),
        "participation_ratio": 1 / float(variances @ variances),
        "isoscore": (1 / float(variances @ variances) - 1) / (d - 1),
        "effective_rank_states": math.exp(entropy(sigma / sigma.sum())),
        "effective_rank_covariance": math.exp(entropy(variances)),
        "matrix_entropy": entropy(sigma**2 / sigma.dot(sigma)),
        "first_direction_variance": float(variances[0]),
    }
    for name, states in (("all", h), ("last", last)):
        sigma = np.linalg.svd(states, compute_uv=False)
        squares = np.linalg.svd(states - states.mean(axis=0), compute_uv=False) ** 2
        figures[f"rankme_{name}"] = math.exp(entropy(sigma / sigma.sum() + 1e-7))
        figures[f"rankme_covariance_{name}"] = math.exp(entropy(squares / squares.sum() + 1e-7))
        if len(squares) > 20:
            figures[f"alpha_req_{name}"] = power_law(squares[:-1] if len(states) <= d else squares)
    return figures


def all_figures(values: np.ndarray, lengths: list[int], **how: Any) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for kind in PROBES:
        row |= without_reason(measure(kind, values, lengths, **how))
    return row


@settings(max_examples=20)
@given(seeds, st.integers(2, 9), st.floats(0, 5))
def test_every_figure_is_that_of_its_definition(seed: int, width: int, offset: float) -> None:
    values = cloud(seed, sum(LENGTHS), width, offset)
    last = values[np.cumsum(LENGTHS) - 1]
    alike(all_figures(values, LENGTHS), explicit(values, last))


def test_a_wide_spectrum_has_an_exponent_at_all_positions_and_at_the_last_ones() -> None:
    lengths = [3] * 150
    values = cloud(1, 450, 40)
    row = all_figures(values, lengths)
    expected = explicit(values, values[2::3])
    assert {"alpha_req_all", "alpha_req_last"} <= expected.keys()
    alike(row, expected)


@settings(max_examples=20)
@given(seeds)
def test_the_corrected_ratio_is_that_of_averages_over_quadruples_of_different_states(seed: int) -> None:
    h = cloud(seed, 7, 3)
    of_trace, of_square = [], []
    for a, b, c, d in itertools.permutations(h, 4):
        x, y = a - b, c - d
        of_trace.append(float(x @ x) * float(y @ y) / 4)
        of_square.append(float(x @ y) ** 2 / 4)
    value = measure(ParticipationRatio, h)["participation_ratio_corrected"]
    expected = sum(of_trace) / sum(of_square)
    assert value == pytest.approx(expected, rel=1e-8)


def test_the_corrected_ratio_of_a_gaussian_cloud_is_its_dimension_where_the_plain_one_is_far_below() -> None:
    rows = [measure(ParticipationRatio, np.random.default_rng(i).normal(size=(60, 50)) + 3) for i in range(40)]
    plain = np.mean([row["participation_ratio"] for row in rows])
    corrected = np.median([row["participation_ratio_corrected"] for row in rows])
    assert plain < 30  # 1/P is about 1/50 + 1/59
    assert corrected == pytest.approx(50, rel=0.03)


@given(st.lists(st.floats(0, 1e3), min_size=2, max_size=20).filter(lambda v: max(v) > 1e-3))
def test_isoscore_is_the_participation_ratio_on_a_scale_from_0_to_1(values: list[float]) -> None:
    eigenvalues = np.asarray(values)
    ratio = participation_ratio(eigenvalues)
    assert ratio is not None
    assert isoscore(eigenvalues) == pytest.approx((ratio - 1) / (len(values) - 1), abs=1e-9)


@pytest.mark.parametrize(("k", "d"), [(1, 10), (5, 9), (9, 9)])
def test_k_equal_variances_of_d_have_the_closed_form_that_the_paper_of_isoscore_gives(k: int, d: int) -> None:
    points = np.concatenate([np.eye(d)[:k], -np.eye(d)[:k]])  # variance 1/k in k dimensions, none in others
    assert measure(IsoScore, points)["isoscore"] == pytest.approx((k - 1) / (d - 1), abs=1e-12)
    row = measure(StateSpectrum, points)
    assert row["effective_rank_states"] == pytest.approx(k, rel=1e-12)
    assert row["effective_rank_covariance"] == pytest.approx(k, rel=1e-12)
    assert row["matrix_entropy"] == pytest.approx(math.log(k), abs=1e-12)
    assert row["first_direction_variance"] == pytest.approx(1 / k, rel=1e-12)
    assert measure(CommonMode, points)["mean_vector_share"] == 0


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.5])
def test_the_exponent_of_an_exact_power_law_is_found(alpha: float) -> None:
    assert alpha_req(np.arange(1.0, 200) ** -alpha) == pytest.approx(alpha, rel=1e-10)
    assert alpha_req(np.arange(1.0, 25) ** -alpha) == pytest.approx(alpha, rel=1e-10)
    assert alpha_req(np.arange(1.0, 20) ** -alpha) is None


SCALE_AND_ROTATION = {name for kind in PROBES for name in (c.name for c in kind.columns["layers"])}
TRANSLATION = {
    "isoscore", "participation_ratio", "participation_ratio_corrected", "effective_rank_covariance", "centred_cosine",
    "first_direction_variance", "rankme_covariance_all", "rankme_covariance_last",
}  # fmt: skip


@settings(max_examples=25)
@given(seeds, st.floats(1e-3, 1e3))
def test_rotation_and_scale_leave_all_figures_and_translation_those_of_the_covariance(seed: int, scale: float) -> None:
    values = cloud(seed, sum(LENGTHS), 6)
    before = all_figures(values, LENGTHS)
    assert {name for name, value in before.items() if value is not None} >= SCALE_AND_ROTATION - {
        "alpha_req_all", "alpha_req_last"
    }  # fmt: skip
    alike(all_figures(scale * values @ rotation(seed, 6), LENGTHS), before, 1e-7)
    moved = all_figures(values + np.random.default_rng(seed).normal(size=6), LENGTHS)
    alike(moved, {name: before[name] for name in TRANSLATION}, 1e-7)


@settings(max_examples=25)
@given(seeds, st.permutations(range(len(LENGTHS))), st.integers(1, 5))
def test_order_and_size_of_batches_change_nothing(seed: int, order: list[int], size: int) -> None:
    values = cloud(seed, sum(LENGTHS), 5)
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    alike(all_figures(values, LENGTHS, batches=batches), all_figures(values, LENGTHS), 1e-10)


@pytest.mark.parametrize("kind", PROBES)
def test_merged_halves_are_the_whole(kind: Any) -> None:
    values = split(cloud(3, sum(LENGTHS), 5), LENGTHS)
    sample = sample_of(LENGTHS)
    halves = kind(sample), kind(sample)
    feed(halves[0], values, [1, 3])
    feed(halves[1], values, [0, 2, 4])
    feed(halves[1], values, [5])
    halves[0].merge(halves[1])
    (row,) = halves[0].finish()["layers"]
    alike(row, measure(kind, np.concatenate(values), LENGTHS), 1e-12)


def test_probes_that_share_add_each_batch_and_merge_each_accumulator_once() -> None:
    values, sample = split(cloud(3, sum(LENGTHS), 5), LENGTHS), sample_of(LENGTHS)
    one, two = shared_probes(PROBES, sample), shared_probes(PROBES, sample)
    feed_all(one, values, [0])
    feed_all(two, values, [1, 2])
    feed_all(two, values, [3, 4, 5])
    for probe, other in zip(one, two, strict=True):
        probe.merge(other)
    assert one[0].shared.get(Moments).of(SITE).count == sum(LENGTHS)
    assert one[0].shared.get(Moments) is one[-1].shared.get(Moments)
    row: dict[str, Any] = {}
    for probe in one:
        row |= without_reason(probe.finish()["layers"][0])
    alike(row, all_figures(np.concatenate(values), LENGTHS), 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_states_of_fewer_bits_give_the_figures_of_what_they_hold(dtype: torch.dtype) -> None:
    rounded = torch.from_numpy(cloud(4, sum(LENGTHS), 6)).to(dtype).double().numpy()
    alike(all_figures(rounded, LENGTHS, dtype=dtype), explicit(rounded, rounded[np.cumsum(LENGTHS) - 1]))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((5, 3)), "all its states are zero"),
        (np.full((5, 3), np.inf), "not finite"),
        (np.full((5, 3), np.nan), "not finite"),
        (np.full((5, 3), 1e200), "not finite, or too large"),
        (np.tile([1.0, 2.0, 3.0], (5, 1)), "all its states are equal"),
        (np.ones((1, 3)), "one position has no covariance"),
    ],
)
@pytest.mark.parametrize("kind", PROBES)
def test_states_without_a_spectrum_have_a_reason_and_no_number(kind: Any, values: np.ndarray, words: str) -> None:
    row = measure(kind, values)
    assert words in row["reason"]
    assert all(v is None or math.isfinite(v) for v in without_reason(row).values())
    if kind in (IsoScore, ParticipationRatio):
        assert all(v is None for v in without_reason(row).values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("massive", [1.0, 3000.0])
@pytest.mark.parametrize("kind", [*PROBES, OutlierDimensions, TwoNN])
def test_states_that_differ_by_rounding_alone_say_so_and_those_that_differ_by_more_do_not(
    kind: Any, massive: float, dtype: torch.dtype
) -> None:
    draw, step = np.random.default_rng(0), torch.finfo(dtype).eps
    state = draw.normal(size=12) + 0.01  # some coordinates are small, as is what a sum of large terms leaves
    state[3] *= massive
    noise = draw.integers(-1, 2, size=(200, 12)) * step * np.maximum(np.abs(state), 0.5)
    row = measure(kind, state + noise, [4] * 50, dtype=dtype)
    assert "differ by no more than the rounding of their type" in row["reason"]
    row = measure(kind, state + 40 * noise, [4] * 50, dtype=dtype)
    assert "rounding" not in (row["reason"] or "")
    only_small = state + noise
    only_small[:, 5] += 0.5 * draw.normal(size=200)  # one coordinate that does differ
    row = measure(kind, only_small, [4] * 50, dtype=dtype)
    assert "rounding" not in (row["reason"] or "")


def test_one_direction_has_an_entropy_of_zero_and_not_of_its_negative() -> None:
    row = measure(StateSpectrum, np.outer([1.0, 2.0, 3.0, -1.0], [1.0, 0.0]))
    assert math.copysign(1, row["matrix_entropy"]) == 1
    assert row["matrix_entropy"] == 0


def test_few_positions_give_the_value_and_a_reason_and_enough_of_them_none() -> None:
    for kind in (IsoScore, ParticipationRatio, StateSpectrum):
        assert "49 positions, fewer than 10 for each of 6" in measure(kind, cloud(1, 49, 6))["reason"]
        assert measure(kind, cloud(1, 60, 6))["reason"] is None
    row = measure(RankMe, cloud(1, 1000, 30), [100] * 10)
    assert "10 last tokens for 30 dimensions: rankme_last is 10 at most" in row["reason"]
    assert row["rankme_last"] <= 10
    assert row["alpha_req_last"] is None
    assert "alpha_req_last needs 20 eigenvalues above zero, and has 9" in row["reason"]
    assert row["alpha_req_all"] is not None


def test_one_dimension_has_no_isoscore_and_three_states_no_corrected_ratio() -> None:
    assert measure(IsoScore, cloud(1, 30, 1))["reason"] == "one dimension has no isoscore"
    row = measure(ParticipationRatio, cloud(1, 3, 2))
    assert row["participation_ratio_corrected"] is None
    assert "3 positions are too few" in row["reason"]
    assert row["participation_ratio"] is not None


def test_a_coordinate_of_massive_activations_does_not_spoil_the_small_variances() -> None:
    values = cloud(5, 400, 8, 0)
    values[:, 2] = 3000 + 0.1 * values[:, 2]
    alike(all_figures(values, [398, 2]), explicit(values, values[[397, 399]]))


@settings(max_examples=20)
@given(seeds, st.sampled_from([1e3, 1e5, 1e7]))
def test_moving_all_states_far_away_leaves_what_their_covariance_says(seed: int, far: float) -> None:
    values = cloud(seed, sum(LENGTHS), 6, 0.0).astype(np.float32).astype(np.float64)
    away = np.zeros(6)
    away[2] = float(2 ** round(math.log2(far)))
    moved = np.round(values * 2**20) / 2**20 + away  # a grid on which moving rounds nothing away
    near = moved - away
    batches = [[0, 1], [2, 3, 4], [5]]
    for kind in (IsoScore, ParticipationRatio, StateSpectrum):
        row, expected = (without_reason(measure(kind, v, LENGTHS, batches)) for v in (moved, near))
        for name in ("isoscore", "participation_ratio", "participation_ratio_corrected", "effective_rank_covariance"):
            if name in row:
                assert row[name] == pytest.approx(expected[name], rel=1e-9), name


@given(seeds)
def test_moments_of_two_passes_add_up_whatever_their_origins(seed: int) -> None:
    values = cloud(seed, 40, 5, 3.0)
    values[20:] += 50.0
    whole, first, second = (SiteMoments(5, torch.device("cpu")) for _ in range(3))
    whole.add(Vectors(torch.from_numpy(values)))
    first.add(Vectors(torch.from_numpy(values[:20])))
    second.add(Vectors(torch.from_numpy(values[20:])))
    first.merge(second)
    centred = values - values.mean(axis=0)
    assert first.count == whole.count == 40
    np.testing.assert_allclose(first.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(first.second_moment.numpy(), values.T @ values / 40, rtol=1e-10)
    np.testing.assert_allclose(first.variances, values.var(axis=0), rtol=1e-10)
    assert first.energy == pytest.approx((values**2).sum() / 40, rel=1e-12)
    fourth = ((centred**2).sum(axis=1) ** 2).sum()
    for moments in (first, whole):
        assert centred_fourth(moments) == pytest.approx(fourth, rel=1e-9)


@pytest.mark.parametrize("far", [0.0, 1e6])
def test_last_states_far_from_zero_keep_their_small_variances_and_equal_ones_have_none(far: float) -> None:
    draw = np.random.default_rng(0)
    states = (draw.normal(size=(60, 24)) * np.geomspace(3, 0.1, 24)).round(6)
    states = (states + far * draw.normal(size=24)).astype(np.float32).astype(np.float64)
    row = measure(RankMe, states, [1] * 60)
    centred = states - states.mean(axis=0)
    λ = np.linalg.svd(centred, compute_uv=False) ** 2 / 60
    p = λ / λ.sum() + 1e-7
    assert row["rankme_covariance_last"] == pytest.approx(np.exp(-p @ np.log(p)), rel=1e-9)
    assert row["alpha_req_last"] == pytest.approx(alpha_req(λ), rel=1e-9)
    equal = measure(RankMe, np.tile(states[:1] / 3, (60, 1)), [1] * 60)
    assert equal["rankme_covariance_last"] is None
    assert equal["alpha_req_last"] is None


def test_figures_by_torch_as_on_an_accelerator_are_those_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    values = cloud(3, sum(LENGTHS), 8, 2.0)
    expected = all_figures(values, LENGTHS)
    asked: list[torch.Tensor] = []

    def on_an_accelerator(tensor: torch.Tensor) -> bool:
        asked.append(tensor)
        return False

    monkeypatch.setattr(module, "_on_cpu", on_an_accelerator)
    alike(all_figures(values, LENGTHS), expected)
    assert asked
