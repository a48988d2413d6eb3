from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from adapters import make_adapter
from deltas import LINEAR, READ, TASK, train
from safetensors.torch import load_file
from tiny import make_checkpoint, make_series

import degen
from degen.delta import measure_deltas


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("delta") / "base", "llama")


def test_the_table_of_a_scan_is_that_of_the_command(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "mine", base, READ["dora"][1]())
    run = degen.scan(f"{base}+{adapter}", probes=["delta"], out=tmp_path / "run")
    rows, expected = run.table("delta").to_pylist(), measure_deltas([str(adapter)])
    assert rows == expected.rows()
    spectra = expected.spectra().to_pylist()
    assert run.table("delta_spectrum").to_pylist() == spectra
    (checkpoint,) = run.checkpoints()
    assert checkpoint["status"] == "ok"
    assert checkpoint["delta_kind"] == "dora"
    assert checkpoint["delta_rank"] == np.median([row["rank"] for row in rows])
    assert checkpoint["delta_dimension"] == pytest.approx(np.median([row["effective_rank"] for row in rows]))


def test_checkpoints_are_taken_against_the_first_of_their_series(tmp_path: Path) -> None:
    series = make_series(tmp_path / "series", steps=(0, 1, 2))
    run = degen.scan(series, probes=["delta", "spectrum"], out=tmp_path / "run")
    first, last = (load_file(series / f"step{step}" / "model.safetensors") for step in (0, 2))
    rows = run.table("delta").to_pylist()
    assert {row["revision"] for row in rows} == {"step1", "step2"}
    of_last = {row["module"]: row for row in rows if row["revision"] == "step2"}
    assert set(of_last) == {name.removesuffix(".weight") for name in first}
    total = 0.0
    for name, tensor in first.items():
        change = (last[name].double() - tensor.double()).reshape(len(tensor), -1)
        values = torch.linalg.svdvals(change).numpy()
        row = of_last[name.removesuffix(".weight")]
        assert row["norm"] == pytest.approx(np.linalg.norm(values))
        assert row["relative_norm"] == pytest.approx(np.linalg.norm(values) / float(tensor.double().norm()))
        total += np.linalg.norm(values) ** 2
        if tensor.dim() == 2:
            p = values / values.sum()
            assert row["effective_rank"] == pytest.approx(np.exp(-(p * np.log(p)).sum()))
    checkpoints = {row["revision"]: row for row in run.checkpoints()}
    base = sum(float(tensor.double().norm()) ** 2 for tensor in first.values())
    assert checkpoints["step2"]["delta_relative_norm"] == pytest.approx(np.sqrt(total / base))
    assert checkpoints["step0"]["delta_rank"] is None
    assert checkpoints["step0"]["status"] == "ok"


def test_a_probe_added_later_measures_the_update_alone(base: Path, tmp_path: Path) -> None:
    from peft import LoraConfig

    adapter = make_adapter(tmp_path / "mine", base, LoraConfig(r=3, target_modules=LINEAR, **TASK))
    before = degen.scan(f"{base}+{adapter}", probes=["spectrum"], out=tmp_path / "run").checkpoints()
    run = degen.scan(f"{base}+{adapter}", probes=["spectrum", "delta"], out=tmp_path / "run")
    (after,) = run.checkpoints()
    assert after["singular_entropy"] == before[0]["singular_entropy"]
    assert after["delta_rank"] == 3


def test_virtual_tokens_are_measured_though_no_model_can_be(base: Path, tmp_path: Path) -> None:
    from peft import PromptTuningConfig

    adapter = train(tmp_path / "prompt", base, PromptTuningConfig(num_virtual_tokens=4, **TASK))
    run = degen.scan(f"{base}+{adapter}", probes=["delta"], out=tmp_path / "run")
    (row,) = run.table("delta").to_pylist()
    assert (row["kind"], row["taxonomy"], row["rows"], row["rank"]) == ("prompt_tuning", "addition", 4, 4)
    assert run.checkpoints()[0]["status"] == "ok"
    merged = degen.scan(f"{base}+{adapter}", probes=["delta", "spectrum"], out=tmp_path / "both")
    assert "adapters are measured merged" in merged.checkpoints()[0]["reason"]


def test_an_adapter_that_does_not_fit_its_base_fails_and_the_next_does_not(base: Path, tmp_path: Path) -> None:
    from peft import LoraConfig

    for step in (1, 2):
        make_adapter(tmp_path / "adapters" / f"step{step}", base, LoraConfig(r=3, target_modules=LINEAR, **TASK))
    file = tmp_path / "adapters" / "step1" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    run = degen.scan(f"{base}+{tmp_path / 'adapters'}", probes=["delta"], out=tmp_path / "run")
    first, second = run.checkpoints()
    assert first["status"] == "failed"
    assert "not a sound safetensors file" in first["reason"]
    assert (second["status"], second["delta_rank"]) == ("ok", 3)
