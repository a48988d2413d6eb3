from __future__ import annotations

import gzip
import itertools
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from tiny import make_corpus, pile

from degen import DegenError
from degen.text.open_corpus import open_corpus

RECORDS = pile(10, 200)


def lines(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in records)


def write(path: Path, kind: str) -> Path:
    """Write the ten records to a file or folder of each kind that is read."""
    if kind == "frames.jsonl.zst":  # two frames, cut in the middle of a line, as pzstd and the Pile have them
        data, compress = lines(RECORDS), zstandard.ZstdCompressor().compress
        path = path / kind
        path.write_bytes(compress(data[:701]) + compress(data[701:]))
    elif kind == "one.jsonl.zst":
        path = path / kind
        path.write_bytes(zstandard.ZstdCompressor().compress(lines(RECORDS)))
    elif kind == "one.jsonl.gz":
        path = path / kind
        path.write_bytes(gzip.compress(lines(RECORDS[:4])) + gzip.compress(lines(RECORDS[4:])))
    elif kind == "one.parquet":
        path = path / kind
        columns = {"id": list(range(10)), "meta": [r["meta"] for r in RECORDS], "text": [r["text"] for r in RECORDS]}
        pq.write_table(pa.table(columns), path, row_group_size=3)
    elif kind == "ONE.JSONL":
        path = path / kind
        path.write_bytes(lines(RECORDS).replace(b"\n", b"\r\n\n"))  # blank lines are no documents
    elif kind == "folder":
        (path / "deeper").mkdir()
        (path / "a.jsonl").write_bytes(lines(RECORDS[:3]))
        (path / "b.jsonl.gz").write_bytes(gzip.compress(lines(RECORDS[3:5])))
        (path / "deeper" / "c.jsonl").write_bytes(lines(RECORDS[5:]))
        (path / "README.md").write_text("not a document")
    else:
        path = path / "one.jsonl"
        path.write_bytes(lines(RECORDS))
    return path


KINDS = ["one.jsonl", "ONE.JSONL", "one.jsonl.zst", "frames.jsonl.zst", "one.jsonl.gz", "one.parquet", "folder"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same_documents_in_the_same_order(kind: str, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    plain = open_corpus(str(write(tmp_path / "plain", "one.jsonl")))
    (tmp_path / "other").mkdir()
    other = open_corpus(str(write(tmp_path / "other", kind)))
    documents = list(other.draw(3, 4))
    assert documents == list(plain.draw(3, 4))
    assert sorted(d.number for d in documents) == list(range(10))
    for document in documents:
        assert document.text == RECORDS[document.number]["text"]
        assert document.domain == RECORDS[document.number]["meta"]["pile_set_name"]


def test_text_files_are_one_document_each_without_a_domain(tmp_path: Path) -> None:
    for i, text in enumerate(["zero\nzero", "öne", "two\n"]):
        (tmp_path / f"{i}.txt").write_text(text, encoding="utf-8")
    documents = sorted(open_corpus(str(tmp_path)).draw(0, 10), key=lambda d: d.number)
    assert [(d.number, d.text, d.domain) for d in documents] == [
        (0, "zero\nzero", None), (1, "öne", None), (2, "two\n", None),
    ]  # fmt: skip
    (single,) = open_corpus(str(tmp_path / "1.txt")).draw(0, 1)
    assert single.text == "öne"


def test_a_record_without_a_domain_has_none(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "c.jsonl", ["a", {"text": "b", "meta": {}}, {"text": "c", "meta": "web"}])
    assert {d.domain for d in open_corpus(str(corpus)).draw(0, 5)} == {None}


@pytest.mark.parametrize("at_least", [1, 16, 17, 100, 1000])
def test_every_document_comes_once_however_many_are_kept_at_a_time(at_least: int, tmp_path: Path) -> None:
    corpus = open_corpus(str(make_corpus(tmp_path / "c.jsonl", [f"document {i}" for i in range(100)])))
    drawn = [d.number for d in corpus.draw(7, at_least)]
    assert sorted(drawn) == list(range(100))
    assert drawn == [d.number for d in corpus.draw(7, 1000)]
    assert drawn != sorted(drawn)


def test_another_seed_is_another_order_over_the_whole_corpus(tmp_path: Path) -> None:
    corpus = open_corpus(str(make_corpus(tmp_path / "c.jsonl", [f"document {i}" for i in range(200)])))
    firsts = [[d.number for d in itertools.islice(corpus.draw(seed, 8), 8)] for seed in range(30)]
    assert len({tuple(f) for f in firsts}) == 30
    drawn = {n for f in firsts for n in f}
    assert len(drawn) > 100  # of 200: 240 draws reach about 140 of them; a head of the file would be few
    assert max(drawn) > 180


def test_missing_and_unreadable_corpora_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("text\n")
    (tmp_path / "empty").mkdir()
    pq.write_table(pa.table({"content": ["x"]}), tmp_path / "c.parquet")
    for name, says in (
        ("c.csv", "not a corpus file"),
        ("nowhere", "no such file or folder"),
        ("empty", "holds no corpus file"),
    ):
        with pytest.raises(DegenError, match=says):
            open_corpus(str(tmp_path / name))
    with pytest.raises(DegenError, match="must have a column 'text'; it has content"):
        list(open_corpus(str(tmp_path / "c.parquet")).draw(0, 1))


def test_a_bound_on_memory_changes_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for fewer documents than the first pass keeps, none keeps more; all of them come, in order."""
    import degen.text.corpus as module

    path = make_corpus(tmp_path / "corpus.jsonl", pile(100, 60))
    expected = [d.number for d in open_corpus(str(path)).draw(3, at_least=1000)]
    kept: list[int] = []
    first = module.FileCorpus._first

    def recorded(*args: Any) -> Any:
        found = first(*args)
        kept.append(len(found))
        return found

    monkeypatch.setattr(module.FileCorpus, "_first", recorded)
    assert [d.number for d in open_corpus(str(path)).draw(3, at_least=16)] == expected
    assert max(kept) > 16
    kept.clear()
    monkeypatch.setattr(module, "KEPT", 2000)
    assert [d.number for d in open_corpus(str(path)).draw(3, at_least=16)] == expected
    assert max(kept) == 16


def test_drawing_from_plain_lines_holds_none_of_the_text(tmp_path: Path) -> None:
    """All 400 documents of 50,000 characters are kept by one pass, and take as much memory as a few of them."""
    texts = [f"{i} " + "many words " * 4545 for i in range(400)]
    path = make_corpus(tmp_path / "corpus.jsonl", [{"text": text} for text in texts])
    corpus = open_corpus(str(path))
    tracemalloc.start()
    try:
        drawn = sum(len(document.text) for document in corpus.draw(0, at_least=1000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert drawn == sum(map(len, texts)) > 1.9e7
    assert peak < 3e6


def test_a_file_that_disappears_while_it_is_drawn_from_is_named(tmp_path: Path) -> None:
    path = make_corpus(tmp_path / "corpus.jsonl", RECORDS)
    documents = open_corpus(str(path)).draw(0, at_least=1000)
    next(documents)
    path.unlink()
    with pytest.raises(DegenError, match=r"corpus\.jsonl: this corpus file cannot be read to its end"):
        list(documents)
