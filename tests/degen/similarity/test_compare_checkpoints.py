"""From a scan that keeps states to comparisons of its checkpoints, each against the models themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from faults.command import degen as command
from tiny import make_series
from transformers import AutoModelForCausalLM

import degen
from degen import DegenError
from degen.similarity.compare_checkpoints import measure_similarity
from degen.stats.similarity import debiased_cka

STEPS = (0, 100, 1000)
SETTINGS: dict[str, Any] = {"tokens": 500, "context": 32, "threads": 1}


@pytest.fixture(scope="module")
def kept(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> degen.Run:
    """Return a run of three checkpoints that keeps the states of 40 positions."""
    folder = tmp_path_factory.mktemp("states")
    series = make_series(folder / "tiny", STEPS, "opt-350m")
    return degen.scan(
        series, probes=["loss", "states"], options={"states": {"positions": 40}}, corpus=corpus, out=folder / "run",
        **SETTINGS,
    )  # fmt: skip


def states_of(run: degen.Run, step: int) -> dict[tuple[int, str], dict[tuple[int, int], np.ndarray]]:
    found: dict[tuple[int, str], dict[tuple[int, int], np.ndarray]] = {}
    for row in run.table("states").to_pylist():
        if row["step"] == step:
            at = found.setdefault((row["layer"], row["site"]), {})
            at[row["window"], row["token"]] = np.asarray(row["state"])
    return found


@torch.no_grad()
def test_kept_states_are_those_of_the_model_at_the_same_positions_of_every_checkpoint(kept: degen.Run) -> None:
    sample = pq.read_table(kept.path / "sample.parquet").to_pylist()
    at_first = states_of(kept, 0)
    assert set(at_first) == {(0, "embedding"), (1, "block"), (2, "block"), (2, "head_input")}
    for step in STEPS:
        states = states_of(kept, step)
        assert [list(site) for site in states.values()] == [list(site) for site in at_first.values()]
        model = AutoModelForCausalLM.from_pretrained(kept.path.parent / "tiny" / f"step{step}")
        for (window, token), state in states[2, "head_input"].items():
            ids = torch.tensor([sample[window]["tokens"]])
            own = model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0, token]
            assert np.allclose(state, own.numpy(), atol=1e-5)
        for row in kept.table("head_rows").to_pylist():
            if row["step"] == step:
                expected = model.lm_head.weight[row["token_id"]].numpy()
                assert np.array_equal(np.asarray(row["state"], dtype=np.float32), expected)
    assert [row["kept_positions"] for row in kept.checkpoints()] == [40, 40, 40]


def test_every_checkpoint_is_compared_with_the_previous_the_first_and_the_last(kept: degen.Run) -> None:
    told: list[tuple[str, int, int]] = []
    rows = measure_similarity(kept, lambda *state: told.append(state)).rows
    assert told == [(f"tiny@step{step}", i, 3) for i, step in enumerate(STEPS, 1)]
    pairs = {(r["step"], r["against"], r["other_step"]) for r in rows}
    assert pairs == {
        (0, "last", 1000), (100, "previous", 0), (100, "first", 0), (100, "last", 1000), (1000, "previous", 100),
        (1000, "first", 0),
    }  # fmt: skip
    by_step = {step: states_of(kept, step) for step in STEPS}
    heads = {
        step: np.asarray([r["state"] for r in kept.table("head_rows").to_pylist() if r["step"] == step])
        for step in STEPS
    }
    for row in rows:
        site = (row["layer"], row["site"])
        X, Y = (
            heads[step] if row["site"] == "head" else np.stack([v for _, v in sorted(by_step[step][site].items())])
            for step in (row["step"], row["other_step"])
        )
        assert row["vectors"] == len(X) == 40
        assert row["cka"] == pytest.approx(debiased_cka(X, Y), abs=1e-8)
        assert row["displacement"] == pytest.approx(np.linalg.norm(X - Y) / np.linalg.norm(Y), abs=1e-8)
        V = [np.linalg.svd(A - A.mean(axis=0), full_matrices=False)[2][: row["directions"]] for A in (X, Y)]
        assert row["directions"] == min(16, X.shape[1] // 2)
        assert row["overlap"] == pytest.approx(np.linalg.norm(V[0] @ V[1].T) ** 2 / len(V[0]), abs=1e-8)
        assert row["reason"] is None
    order = [(0, "embedding"), (1, "block"), (2, "block"), (2, "head_input"), (2, "head")]
    assert [(r["layer"], r["site"]) for r in rows] == order * len(pairs)


def test_the_command_prints_the_figures_and_writes_them_into_the_run(
    kept: degen.Run, corpus: Path, tmp_path: Path
) -> None:
    shown = command("similarity", kept.path, "-o", tmp_path / "s.csv")
    assert shown.code == 0
    assert "s.csv: " in shown.err
    assert " rows of similarity" in shown.err
    rows = degen.read_run(kept.path).table("similarity").to_pylist()
    first = next(r for r in rows if (r["step"], r["against"], r["site"]) == (100, "previous", "head_input"))
    line = next(line for line in shown.out.splitlines() if "step100 " in line)
    assert f"{first['cka']:.4g}" in line
    document = json.loads(command("similarity", kept.path, "--json").out)
    assert document["rows"] == rows
    assert len((tmp_path / "s.csv").read_text().splitlines()) == len(rows) + 1
    assert command("export", kept.path, "--table", "similarity", "--to", tmp_path / "t.parquet").code == 0
    refused = command("export", kept.path, "--table", "states", "--to", tmp_path / "t.csv")
    assert refused.code == 2
    assert "holds vectors" in refused.message


def test_a_run_that_continues_has_no_comparisons_of_fewer_checkpoints(corpus: Path, tmp_path: Path) -> None:
    series = make_series(tmp_path / "tiny", (0, 100))
    settings = SETTINGS | {"probes": ["states"], "corpus": corpus, "out": tmp_path / "run"}
    run = degen.scan(series, **settings)
    assert command("similarity", run.path).code == 0
    make_series(series, (200,))
    run = degen.scan(series, **settings)
    assert "similarity" not in run.tables
    rows = measure_similarity(run).rows
    assert {r["other_step"] for r in rows if r["against"] == "last"} == {200}


def test_a_run_without_states_or_with_one_checkpoint_is_refused(run: degen.Run, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(DegenError, match="--probes states"):
        measure_similarity(run)
    alone = degen.scan(make_series(tmp_path / "t", (1,)), probes=["states"], corpus=corpus, out=tmp_path / "run",
                       **SETTINGS)  # fmt: skip
    with pytest.raises(DegenError, match="two checkpoints"):
        measure_similarity(alone)
