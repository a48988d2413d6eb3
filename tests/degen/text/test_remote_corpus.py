"""Corpora at URLs: the windows of the local file bit for bit, whatever the format, and errors that say what to do."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from faults.command import degen
from tiny import pile

from degen.errors import DegenError
from degen.text.open_corpus import open_corpus

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def bucket() -> Iterator[str]:
    """Yield the URL of an empty folder in memory, emptied afterwards."""
    yield "memory://bucket"
    fsspec.filesystem("memory").store.clear()


def formats(corpus: Path) -> dict[str, bytes]:
    """Return the corpus in every format, as name -> content."""
    lines = corpus.read_bytes()
    rows = [dict(text=text, meta={"pile_set_name": domain}) for text, domain in pile(24, ragged=True)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return {
        "val.jsonl": lines,
        "val.jsonl.zst": zstandard.compress(lines),
        "val.jsonl.gz": gzip.compress(lines),
        "val.parquet": sink.getvalue().to_pybytes(),
        "val.txt": rows[0]["text"].encode(),
    }


@pytest.mark.parametrize("name", ["val.jsonl", "val.jsonl.zst", "val.jsonl.gz", "val.parquet", "val.txt"])
def test_documents_come_as_from_the_local_file(name: str, bucket: str, corpus: Path, tmp_path: Path) -> None:
    content = formats(corpus)[name]
    (tmp_path / name).write_bytes(content)
    fsspec.filesystem("memory").pipe_file(f"/bucket/{name}", content)
    here, there = open_corpus(str(tmp_path / name)), open_corpus(f"{bucket}/{name}")
    assert list(there.draw(3, 4)) == list(here.draw(3, 4)) != []
    assert there.provenance == here.provenance


def test_a_folder_is_read_in_the_order_of_a_local_one(bucket: str, tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a.txt", "a-b.txt", "notes.md"):
        (tmp_path / "texts" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / name).write_text(f"text of {name}")
        fsspec.filesystem("memory").pipe_file(f"/bucket/texts/{name}", f"text of {name}".encode())
    here, there = open_corpus(str(tmp_path / "texts")), open_corpus(f"{bucket}/texts")
    assert list(there.draw(0, 2)) == list(here.draw(0, 2))
    assert list(open_corpus(f"file://{tmp_path}/texts").draw(0, 2)) == list(here.draw(0, 2))
    assert next(iter(open_corpus(f"local://{tmp_path}/texts/b.txt").draw(0, 2))).text == "text of b.txt"


def test_a_scan_has_the_same_sample(bucket: str, series: Path, corpus: Path, tmp_path: Path) -> None:
    import degen as package

    fsspec.filesystem("memory").pipe_file("/bucket/val.jsonl.zst", zstandard.compress(corpus.read_bytes()))
    options = {"tokens": 128, "context": 32, "threads": 1, "steps": "0", "probes": ["loss"]}
    here = package.scan(series, corpus=corpus, out=tmp_path / "here", **options)
    there = package.scan(series, corpus=f"{bucket}/val.jsonl.zst", out=tmp_path / "there", **options)
    samples = [(run.path / "sample.parquet").read_bytes() for run in (here, there)]
    assert samples[0] == samples[1]
    assert there.info["asked"]["corpus"] == f"{bucket}/val.jsonl.zst"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://bucket/none.jsonl", "there is no such file or folder"),
        ("memory://bucket/val.csv", "its name must end in"),
        ("nostore://bucket/val.jsonl", "no such kind of URL"),
        ("s3://me:secret@bucket/val.jsonl", "holds a user's name or password"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(url: str, message: str, bucket: str, series: Path) -> None:
    fsspec.filesystem("memory").pipe_file("/bucket/val.csv", b"x")
    result = degen("scan", series, "--corpus", url)
    assert message in result.message
    assert "secret" not in result.err
    assert result.code == 2


@pytest.mark.parametrize(
    ("url", "package", "install"),
    [("s3://bucket/val.jsonl", "s3fs", "pip install 'degen-lm[s3]'"), ("gs://bucket/val.jsonl", "gcsfs", "gcsfs")],
)
def test_a_missing_package_is_named(url: str, package: str, install: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as where it is not installed
    monkeypatch.delitem(import_module("fsspec.registry")._registry, url.partition(":")[0], raising=False)
    with pytest.raises(DegenError, match="needs a package that is not installed") as caught:
        open_corpus(url)
    assert install in str(caught.value)


def test_a_damaged_file_is_named(bucket: str) -> None:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe_file("/bucket/cut.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 1000)[:-20])
    filesystem.pipe_file("/bucket/cut.jsonl.zst", zstandard.compress(b'{"text": "a"}\n' * 1000)[:-2])
    for name in ("cut.jsonl.gz", "cut.jsonl.zst"):
        with pytest.raises(DegenError, match=f"memory://bucket/{name}"):
            list(open_corpus(f"{bucket}/{name}").draw(0, 1))
