from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from degen.probes.self_similarity import WORDS, SelfSimilarity, frequent_tokens
from hypothesis import given, settings
from hypothesis import strategies as st
from state_feeds import alike, cloud, feed, measure, rotation, sample_of, seeds, split, without_reason

from degen.text.windows import Sample, Window

LENGTHS = [9, 4, 1, 16, 7, 12]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def explicit(states: list[np.ndarray], sample: Sample) -> dict[str, float]:
    """Return the definitions of the paper, pair by pair."""
    occurrences = defaultdict(list)
    for window, h in zip(sample.windows, states, strict=True):
        for token, x in zip(window.tokens.tolist(), h, strict=True):
            occurrences[token].append(x)
    of_tokens = [
        np.mean([cosine(a, b) for a, b in itertools.permutations(found, 2)])
        for found in occurrences.values()
        if len(found) > 1
    ]
    of_windows = [np.mean([cosine(h.mean(axis=0), x) for x in h]) for h in states]
    baseline = np.mean([cosine(a, b) for a, b in itertools.permutations(np.concatenate(states), 2)])
    return {
        "self_similarity": float(np.mean(of_tokens)),
        "self_similarity_adjusted": float(np.mean(of_tokens) - baseline),
        "self_similarity_tokens": len(of_tokens),
        "intra_similarity": float(np.mean(of_windows)),
        "intra_similarity_adjusted": float(np.mean(of_windows) - baseline),
    }


@settings(max_examples=20)
@given(seeds, st.integers(1, 6), st.permutations(range(6)), st.integers(1, 6), st.floats(0, 4))
def test_figures_are_those_of_all_pairs_in_any_order_and_any_batches(
    seed: int, width: int, order: list[int], size: int, offset: float
) -> None:
    values = cloud(seed, sum(LENGTHS), width, offset)
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    alike(
        measure(SelfSimilarity, values, LENGTHS, batches),
        explicit(split(values, LENGTHS), sample_of(LENGTHS)),
    )


@settings(max_examples=20)
@given(seeds, st.floats(1e-3, 1e3))
def test_rotation_and_scale_leave_all_figures(seed: int, scale: float) -> None:
    values = cloud(seed, sum(LENGTHS), 5)
    before = measure(SelfSimilarity, values, LENGTHS)
    alike(measure(SelfSimilarity, scale * values @ rotation(seed, 5), LENGTHS), without_reason(before))


def test_states_that_depend_on_the_token_alone_have_self_similarity_1_and_random_ones_none_above_the_baseline() -> None:
    lengths = [40] * 20
    sample = sample_of(lengths)
    draw = np.random.default_rng(0)
    of_token = draw.normal(size=(7, 64))
    values = np.concatenate([of_token[w.tokens] for w in sample.windows])
    assert measure(SelfSimilarity, values, lengths)["self_similarity"] == pytest.approx(1, abs=1e-12)
    row = measure(SelfSimilarity, draw.normal(size=(800, 64)) + 1, lengths)
    assert row["self_similarity"] > 0.3
    assert row["self_similarity_adjusted"] == pytest.approx(0, abs=0.01)


def test_the_tokens_are_the_200_most_frequent_ones_that_occur_twice() -> None:
    draw = np.random.default_rng(0)
    tokens = [draw.zipf(1.3, size=500).clip(max=600).astype(np.int32) for _ in range(40)]
    sample = Sample("t", tuple(Window(i, i, None, 0, 500, t) for i, t in enumerate(tokens)))
    for first in (0, 100):
        counts = Counter(np.concatenate([t[first:] for t in tokens]).tolist())
        ordered = sorted(counts, key=lambda token: (-counts[token], token))[:WORDS]
        assert frequent_tokens(sample.windows, first).tolist() == [token for token in ordered if counts[token] > 1]
    assert len(frequent_tokens(sample.windows)) == WORDS


def test_merged_halves_are_the_whole() -> None:
    values, sample = split(cloud(3, sum(LENGTHS), 5), LENGTHS), sample_of(LENGTHS)
    halves = SelfSimilarity(sample), SelfSimilarity(sample)
    feed(halves[0], values, [1, 3])
    feed(halves[1], values, [0, 2, 4, 5])
    halves[0].merge(halves[1])
    alike(halves[0].finish()["layers"][0], explicit(values, sample))


def test_zero_vectors_have_no_direction_and_are_left_out() -> None:
    values = cloud(3, 20, 4)
    kept = SelfSimilarity(sample_of([20]))
    values[[3, 8]] = 0
    feed(kept, [values], [0])
    (row,) = kept.finish()["layers"]
    units = [x / np.linalg.norm(x) for x in values if x.any()]
    mean = values.mean(axis=0)
    assert row["intra_similarity"] == pytest.approx(np.mean([cosine(mean, x) for x in units]), rel=1e-10)


@pytest.mark.parametrize(
    ("values", "vocabulary", "words"),
    [
        (np.zeros((4, 3)), 2, "no two states other than zero"),
        (np.full((4, 3), np.nan), 2, "not finite"),
        (np.ones((1, 3)), 2, "no two states"),
        (cloud(1, 2, 3), 10**6, "no token occurs twice"),
    ],
)
def test_what_has_no_similarity_has_a_reason(values: np.ndarray, vocabulary: int, words: str) -> None:
    row: dict[str, Any] = measure(SelfSimilarity, values, vocabulary=vocabulary)
    assert words in row["reason"]
    assert all(v is None or math.isfinite(v) for v in without_reason(row).values())
