from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from ngram_texts import brute_force, random_texts, written

from degen.ngram import token_file
from degen.ngram.counting import NextTokens, NgramKeys, count_next_tokens, sample_contexts
from degen.ngram.token_file import END


def rows_of(counts: NextTokens) -> list[tuple[tuple[int, int], ...]]:
    """Return the tokens behind each context with their counts, the contexts in an order of no meaning."""
    rows: list[list[tuple[int, int]]] = [[] for _ in range(counts.contexts)]
    for row, token, count in zip(counts.row, counts.token, counts.count, strict=True):
        rows[row].append((int(token), int(count)))
    return sorted(tuple(sorted(row)) for row in rows)


@pytest.mark.parametrize("order", [2, 3, 5, 7])
@pytest.mark.parametrize("vocabulary", [9, 70_000])
@pytest.mark.parametrize("piece", [5, 1 << 20])
def test_counts_equal_those_of_dictionaries(
    order: int, vocabulary: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_file, "PIECE", piece)
    texts = random_texts(order, vocabulary)
    ngrams = NgramKeys(order, vocabulary, seed=3)
    with written(texts) as file:
        for least in (1, 2, 3):
            sample = sample_contexts(file, ngrams, 10**6, least)
            counts = count_next_tokens(file, ngrams, sample)
            often = [c for c in brute_force(texts, order).values() if c.total() >= least]
            assert rows_of(counts) == sorted(tuple(sorted(c.items())) for c in often)
            assert (sample.eligible, sample.eligible_is_exact) == (len(often), True)
            assert np.bincount(counts.row, counts.count, minlength=counts.contexts).tolist() == sample.counts.tolist()


def test_documents_and_pieces_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_file, "PIECE", 3)
    with written([[1, 2], [3, 4, 5], [6]]) as file:
        assert (file.tokens, file.documents) == (6, 3)
        assert np.concatenate(list(file.pieces(0))).tolist() == [1, 2, END, 3, 4, 5, END, 6, END]
        ngrams = NgramKeys(2, 10, 0)
        following = [t for piece in file.pieces(1) for t in ngrams.keys_and_next(piece)[1].tolist()]
    assert following == [2, 4, 5]


@pytest.mark.parametrize("least", [1, 2])
def test_little_memory_gives_the_same_sample(least: int) -> None:
    texts = random_texts(1, 50, documents=40)
    ngrams = NgramKeys(3, 50, seed=7)
    with written(texts) as file:
        passes: list[None] = []
        whole = sample_contexts(file, ngrams, 100, least)
        small = sample_contexts(file, ngrams, 100, least, lambda: passes.append(None), most_keys=37)
        assert small.keys.tolist() == whole.keys.tolist()
        assert small.counts.tolist() == whole.counts.tolist()
        assert len(passes) >= 3
        assert not small.eligible_is_exact
        assert small.eligible == pytest.approx(whole.eligible, rel=0.4)


def test_every_context_is_as_likely_to_be_chosen() -> None:
    """Contexts seen often are not preferred: over 400 seeds each of 20 is among 5 chosen in a quarter of them."""
    text = [t for i in range(20) for t in [100 + i, 7] * (1 + 3 * (i % 2))]
    chosen: Counter[int] = Counter()
    with written([text]) as file:
        for seed in range(400):
            ngrams = NgramKeys(2, 200, seed)
            mine = {int(k): t for t in range(100, 120) for k in ngrams.keys_and_next(np.asarray([t, 7], np.int32))[0]}
            chosen.update(mine[k] for k in sample_contexts(file, ngrams, 6, 1).keys.tolist() if k in mine)
    assert len(chosen) == 20
    often, seldom = (sum(chosen[100 + i] for i in range(20) if i % 2 == odd) for odd in (1, 0))
    assert abs(often - seldom) < 5 * np.sqrt(often + seldom)
    assert min(chosen.values()) > 60


def test_keys_of_packed_contexts_are_all_different() -> None:
    """The 65,536 contexts of two tokens of a vocabulary of 256, and contexts too long for 64 bits."""
    pairs = np.asarray([[a, b, 0, END] for a in range(256) for b in range(256)], dtype=np.int32).ravel()
    assert len(np.unique(NgramKeys(3, 256, 1).keys_and_next(pairs)[0])) == 65_536
    assert len(np.unique(NgramKeys(3, 2**40, 1).keys_and_next(pairs)[0])) == 65_536


def test_text_without_contexts_gives_none() -> None:
    with written([[1, 2], [3]]) as file:
        sample = sample_contexts(file, NgramKeys(5, 10, 0), 10, 1)
        assert (len(sample.keys), sample.eligible) == (0, 0)
        assert len(count_next_tokens(file, NgramKeys(5, 10, 0), sample).row) == 0
