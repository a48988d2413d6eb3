"""Probes of hidden states in a scan: all at once, at any size of batch, with the first positions left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import make_model
from transformers import AutoTokenizer

import degen
from degen import DegenError
from degen.callbacks import measure_model
from degen.probe_registry import load_probes

PROBES = (
    "common_mode", "isoscore", "massive_activations", "outlier_dimensions", "participation_ratio", "rankme",
    "self_similarity", "state_spectrum", "two_nn",
)  # fmt: skip
SCAN: dict[str, Any] = {"tokens": 1500, "context": 64, "threads": 1, "steps": "100"}
KEYS = {"model", "revision", "step", "layer", "site", "reason"}


def layer_rows(run: degen.Run) -> list[dict[str, Any]]:
    return run.table("layers").to_pylist()


def test_a_scan_fills_every_column_at_every_site_whatever_the_batch(series: Path, corpus: Path, tmp_path: Path) -> None:
    runs = [
        degen.scan(series, corpus=corpus, out=tmp_path / str(size), probes=PROBES, batch_size=size, **SCAN)
        for size in (1, 7)
    ]
    rows, others = map(layer_rows, runs)
    assert [(row["layer"], row["site"]) for row in rows] == [
        (0, "embedding"), (1, "block"), (2, "block"), (2, "head_input")
    ]  # fmt: skip
    declared = {column.name for probe in load_probes(PROBES).values() for column in probe.columns["layers"]}
    assert declared <= set(rows[0]) - KEYS
    for row, other in zip(rows, others, strict=True):
        assert {name for name in declared if row[name] is None} <= {"outlier_share_standardised"}
        for name in declared - {"outlier_dimension"}:
            if row[name] is None or other[name] is None:
                continue
            assert row[name] == pytest.approx(other[name], rel=1e-3, abs=1e-4), name
    of_domains = [row for row in runs[0].table("domains").to_pylist() if row["layer"] is not None]
    assert len(of_domains) == 4 * len({row["domain"] for row in of_domains}) > 4
    assert declared <= set(of_domains[0])
    for name in declared - {"outlier_share_standardised", "alpha_req_last"}:  # of which few windows have none
        assert all(row[name] is not None or row["reason"] for row in of_domains), name
        assert sum(row[name] is not None for row in of_domains) > len(of_domains) / 2, name
    listed = runs[0].table("outlier_dimensions").to_pylist()
    assert [row["index"] for row in listed if row["site"] == "head_input"] == list(range(10))


def test_each_reason_stands_once_though_several_probes_give_it(series: Path, corpus: Path, tmp_path: Path) -> None:
    few = SCAN | {"tokens": 200}
    run = degen.scan(series, corpus=corpus, out=tmp_path / "run", probes=PROBES, **few)
    for row in layer_rows(run):
        parts = row["reason"].split("; ")
        assert parts.count("spectra of 200 positions, fewer than 10 for each of 32 dimensions, are biased") == 1
        assert len(parts) == len(set(parts))


def test_a_run_keeps_its_skipped_positions_and_other_ones_are_refused(
    series: Path, corpus: Path, tmp_path: Path
) -> None:
    same: dict[str, Any] = {"corpus": corpus, "out": tmp_path / "run", **SCAN}
    first = degen.scan(series, probes="isoscore", skip_first=2, **same)
    assert first.info["asked"]["skip_first"] == 2
    added = degen.scan(series, probes="common_mode", skip_first=2, **same)
    assert [row["isoscore"] for row in layer_rows(added)] == [row["isoscore"] for row in layer_rows(first)]
    with pytest.raises(DegenError, match="other settings: skip_first 2"):
        degen.scan(series, probes="common_mode", **same)
    whole = degen.scan(series, probes="isoscore", **same | {"out": tmp_path / "whole"})
    assert [row["isoscore"] for row in layer_rows(whole)] != [row["isoscore"] for row in layer_rows(first)]
    assert whole.info["config_hash"] != first.info["config_hash"]


def test_nothing_left_of_the_windows_is_the_users_mistake(series: Path, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(DegenError, match="--skip-first 64: leaves nothing of windows of 64 tokens"):
        degen.scan(series, corpus=corpus, out=tmp_path / "run", skip_first=64, **SCAN)
    with pytest.raises(DegenError, match="--skip-first -1: must be at least 0"):
        degen.scan(series, corpus=corpus, out=tmp_path / "run", skip_first=-1, **SCAN)


def test_a_model_in_memory_is_measured_alike(series: Path, corpus: Path, tmp_path: Path) -> None:
    run = degen.scan(series, corpus=corpus, out=tmp_path / "run", probes="anisotropy", skip_first=3, **SCAN)
    text: dict[str, Any] = {"sample": run.path / "sample.parquet", "probes": "anisotropy"}
    tokenizer = AutoTokenizer.from_pretrained(series)
    (row,) = run.checkpoints()
    skipped = measure_model(make_model(seed=101), tokenizer, skip_first=3, **text)
    assert skipped["anisotropy"] == pytest.approx(row["anisotropy"], abs=1e-6)
    assert measure_model(make_model(seed=101), tokenizer, **text)["anisotropy"] != skipped["anisotropy"]
