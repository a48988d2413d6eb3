"""The opt-in probes of the head in a scan: counts of the sample, the final norm and options reach them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM

import degen
from degen.callbacks.monitor import Monitor
from degen.errors import DegenError

PROBES = ("head_spectra", "head_tail", "head_frequency", "isotropy", "unargmaxable")
OPTIONS = {"unargmaxable": {"exact": True, "checked": 20}}


@pytest.fixture(scope="module")
def scanned(series: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> degen.Run:
    return degen.scan(
        series, corpus=corpus, out=tmp_path_factory.mktemp("heads") / "run", tokens=512, context=32, threads=1,
        probes=PROBES, options=OPTIONS,
    )  # fmt: skip


def head_and_norm(checkpoint: Path) -> list[np.ndarray]:
    """The weights of the head and of the final norm; the head's name differs between versions of transformers."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    modules = (model.get_output_embeddings(), model.base_model.final_layer_norm)
    return [module.weight.detach().double().numpy() for module in modules]


def test_tokens_are_counted_and_no_model_runs(scanned: degen.Run) -> None:
    sample = pq.read_table(scanned.path / "sample.parquet")["tokens"].to_pylist()
    tokens = {token for window in sample for token in window[1:]}
    assert {row["frequency_tokens"] for row in scanned.checkpoints()} == {len(tokens)}
    assert all(-1 <= row["first_direction_frequency_r"] <= 1 for row in scanned.checkpoints())
    assert {row["phase"] for row in scanned.table("timing").to_pylist()} == {"fetch", "load", *PROBES, "total"}


def test_the_final_norm_is_folded(scanned: degen.Run, series: Path) -> None:
    W, gamma = head_and_norm(series / "step1000")
    used = scanned.checkpoints()[-1]["vocab_used"]  # the ids of the tokenizer are 0 to used − 1
    expected = np.linalg.svd(W[:used] * gamma, compute_uv=False)
    rows = {r["variant"]: r for r in scanned.table("head_spectra").to_pylist() if r["revision"] == "step1000"}
    assert rows["folded"]["stable_rank"] == pytest.approx((expected**2).sum() / expected[0] ** 2, rel=1e-8)
    assert rows["folded"]["condition_number"] == pytest.approx(expected[0] / expected[-1], rel=1e-8)


def test_options_arrive(scanned: degen.Run, series: Path, tmp_path: Path) -> None:
    for row in scanned.checkpoints():
        assert row["unargmaxable_checked"] == 20
        assert isinstance(row["unargmaxable"], int)
    with pytest.raises(DegenError, match="no option 'exactly'"):
        degen.scan(series, probes=["unargmaxable"], options={"unargmaxable": {"exactly": 1}}, out=tmp_path / "run")


def test_a_model_in_memory_has_the_figures_of_its_files(scanned: degen.Run, series: Path, corpus: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(series / "step1000", dtype=torch.float32)
    tokenizer = str(series)
    settings: dict[str, Any] = {"corpus": str(corpus), "tokens": 512, "context": 32}
    measured = Monitor(tokenizer, probes=PROBES, options=OPTIONS, **settings).measure(model)
    (row,) = measured.rows["checkpoints"]
    stored = scanned.checkpoints()[-1]
    for name in ("isotropy", "mean_row_share", "first_direction_frequency_r", "head_tail_distance", "unargmaxable"):
        assert row[name] == pytest.approx(stored[name], rel=1e-9), name
    spectra = {r["variant"]: r for r in measured.rows["head_spectra"]}
    of_run = {r["variant"]: r for r in scanned.table("head_spectra").to_pylist() if r["revision"] == "step1000"}
    assert spectra["centred_folded"]["spectral_gap"] == pytest.approx(of_run["centred_folded"]["spectral_gap"])
