from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tiny import make_model, make_series

from degen.scanning.dry_run import estimate_costs, total_cost
from degen.scanning.settings import Settings


def test_a_dry_run_loads_no_model_and_counts_all_tokens_and_bytes(
    series: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", loaded)
    rows = estimate_costs(Settings((str(series),), tokens=1000, context=64))
    assert [row["revision"] for row in rows] == ["step0", "step100", "step1000"]
    tensors = load_file(series / "step0" / "model.safetensors")
    model = make_model("gpt_neox")
    total = model.num_parameters()
    body = total - 2 * 416 * 32
    for row in rows:
        assert row["reason"] is None
        assert row["parameters"] == total
        assert row["bytes"] == sum(t.numel() * t.element_size() for t in tensors.values())
        assert row["memory"] == 4 * total
        assert row["flops"] == 1000 * (2 * (body + 416 * 32) + 2 * 2 * 32 * 64)


def test_windows_longer_than_the_learned_positions_are_the_reason_of_a_checkpoint(tmp_path: Path) -> None:
    folder = make_series(tmp_path / "gpt2", steps=(1,), family="gpt2", n_positions=24)
    (row,) = estimate_costs(Settings((str(folder),), context=25))
    assert row["flops"] is None
    assert row["reason"] == "windows of 25 tokens, and the model has 24 learned positions; use --context 24"
    (row,) = estimate_costs(Settings((str(folder),), context=24))
    assert row["reason"] is None


def test_a_dry_run_of_weight_probes_counts_the_head_alone(series: Path) -> None:
    rows = estimate_costs(Settings((str(series),), probes=("spectrum",)))
    assert {row["bytes"] for row in rows} == {416 * 32 * 4}
    assert {row["flops"] for row in rows} == {0.0}


def test_a_checkpoint_that_cannot_be_measured_has_its_reason_in_a_dry_run(series: Path, tmp_path: Path) -> None:
    (tmp_path / "m" / "step5").mkdir(parents=True)
    (row,) = estimate_costs(Settings((str(tmp_path / "m"),)))
    assert row["bytes"] is row["flops"] is row["memory"] is None
    assert "no config.json" in row["reason"]


def test_the_total_leaves_out_checkpoints_that_cannot_be_measured() -> None:
    costs = [{"bytes": 3, "flops": 10.0}, {"bytes": None, "flops": None}, {"bytes": 4, "flops": 5.0}]
    assert total_cost(costs) == (7, 15.0)
