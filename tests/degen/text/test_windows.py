from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import make_corpus, make_tokenizer, pile

import degen
from degen import DegenError
from degen.text.open_corpus import open_corpus
from degen.text.tokenizer import Tokenizer
from degen.text.windows import Sample, Window, batches, draw_sample, read_samples, write_samples


class Texts(list[str]):
    """The documents, of which a failing example need not print every one."""

    def __repr__(self) -> str:
        return f"<{len(self)} texts>"


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    root = tmp_path_factory.mktemp("tokenizers")
    return {
        "plain": Tokenizer(make_tokenizer(root / "plain")),
        "coarse": Tokenizer(make_tokenizer(root / "coarse", vocabulary=900)),
        "bos": Tokenizer(make_tokenizer(root / "bos", bos=True)),
    }


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[str]]:
    records = pile(16, 1200)
    records.insert(3, {"text": "too short"})
    records.insert(8, {"text": ""})
    records.append({"text": "日本語のテキスト。" * 40})
    path = make_corpus(tmp_path_factory.mktemp("texts") / "t.jsonl", records)
    return open_corpus(str(path)), Texts(r["text"] for r in records)


def decoded(tokenizer: Tokenizer, tokens: Any) -> str:
    return str(tokenizer._inner.decode(tokens.tolist(), skip_special_tokens=True))


@settings(max_examples=50)
@given(tokens=st.integers(16, 2000), context=st.integers(16, 200), seed=st.integers(0, 99))
def test_windows_are_pieces_of_their_documents_and_add_up(
    tokenizers: Any, texts: Any, tokens: int, context: int, seed: int
) -> None:
    corpus, documents = texts
    sample = draw_sample(corpus, tokenizers["plain"], tokens, context, seed)
    assert sample.tokens == tokens
    assert [w.number for w in sample.windows] == list(range(len(sample.windows)))
    for window in sample.windows[:-1]:
        assert 16 <= len(window.tokens) <= context
    assert len(sample.windows[-1].tokens) <= context
    for window in sample.windows:
        text = decoded(tokenizers["plain"], window.tokens)
        assert documents[window.document][window.start :].startswith(text.rstrip("�"))
        first = decoded(tokenizers["plain"], window.tokens[:1])
        if "�" not in text + first:  # a token may be half a character
            assert window.bytes == len(text.encode()) - len(first.encode())
    firsts = [w.document for w in sample.windows]
    repeated = [i for i, d in enumerate(firsts) if d in firsts[:i]]
    usable = len([t for t in documents if len(t) > 100])
    if repeated:  # no document comes twice before every one came once
        assert repeated[0] == usable


def test_windows_of_a_document_are_disjoint_and_leave_little(tokenizers: Any, texts: Any) -> None:
    corpus, documents = texts
    sample = draw_sample(corpus, tokenizers["plain"], 10**6, 64, 0)
    assert sample.too_short == 2
    spans: dict[int, list[tuple[int, int]]] = {}
    for w in sample.windows:
        text = decoded(tokenizers["plain"], w.tokens)
        spans.setdefault(w.document, []).append((w.start, w.start + len(text)))
    assert len(spans) == len(documents) - 2
    for document, starts in spans.items():
        if "日" in documents[document] or "Ü" in documents[document]:
            continue  # a window may end inside a character there, and its text is longer than its span
        starts.sort()
        for (_, end), (start, _) in itertools.pairwise(starts):
            assert end <= start
        covered = sum(end - start for start, end in starts)
        assert covered >= 0.9 * len(documents[document])  # only rests under 16 tokens are lost
    assert sample.tokens < 10**6  # the corpus ended, and the sample is what there is


def test_the_first_window_starts_at_the_same_character_for_every_tokenizer(tokenizers: Any, texts: Any) -> None:
    corpus, documents = texts
    starts = {}
    for name, tokenizer in tokenizers.items():
        sample = draw_sample(corpus, tokenizer, 600, 40, 5)
        starts[name] = [(w.document, w.start) for w in sample.windows]
    common = min(len(s) for s in starts.values())
    assert common >= 15
    assert starts["plain"][:common] == starts["coarse"][:common] == starts["bos"][:common]
    assert len({start for _, start in starts["plain"]}) > 10
    for document, start in starts["plain"]:
        assert start <= max(len(documents[document]) - 4 * 40, 0)


def test_a_token_that_the_tokenizer_puts_before_a_text_counts_as_a_position(tokenizers: Any, texts: Any) -> None:
    corpus, documents = texts
    sample = draw_sample(corpus, tokenizers["bos"], 600, 40, 5)
    first = tokenizers["bos"]._inner.convert_tokens_to_ids("<s>")
    assert sample.tokens == 600
    for w in sample.windows:
        assert w.tokens[0] == first
        assert first not in w.tokens[1:]
        assert len(w.tokens) <= 40
        text = decoded(tokenizers["bos"], w.tokens)
        assert documents[w.document][w.start :].startswith(text.rstrip("�"))
        if "�" not in text:
            assert w.bytes == len(text.encode())  # nothing but the BOS is unscored
    plain = draw_sample(corpus, tokenizers["plain"], 600, 40, 5)
    assert plain.windows[0].start == sample.windows[0].start


