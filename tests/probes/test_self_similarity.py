from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from degen.probes.self_similarity import FREQUENT, SelfSimilarity, frequent_tokens
from hypothesis import given, settings
from hypothesis import strategies as st
from state_feeds import alike, cloud, feed, measure, rotation, sample_of, seeds, split, without_reason

from degen.text.windows import Sample, Window
from degen.text.words import Word

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
        ordered = sorted(counts, key=lambda token: (-counts[token], token))[:FREQUENT]
        assert frequent_tokens(sample.windows, first).tolist() == [token for token in ordered if counts[token] > 1]
    assert len(frequent_tokens(sample.windows)) == FREQUENT


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


def with_words(sample: Sample) -> Sample:
    """Return the sample with words of one, two or three tokens: a token of 0 or 1 goes on with the word before it."""

    def words(tokens: np.ndarray) -> list[Word]:
        starts = [i for i, token in enumerate(tokens.tolist()) if token > 1 or i == 0]
        ends = [*starts[1:], len(tokens)]
        return [Word("-".join(map(str, tokens[a:b])), a, b) for a, b in zip(starts, ends, strict=True)]

    return replace(sample, words=words)


def explicit_words(states: list[np.ndarray], sample: Sample) -> dict[str, float]:
    assert sample.words is not None
    occurrences = defaultdict(list)
    for window, h in zip(sample.windows, states, strict=True):
        for word in sample.words(window.tokens) or []:
            occurrences[word.text].append(h[word.first : word.last].mean(axis=0))
    every = [x for own in occurrences.values() for x in own]
    of_words = [
        np.mean([cosine(a, b) for a, b in itertools.permutations(own, 2)])
        for own in occurrences.values()
        if len(own) > 1
    ]
    baseline = np.mean([cosine(a, b) for a, b in itertools.permutations(every, 2)])
    return {
        "word_self_similarity": float(np.mean(of_words)),
        "word_self_similarity_adjusted": float(np.mean(of_words) - baseline),
        "self_similarity_words": len(of_words),
    }


@settings(max_examples=20)
@given(seeds, st.integers(1, 6), st.permutations(range(6)), st.integers(1, 6))
def test_figures_of_words_are_those_of_all_pairs_of_means_of_their_tokens(
    seed: int, width: int, order: list[int], size: int
) -> None:
    values, sample = split(cloud(seed, sum(LENGTHS), width), LENGTHS), with_words(sample_of(LENGTHS))
    halves = SelfSimilarity(sample), SelfSimilarity(sample)
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    for i, rows in enumerate(batches):
        feed(halves[i % 2], values, rows)
    halves[0].merge(halves[1])
    (row,) = halves[0].finish()["layers"]
    alike(row, explicit_words(values, sample))
    assert row["reason"] is None


def test_words_of_a_domain_are_those_of_its_windows_alone() -> None:
    values, plain = split(cloud(3, sum(LENGTHS), 4), LENGTHS), with_words(sample_of(LENGTHS))
    windows = [replace(w, domain="ab"[i % 2]) for i, w in enumerate(plain.windows)]
    probe = SelfSimilarity(replace(plain, windows=tuple(windows)))
    feed(probe, values, [4, 0, 1])
    feed(probe, values, [5, 3, 2])
    rows = {row["domain"]: row for row in probe.finish()["domains"]}
    for i, domain in enumerate("ab"):
        alone = replace(plain, windows=tuple(windows[i::2]))
        alike(rows[domain], explicit_words(values[i::2], alone))


def test_without_words_the_reason_says_so() -> None:
    row = measure(SelfSimilarity, cloud(3, 20, 4))
    assert row["reason"] == "no word_self_similarity: the tokenizer does not tell where words begin"
    assert row["self_similarity"] is not None
    apart = replace(
        sample_of([4], vocabulary=10**6), words=lambda tokens: [Word(str(t), i, i + 1) for i, t in enumerate(tokens)]
    )
    probe = SelfSimilarity(apart)
    feed(probe, [cloud(1, 4, 3)], [0])
    assert probe.finish()["layers"][0]["reason"].endswith("no word_self_similarity: no word occurs twice")
