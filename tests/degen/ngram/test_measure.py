from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ngram_texts import brute_force

from degen import DegenError
from degen.demo import corpus_path, series_paths
from degen.ngram import NgramSettings, measure_ngrams
from degen.ngram.result import NgramMeasurement
from degen.text.open_corpus import open_corpus
from degen.text.tokenizer import Tokenizer
from degen.text.windows import draw_sample, every_window

TOKENIZER = str(series_paths()[0])


def texts_of(path: Path, tokens: int, seed: int = 0) -> list[list[int]]:
    """Return the windows of a corpus one by one, whole documents where they have fewer than 65,536 tokens."""
    windows = every_window(open_corpus(str(path)), Tokenizer(TOKENIZER), tokens, 1 << 16, seed, lambda: None)
    return [window.tokens.tolist() for window in windows]


def only(path: Path | str, **values: object) -> NgramMeasurement:
    return measure_ngrams([str(path)], [TOKENIZER], NgramSettings(**values)).measurements[0]  # type: ignore[arg-type]


def write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def demo_texts(number: int) -> list[str]:
    return [d.text for d, _ in zip(open_corpus(str(corpus_path())).draw(0, 16), range(number), strict=False)]


@pytest.mark.parametrize("order", [2, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_corpus_equals_dictionaries_and_dense_svd(order: int, weighted: bool) -> None:
    counts = [c for c in brute_force(texts_of(corpus_path(), 6000), order).values() if c.total() >= 2]
    matrix = np.zeros((len(counts), max(Tokenizer(TOKENIZER).ids) + 1))
    for row, of_context in enumerate(counts):
        for token, count in of_context.items():
            matrix[row, token] = count / of_context.total() * (np.sqrt(of_context.total()) if weighted else 1)
    squares = np.linalg.svd(matrix, compute_uv=False) ** 2
    expected = np.sqrt([squares[d:].sum() / squares.sum() for d in range(len(squares))])
    measured = only(corpus_path(), orders=(order,), tokens=6000, least_count=2, weighted=weighted)
    assert measured.exact
    assert (measured.contexts, measured.contexts_eligible) == (len(counts), len(counts))
    assert measured.tokens == 6000
    got = [measured.curve.at(d)[0] for d in range(len(expected))]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)
    for level in (0.5, 0.1):
        assert measured.curve.dimension(level)[0] == np.flatnonzero(np.append(expected, 0) <= level)[0]


def test_the_first_window_of_each_document_is_that_of_a_scan() -> None:
    corpus, tokenizer = open_corpus(str(corpus_path())), Tokenizer(TOKENIZER)
    sample = draw_sample(corpus, tokenizer, 640, 32, seed=5)
    every = every_window(corpus, tokenizer, 10**9, 32, 5, lambda: None)
    first = {w.document: w for w in reversed(list(every))}
    for window in sample.windows[:-1]:
        assert first[window.document].tokens.tolist() == window.tokens.tolist()


def test_documents_given_twice_change_nothing(tmp_path: Path) -> None:
    texts = demo_texts(12)
    once, twice = only(write(tmp_path / "a.jsonl", texts)), only(write(tmp_path / "b.jsonl", texts * 2))
    assert (twice.tokens, twice.contexts, twice.contexts_once) == (2 * once.tokens, once.contexts, 0)
    np.testing.assert_allclose(twice.curve.w_error, once.curve.w_error, rtol=0, atol=1e-10)


@given(st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_the_order_of_documents_changes_nothing(seed: int) -> None:
    """All documents are read, so that another seed is another order of them and of the contexts."""
    np.testing.assert_allclose(
        only("demo", contexts=10**6, least_count=3, seed=seed).curve.w_error,
        only("demo", contexts=10**6, least_count=3, seed=0).curve.w_error, rtol=0, atol=1e-10,
    )  # fmt: skip


def test_contexts_are_capped_and_the_seed_draws_others() -> None:
    first, again, other = (only("demo", contexts=500, seed=seed) for seed in (0, 0, 1))
    assert (first.contexts, first.contexts_eligible_exact) == (500, True)
    assert first.contexts_eligible == other.contexts_eligible > 60_000
    assert first.curve.w_error.tolist() == again.curve.w_error.tolist()
    assert first.curve.w_error.tolist() != other.curve.w_error.tolist()


def test_a_table_has_a_row_for_each_corpus_tokenizer_order_and_dimension(tmp_path: Path) -> None:
    file = write(tmp_path / "few.jsonl", demo_texts(6))
    result = measure_ngrams(["demo", str(file)], [TOKENIZER, "demo"], NgramSettings(orders=(3, 2, 3), contexts=300))
    table = result.table()
    keys = list(zip(*(table[name].to_pylist() for name in ("corpus", "tokenizer", "order", "dimension")), strict=True))
    assert len(set(keys)) == len(keys)
    assert {key[:3] for key in keys} == {
        (c, t, n) for c in ("demo", str(file)) for t in (TOKENIZER, "demo") for n in (3, 2)
    }
    assert all(field.metadata[b"definition"] for field in table.schema)
    for row in table.to_pylist():
        assert (row["w_error"] <= 0.5) == (row["dimension"] >= row["dimension_half"])
        assert (row["w_error"] <= 0.1) == (row["dimension"] >= row["dimension_tenth"])
    assert {768, 5120} <= {key[3] for key in keys}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"orders": (1,)}, "--order 1: must be from 2 to 64"),
        ({"orders": ()}, "--order: name one"),
        ({"contexts": 0}, "--contexts 0"),
        ({"least_count": 0}, "--least-count 0"),
        ({"tokens": 3}, "--tokens 3"),
        ({"context": 4}, "--context 4"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(DegenError, match=message):
        NgramSettings(**values)  # type: ignore[arg-type]


def test_what_cannot_be_measured_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(DegenError, match="no context of 4 tokens is seen 99999 times"):
        only("demo", least_count=99_999)
    with pytest.raises(DegenError, match="no document has the 16 tokens"):
        only(write(tmp_path / "short.jsonl", ["Hi.", "Ho."]))
    with pytest.raises(DegenError, match="name the tokenizer"):
        measure_ngrams([str(tmp_path / "short.jsonl")])
