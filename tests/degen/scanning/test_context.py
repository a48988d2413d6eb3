"""Without a word about the context, windows fit the learned positions of the models."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from tiny import make_corpus, make_model, make_series, pile
from trainings import load_tokenizer

import degen
from degen import DegenError
from degen.callbacks import Monitor, measure_model
from degen.scanning.dry_run import estimate_costs
from degen.scanning.settings import make_settings
from degen.text.windows import read_samples

SCAN = {"tokens": 600, "threads": 1, "probes": "loss"}


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series of a GPT-2 with 40 learned positions."""
    return make_series(tmp_path_factory.mktemp("short") / "gpt2", (1, 2), "gpt2", n_positions=40)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of some three hundred tokens."""
    return make_corpus(tmp_path_factory.mktemp("texts") / "c.jsonl", pile(6))


def used(run: degen.Run) -> tuple[int, int]:
    """The context in run.json, and the longest window."""
    (sample,) = read_samples(run.path / "sample.parquet").values()
    return run.info["asked"]["context"], sample.longest


def test_windows_are_as_long_as_the_model_has_positions(
    short: Path, texts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "degen"):
        run = degen.scan(short, corpus=texts, out=tmp_path / "run", **SCAN)
    assert used(run) == (40, 40)
    assert "gpt2@step1 has 40 learned positions: windows of up to 40 tokens, not 512" in caplog.text
    assert [row["status"] for row in run.checkpoints()] == ["ok", "ok"]
    before = (run.path / "checkpoints" / "gpt2" / "step1.parquet").stat().st_mtime_ns
    again = degen.scan(short, corpus=texts, out=tmp_path / "run", context=40, **SCAN)
    assert used(again) == (40, 40)
    assert (run.path / "checkpoints" / "gpt2" / "step1.parquet").stat().st_mtime_ns == before


def test_the_shortest_of_several_series_decides_and_others_keep_512(
    short: Path, series: Path, texts: Path, tmp_path: Path
) -> None:
    assert used(degen.scan([series, short], corpus=texts, out=tmp_path / "both", **SCAN)) == (40, 40)
    assert used(degen.scan(series, corpus=texts, out=tmp_path / "one", **SCAN))[0] == 512


def test_a_context_that_was_asked_for_is_kept_or_refused(short: Path, texts: Path, tmp_path: Path) -> None:
    assert used(degen.scan(short, corpus=texts, context=24, out=tmp_path / "run", **SCAN)) == (24, 24)
    with pytest.raises(DegenError, match="has 40 learned positions; use --context 40"):
        degen.scan(short, corpus=texts, context=41, out=tmp_path / "long", **SCAN)
    with pytest.raises(DegenError, match="other settings: context 24"):
        degen.scan(short, corpus=texts, context=30, out=tmp_path / "run", **SCAN)


def test_a_continued_run_keeps_the_context_it_began_with(short: Path, texts: Path, tmp_path: Path) -> None:
    degen.scan(short, corpus=texts, context=24, out=tmp_path / "run", **SCAN)
    (tmp_path / "run" / "checkpoints" / "gpt2" / "step2.parquet").unlink()
    run = degen.scan(short, corpus=texts, out=tmp_path / "run", **SCAN)
    assert used(run) == (24, 24)
    assert len(run.checkpoints()) == 2


def test_the_dry_run_counts_the_windows_that_the_scan_takes(short: Path) -> None:
    notes: list[str] = []
    rows = estimate_costs(make_settings(short, tokens=600), notes.append)
    assert [row["reason"] for row in rows] == [None, None]
    assert rows[0]["flops"] == estimate_costs(make_settings(short, tokens=600, context=40))[0]["flops"]
    assert len(notes) == 1


def test_a_model_in_memory_is_measured_as_its_checkpoint_is_scanned(
    short: Path, texts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_model("gpt2", seed=2, n_positions=40)  # as step1 was made
    tokenizer = load_tokenizer(short)
    settings = {"corpus": texts, "tokens": 600, "probes": "loss", "batch_size": 8}
    with caplog.at_level(logging.WARNING, "degen"):
        row = measure_model(model, tokenizer, **settings)
    assert "the model has 40 learned positions: windows of up to 40 tokens, not 512" in caplog.text
    run = degen.scan(short, corpus=texts, out=tmp_path / "run", batch_size=8, **SCAN)
    assert row["loss"] == run.checkpoints()[0]["loss"]
    monitor = Monitor(tokenizer, **settings)
    monitor.check(model)
    assert json.loads(json.dumps(monitor.settings.to_json()))["context"] == 40
    with pytest.raises(DegenError, match="40 learned positions"):
        Monitor(tokenizer, **settings, context=64).check(model)
