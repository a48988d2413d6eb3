"""A corpus of one document gives no standard error, and the scan says so."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from tiny import library_texts

import degen

SCAN = {"tokens": 256, "context": 32, "threads": 1, "steps": "100", "probes": "loss"}
WORDS = "one document, so no metric has a standard error"


def test_a_single_text_has_no_standard_error_and_says_so(
    series: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = tmp_path / "one.txt"
    text.write_text(library_texts()[0][:20_000])
    with caplog.at_level(logging.WARNING, "degen"):
        run = degen.scan(series, corpus=text, out=tmp_path / "run", **SCAN)
    assert f"{text}: {WORDS}" in caplog.text
    (row,) = run.checkpoints()
    assert row["loss"] > 0
    assert row["loss_se"] is None
    caplog.clear()
    degen.scan(series, sample=run.path / "sample.parquet", out=tmp_path / "again", **SCAN)
    assert f"{run.path / 'sample.parquet'}: {WORDS}" in caplog.text


def test_few_documents_bias_anisotropy_and_the_scan_says_so(
    series: Path, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = tmp_path / "three.jsonl"
    text.write_text("".join(json.dumps({"text": t[:5000]}) + "\n" for t in library_texts()[:3]))
    with caplog.at_level(logging.WARNING, "degen"):
        degen.scan(series, corpus=text, out=tmp_path / "run", **SCAN | {"probes": "anisotropy"})
    assert f"{text}: 3 documents, fewer than 20: pairs within a document raise anisotropy" in caplog.text
    caplog.clear()
    degen.scan(series, corpus=text, out=tmp_path / "losses", **SCAN)
    assert "documents, fewer than" not in caplog.text


def test_several_documents_say_nothing(
    series: Path, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    degen.scan(series, corpus=corpus, out=tmp_path / "run", **SCAN)
    assert WORDS not in caplog.text
