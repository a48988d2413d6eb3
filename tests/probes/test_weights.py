from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.weights import Weights
from faults.command import degen as degen_command
from hub_scans import Scans, revisions
from safetensors.numpy import load_file
from safetensors.torch import save_file
from tiny import FAMILIES, make_checkpoint, make_series

import degen
from degen.checkpoints.local import LocalSource
from degen.gate.judge import judge
from degen.gate.parser import parse_rule
from degen.weight_spectra.summary import by_kind


def rows_of(folder: Path) -> list[dict[str, Any]]:
    source = LocalSource(folder)
    return Weights().measure(source, source)["weights"]


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_matrix_of_every_family_has_the_singular_values_of_numpy(family: str, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "m", family)
    stored = {key: W for key, W in load_file(folder / "model.safetensors").items() if W.ndim > 1}
    rows = rows_of(folder)
    assert {row["tensor"] for row in rows} == set(stored)
    for row in rows:
        W = stored[row["tensor"]].astype(np.float64)
        W = W.reshape(len(W), -1)
        if not row["part"]:
            assert (row["rows"], row["columns"]) == W.shape
            s = np.linalg.svd(W, compute_uv=False)
            p = s[s > 0] ** 2 / (s**2).sum()
            assert row["stable_rank"] == pytest.approx((s**2).sum() / s[0] ** 2, abs=1e-8)
            assert row["singular_entropy"] == pytest.approx(math.log(len(s)) + (p * np.log(p)).sum(), abs=1e-8)
            assert row["spectral_norm"] == pytest.approx(s[0], abs=1e-8)
            assert row["max_over_q99"] == pytest.approx(np.abs(W).max() / np.quantile(np.abs(W), 0.99), abs=1e-8)
    energies = dict.fromkeys(stored, 0.0)
    for row in rows:  # all parts of a tensor together are the tensor
        energies[row["tensor"]] += row["stable_rank"] * row["spectral_norm"] ** 2
    for key, energy in energies.items():
        assert energy == pytest.approx((stored[key].astype(np.float64) ** 2).sum(), rel=1e-9)
    assert {row["kind"] for row in rows if row["layer"]} >= {"mlp_down"} or family == "mamba"


def test_a_scan_fills_the_table_and_medians_and_needs_no_text(tmp_path: Path) -> None:
    series = make_series(tmp_path / "series", steps=(0, 64))
    run = degen.scan(series, probes="weights", out=tmp_path / "run")
    assert run.tables == ["checkpoints", "timing", "weights"]
    rows = run.table("weights").to_pylist()
    for checkpoint in run.checkpoints():
        inner = [r["stable_rank"] for r in rows if r["step"] == checkpoint["step"] and r["layer"] is not None]
        assert checkpoint["weights_stable_rank"] == np.median(inner)
        assert checkpoint["weights_tail_exponent"] is None  # no tail of 50 values in matrices of 32
        assert checkpoint["loss"] is None
    rules = ["weights.stable_rank > 1", "weights.stable_rank[module=embed_out] < 1", "weights_stable_rank > 1"]
    outcomes = judge([parse_rule(rule) for rule in rules], run.path, warn=lambda _: None).outcomes
    verdicts = {(o.rule.metric, o.measured.place): o.verdict for o in outcomes}
    assert verdicts["weights.stable_rank", "module gpt_neox.layers.0.attention.query_key_value q"] == "passed"
    assert [o.verdict for o in outcomes if o.rule.module == "embed_out"] == ["failed"]
    assert verdicts["weights_stable_rank", None] == "passed"


def test_a_series_on_the_hub_is_read_by_ranges_alone(scans: Scans, tmp_path: Path) -> None:
    folder = make_series(tmp_path / "series", steps=(1,), family="llama")
    local = rows_of(folder / "step1")
    scans.add("org/tiny", revisions(folder))
    run = scans.scan("org/tiny@step1", probes="weights")
    read = [{name: row[name] for name in own} for row, own in zip(run.table("weights").to_pylist(), local, strict=True)]
    assert read == local
    asked = [request for request in scans.hub.requests if "model.safetensors" in request.path and request.served]
    assert asked
    assert all(request.range for request in asked)


def test_a_matrix_that_cannot_be_measured_loses_no_other(tmp_path: Path) -> None:
    tensors = {
        "model.layers.0.mlp.up_proj.weight": torch.randn(6, 4),
        "model.layers.0.mlp.down_proj.weight": torch.zeros(4, 6),
        "model.layers.0.mlp.gate_proj.weight": torch.full((6, 4), torch.nan),
        "model.layers.1.mlp.up_proj.weight": torch.ones(6, 4, dtype=torch.int8), "model.norm.weight": torch.ones(4),
    }  # fmt: skip
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "unheard_of"}))
    reasons = {row["tensor"].removeprefix("model.layers."): row["reason"] for row in rows_of(tmp_path)}
    assert reasons.pop("0.mlp.up_proj.weight").startswith("the power law is fitted to a tail of")
    assert reasons == {
        "0.mlp.down_proj.weight": "all of it is zero",
        "0.mlp.gate_proj.weight": "it holds NaN or infinity",
        "1.mlp.up_proj.weight": "stored as I8, which is no plain float",
    }


def test_show_prints_medians_of_each_kind(tmp_path: Path) -> None:
    series = make_series(tmp_path / "series", steps=(0, 64))
    run = degen.scan(series, probes="weights", out=tmp_path / "run")
    last = [row for row in run.table("weights").to_pylist() if row["step"] == 64]
    by_name = {row["kind"]: row for row in by_kind(last)}
    queries = [row["stable_rank"] for row in last if row["kind"] == "attention_q"]
    assert (by_name["attention_q"]["count"], by_name["attention_q"]["stable_rank"]) == (2, np.median(queries))
    shown = degen_command("show", run.path).out
    assert "series@step64, medians over its matrices" in shown
    assert "series@step0, medians" not in shown
    assert f"{np.median(queries):.4g}" in next(line for line in shown.splitlines() if "attention_q" in line)
