from __future__ import annotations

import numpy as np
import pytest
from degen.probes.head_frequency import HeadFrequency
from head_matrices import checkpoint_row, head_of, normal, rotation
from hypothesis import given
from hypothesis import strategies as st

from degen.arrays import Floats, Ints

seeds = st.integers(0, 2**31)
CORRELATIONS = ("mean_row_frequency_r", "first_direction_frequency_r")


def counts_of(rows: int, seed: int) -> Ints:
    return np.random.default_rng(seed).zipf(1.5, size=rows).clip(0, 10**6) - 1


def twin(W: Floats, counts: Ints) -> dict[str, float]:
    mean = W.mean(axis=0)
    first = np.linalg.svd(W)[2][0]
    first = first if first @ mean >= 0 else -first
    seen = counts > 0
    logs = np.log(counts[seen])
    return {
        "mean_row_norm": float(np.sqrt((mean**2).sum())),
        "mean_row_share": float(len(W) * (mean**2).sum() / (W**2).sum()),
        "mean_row_frequency_r": float(np.corrcoef(W[seen] @ mean, logs)[0, 1]),
        "first_direction_frequency_r": float(np.corrcoef(W[seen] @ first, logs)[0, 1]),
        "frequency_tokens": int(seen.sum()),
    }


@given(st.integers(2, 6), seeds, st.floats(0.5, 10))
def test_every_figure_equals_numpys(width: int, seed: int, shift: float) -> None:
    W, counts = normal((120, width), seed, shift), counts_of(120, seed)
    row = checkpoint_row(HeadFrequency, head_of(W), counts)
    expected = twin(W, counts)
    assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-8)


@given(seeds)
def test_order_rotation_and_scale_change_no_correlation(seed: int) -> None:
    W, counts, rng = normal((80, 5), seed, 2.0), counts_of(80, seed) + 1, np.random.default_rng(seed)
    order = rng.permutation(80)
    plain = checkpoint_row(HeadFrequency, head_of(W), counts)
    for other, own in ((W[order], counts[order]), (W @ rotation(5, seed), counts), (3 * W, counts), (W, 7 * counts)):
        row = checkpoint_row(HeadFrequency, head_of(other), own)
        for name in (*CORRELATIONS, "mean_row_share"):
            assert row[name] == pytest.approx(plain[name], abs=1e-8)


def test_a_head_whose_first_direction_is_the_log_frequency_shows_it() -> None:
    rng, counts = np.random.default_rng(0), np.arange(1, 401)
    W = 1e-3 * rng.normal(size=(400, 6))
    W[:, 0] += 10 * np.log(counts)
    row = checkpoint_row(HeadFrequency, head_of(W), counts)
    assert row["first_direction_frequency_r"] == pytest.approx(1, abs=1e-6)
    assert row["mean_row_frequency_r"] == pytest.approx(1, abs=1e-6)
    assert row["frequency_reason"] is None


def test_a_centred_head_has_no_mean_row_and_all_rows_alike_have_nothing_else() -> None:
    counts = np.arange(1, 401)
    W = normal((400, 4), 1)
    assert checkpoint_row(HeadFrequency, head_of(W - W.mean(axis=0)), counts)["mean_row_share"] < 1e-20
    alike = checkpoint_row(HeadFrequency, head_of(np.ones((400, 4))), counts)
    assert alike["mean_row_share"] == pytest.approx(1)
    assert alike["mean_row_norm"] == pytest.approx(2)


def test_equal_rows_or_equal_counts_have_no_correlation_and_a_reason() -> None:
    equal = np.tile(normal((1, 8), 3), (400, 1)).astype(np.float32).astype(np.float64)
    for W, counts in ((equal, np.arange(1, 401)), (normal((400, 8), 3), np.full(400, 7))):
        row = checkpoint_row(HeadFrequency, head_of(W), counts)
        assert [row[name] for name in CORRELATIONS] == [None, None]
        assert row["frequency_reason"].startswith("no correlation")


def test_few_tokens_give_a_value_and_a_reason_and_fewer_give_a_reason_alone() -> None:
    head, counts = head_of(normal((400, 4), 1)), np.zeros(400, dtype=np.int64)
    counts[:29] = np.arange(1, 30)
    row = checkpoint_row(HeadFrequency, head, counts)
    assert row["reason"] == "no correlation with frequency: the sample has 29 different tokens; it needs 30"
    assert not any(name in row for name in CORRELATIONS)
    counts[:100] = np.arange(1, 101)
    row = checkpoint_row(HeadFrequency, head, counts)
    assert row["frequency_reason"] == "the correlations are over 100 tokens; with fewer than 300 they are rough"
    assert all(-1 <= row[name] <= 1 for name in CORRELATIONS)


def test_without_text_the_mean_row_is_measured_alone() -> None:
    row = checkpoint_row(HeadFrequency, head_of(normal((50, 4), 1)))
    assert row["mean_row_norm"] > 0
    assert row["reason"].startswith("no correlation with frequency: the series has no tokenizer")


def test_counts_are_those_of_the_used_rows() -> None:
    W, counts, used = normal((300, 4), 1, 1.0), counts_of(300, 5) + 1, np.arange(0, 300, 2)
    row = checkpoint_row(HeadFrequency, head_of(W, used=used), counts)
    assert row == checkpoint_row(HeadFrequency, head_of(W[used]), counts[used])
