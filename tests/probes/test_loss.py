from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.loss import Loss, bits_per_byte
from hypothesis import given
from hypothesis import strategies as st

from degen.probe import Batch
from degen.text.windows import Sample, Window

shapes = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), min_size=1, max_size=7)  # (document, length)
seeds = st.integers(0, 2**32 - 1)


def a_sample(windows: list[tuple[int, int]]) -> Sample:
    return Sample(
        "t",
        tuple(Window(i, d, None, 0, 3 * (n - 1), np.arange(n, dtype=np.int32)) for i, (d, n) in enumerate(windows)),
    )


def feed(probe: Loss, losses: list[np.ndarray], rows: list[int]) -> None:
    longest = max(len(losses[i]) for i in rows)
    padded = np.full((len(rows), longest), 1e9)
    scored = np.zeros((len(rows), longest), dtype=bool)
    for row, i in enumerate(rows):
        padded[row, : len(losses[i])] = losses[i]
        scored[row, : len(losses[i])] = True
    windows = np.asarray(rows, dtype=np.int64)
    batch = Batch(torch.zeros(1), None, windows, probe.sample.document_slots[windows])
    probe.update_losses(batch, torch.from_numpy(padded), torch.from_numpy(scored))


def measured(windows: list[tuple[int, int]], losses: list[np.ndarray]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    probe = Loss(a_sample(windows))
    for i in range(len(windows)):
        feed(probe, losses, [i])
    rows = probe.finish()
    return rows["checkpoints"][0], rows["windows"]


def some(windows: list[tuple[int, int]], seed: int) -> list[np.ndarray]:
    return [np.random.default_rng([seed, i]).exponential(3, n - 1) for i, (_, n) in enumerate(windows)]


@given(shapes, seeds)
def test_the_loss_is_the_mean_over_all_tokens(windows: Any, seed: int) -> None:
    losses = some(windows, seed)
    row, by_window = measured(windows, losses)
    tokens = np.concatenate(losses)
    assert row["tokens_scored"] == len(tokens) == sum(n - 1 for _, n in windows)
    assert [w["tokens"] for w in by_window] == [n - 1 for _, n in windows]
    for window, expected in zip(by_window, losses, strict=True):
        assert window["loss"] == (pytest.approx(expected.mean(), rel=1e-12) if len(expected) else None)
    if not len(tokens):
        assert set(row) == {"tokens_scored"}
        return
    assert row["loss"] == pytest.approx(tokens.mean(), rel=1e-12)
    assert row["perplexity"] == pytest.approx(math.exp(tokens.mean()), rel=1e-9)
    assert row["bits_per_byte"] == pytest.approx(tokens.sum() / math.log(2) / (3 * len(tokens)), rel=1e-12)


@given(shapes, seeds)
def test_the_error_leaves_out_a_document_at_a_time(windows: Any, seed: int) -> None:
    losses = some(windows, seed)
    row, _ = measured(windows, losses)
    documents = sorted({d for d, n in windows if n > 1})
    left = [
        np.concatenate([values for (d, _), values in zip(windows, losses, strict=True) if d != gone]).mean()
        for gone in documents
        if any(d != gone and n > 1 for d, n in windows)
    ]
    if len(documents) < 2:
        assert row.get("loss_se") is None
    else:
        expected = math.sqrt((len(left) - 1) / len(left) * sum((x - np.mean(left)) ** 2 for x in left))
        assert row["loss_se"] == pytest.approx(expected, abs=1e-12)


@given(shapes.filter(lambda w: len(w) > 1), seeds)
def test_merged_halves_are_one_pass(windows: Any, seed: int) -> None:
    losses, sample = some(windows, seed), a_sample(windows)
    first, second = Loss(sample), Loss(sample)
    feed(first, losses, [0])
    feed(second, losses, list(range(1, len(windows))))
    first.merge(second)
    whole = measured(windows, losses)
    merged = first.finish()
    assert merged["windows"] == [pytest.approx(w) for w in whole[1]]
    assert merged["checkpoints"][0] == pytest.approx(whole[0], abs=1e-12)


def test_a_huge_loss_has_an_infinite_perplexity() -> None:
    row, _ = measured([(0, 3), (1, 3)], [np.array([800.0, 900.0]), np.array([1000.0, 700.0])])
    assert row["perplexity"] == math.inf
    assert row["loss"] == 850


def test_bits_per_byte_by_hand() -> None:
    assert bits_per_byte(math.log(256), 1) == pytest.approx(8)
    assert bits_per_byte(1.0, 0) is None


@given(shapes, seeds)
def test_a_domain_has_the_loss_of_its_windows_alone(windows: Any, seed: int) -> None:
    """Documents of even number are of one domain, the others of none."""
    losses = some(windows, seed)
    named = tuple(replace(w, domain="even" if w.document % 2 == 0 else None) for w in a_sample(windows).windows)
    probe = Loss(Sample("t", named))
    for i in range(len(windows)):
        feed(probe, losses, [i])
    rows = {row["domain"]: row for row in probe.finish()["domains"]}
    for domain, parity in (("even", 0), (None, 1)):
        chosen = [i for i, (document, _) in enumerate(windows) if document % 2 == parity]
        if not chosen:
            assert domain not in rows
            continue
        expected, _ = measured([windows[i] for i in chosen], [losses[i] for i in chosen])
        row = rows.pop(domain)
        assert (row.pop("domain"), row.pop("layer"), row.pop("site")) == (domain, None, None)
        documents = len({windows[i][0] for i in chosen})
        assert row.pop("documents") == documents
        reason = "no standard error of the loss: the domain has one document"
        assert row.pop("reason", None) == (reason if documents == 1 else None)
        assert set(row) == set(expected)
        for name, value in expected.items():
            assert row[name] == (None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)), name