def test_the_windows_of_a_sample_depend_on_the_seed_alone(tokenizers: Any, texts: Any) -> None:
    corpus, _ = texts
    first, same, other = (draw_sample(corpus, tokenizers["plain"], 500, 32, seed) for seed in (1, 1, 2))
    assert first.sha256 == same.sha256
    assert [w.tokens.tolist() for w in first.windows] == [w.tokens.tolist() for w in same.windows]
    assert first.sha256 != other.sha256
    assert [w.document for w in first.windows] != [w.document for w in other.windows]
    first, second = ({w.document: w.start for w in reversed(s.windows)} for s in (first, other))
    assert any(first[d] != second[d] for d in first.keys() & second.keys())  # the place in a document is drawn too


def test_a_sample_of_more_tokens_holds_the_windows_of_a_smaller_one(tokenizers: Any, texts: Any) -> None:
    corpus, _ = texts
    fewer, more = (draw_sample(corpus, tokenizers["plain"], n, 32, 1).windows for n in (300, 900))
    for a, b in zip(fewer[:-1], more, strict=False):
        assert (a.document, a.start, a.tokens.tolist()) == (b.document, b.start, b.tokens.tolist())
    last = fewer[-1].tokens
    assert last.tolist() == more[len(fewer) - 1].tokens[: len(last)].tolist()


def test_a_corpus_of_short_documents_alone_gives_no_sample(tokenizers: Any, tmp_path: Path) -> None:
    corpus = open_corpus(str(make_corpus(tmp_path / "c.jsonl", ["short", "shorter"])))
    with pytest.raises(
        DegenError,
        match=r"no document is long enough for a window, which needs 16 tokens \(2 documents were too short\)",
    ):
        draw_sample(corpus, tokenizers["plain"], 100, 32, 0)


@given(st.integers(16, 400), st.sampled_from(["plain", "coarse", "bos"]), st.integers(0, 400))
def test_a_tokenized_piece_is_the_beginning_of_the_whole(tokenizers: Any, limit: int, name: str, start: int) -> None:
    text = pile(1, 6000)[0]["text"][start:]
    tokenizer = tokenizers[name]
    whole = tokenizer._inner(text)["input_ids"]
    piece = tokenizer.tokenize(text, limit)
    assert piece.tokens.tolist() == whole[:limit]
    assert (np.diff(piece.ends) >= 0).all()


def test_a_piece_of_long_tokens_is_tokenized_as_the_beginning_of_the_whole(tokenizers: Any) -> None:
    """Words of one long token each: the characters first tried hold hardly more tokens than are wanted."""
    tokenizer = tokenizers["coarse"]
    inner = tokenizer._inner
    words = {t: inner.decode([i]) for t, i in inner.get_vocab().items()}
    long = sorted((w for w in words.values() if w[:1] == " " and w[1:].isalpha()), key=len)[-12:]
    text = "".join(np.random.default_rng(0).choice(long, 2000))
    whole = inner(text)["input_ids"]
    assert len(text) / len(whole) > 8.5
    for limit in range(16, 700):
        assert tokenizer.tokenize(text, limit).tokens.tolist() == whole[:limit], limit


def test_a_sample_that_was_written_is_read_back_equal(tokenizers: Any, texts: Any, tmp_path: Path) -> None:
    corpus, _ = texts
    samples = [draw_sample(corpus, tokenizers[name], 400, 32, 0) for name in ("plain", "bos")]
    write_samples(tmp_path / "sample.parquet", samples)
    read = read_samples(tmp_path / "sample.parquet")
    for sample in samples:
        again = read[sample.tokenizer]
        assert again.sha256 == sample.sha256
        assert (again.too_short, again.documents) == (sample.too_short, sample.documents)
        assert [w.domain for w in again.windows] == [w.domain for w in sample.windows]
    schema = pq.read_schema(tmp_path / "sample.parquet")
    assert schema.names == ["tokenizer", "window", "document", "domain", "start", "bytes", "tokens"]
    assert schema.field("tokens").type == pa.list_(pa.int32())


def test_the_windows_of_an_earlier_run_serve_again(series: Path, corpus: Path, tmp_path: Path) -> None:
    first = degen.scan(series, corpus=corpus, tokens=300, context=32, seed=9, steps="0", out=tmp_path / "a")
    again = degen.scan(series, sample=first.path / "sample.parquet", steps="0", out=tmp_path / "b")
    assert again.checkpoints() == first.checkpoints()
    assert json.loads((again.path / "run.json").read_text())["sample"]["taken_from"].endswith("sample.parquet")
    other = make_tokenizer(tmp_path / "other", bos=True)
    with pytest.raises(DegenError, match="made by another tokenizer"):
        degen.scan(series, sample=first.path / "sample.parquet", tokenizer=other, out=tmp_path / "c")


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(50, 400))
def test_batches_hold_every_window_once_with_the_longest_first(lengths: list[int], batch_tokens: int) -> None:
    windows = tuple(Window(i, i, None, 0, 0, np.zeros(n, dtype=np.int32)) for i, n in enumerate(lengths))
    grouped = list(batches(Sample("t", windows), batch_tokens))
    assert sorted(i for batch in grouped for i in batch) == list(range(len(lengths)))
    assert [lengths[i] for batch in grouped for i in batch] == sorted(lengths, reverse=True)
    for batch in grouped:
        assert len(batch) * max(lengths[i] for i in batch) <= batch_tokens
