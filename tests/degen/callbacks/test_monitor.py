"""A model is measured in the middle of whatever it is doing, and nothing of it is changed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import make_checkpoint, make_model, make_tokenizer
from trainings import MEASURED, make_examples, make_trainee

import degen
from degen.callbacks import Monitor, Watch, measure_model


def scan_of(model: Any, corpus: Path, folder: Path, dtype: str = "auto", out: str = "run") -> dict[str, Any]:
    """Return the row of `degen scan` for a model that is saved, without its name."""
    make_tokenizer(folder / "saved")
    model.save_pretrained(folder / "saved")
    (row,) = degen.scan(folder / "saved", corpus=corpus, out=folder / out, dtype=dtype, **MEASURED).checkpoints()  # type: ignore[arg-type]
    return {n: v for n, v in row.items() if n not in ("model", "revision", "step", "duplicate_of")}


def snapshot(model: Any) -> Any:
    """Return all that a measurement might have changed, copied."""
    import torch

    return {
        "attributes": [{n: v for n, v in vars(m).items() if not n.startswith("_")} for m in model.modules()],
        "names": [sorted(vars(m)) for m in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        "parameters": [(p.clone(), p.requires_grad, p.grad, p.dtype, id(p)) for p in model.parameters()],
        "buffers": [(n, b.clone(), id(b), b.is_inference()) for n, b in model.named_buffers()],
        "config": model.config.to_dict(),
        "random": (random.getstate(), np.random.get_state()[1:3], torch.get_rng_state()),
        "torch": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype()),
    }


def equal(first: Any, second: Any) -> bool:
    import torch

    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, np.ndarray):
        return np.array_equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first is second or first == second)


@pytest.mark.parametrize("family", ["gpt_neox", "gpt2", "gemma3_text", "mixtral", "mamba", "opt"])
def test_measuring_changes_nothing_of_a_model(tokenizer: Any, corpus: Path, family: str) -> None:
    import torch

    model = make_model(family, scale=1.0).train()
    batch = torch.tensor([make_examples(tokenizer, 2)[1]["input_ids"]])
    model(input_ids=batch, labels=batch).loss.backward()  # gradients are there
    for frozen in list(model.parameters())[::3]:
        frozen.requires_grad_(False)
    for module in list(model.modules())[1::4]:
        module.training = False  # some are in evaluation mode, and their parents and children are not
    grads = [p.grad.clone() if p.grad is not None else None for p in model.parameters()]
    monitor = Monitor(tokenizer, corpus=corpus, **MEASURED)
    before = snapshot(model)
    first, second = monitor.measure(model), monitor.measure(model)
    assert equal(before, snapshot(model))
    assert equal(grads, [p.grad for p in model.parameters()])
    assert first.row == second.row
    model(input_ids=batch, labels=batch).loss.backward()  # nothing of inference mode was left in it


def test_buffers_that_a_forward_pass_changes_are_restored(tokenizer: Any, corpus: Path) -> None:
    """RoPE that grows with the text replaces its frequencies; long windows would reach into training."""
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    model = make_model("llama", max_position_embeddings=32, rope_parameters=rope).train()
    before = snapshot(model)
    assert measure_model(model, tokenizer, corpus=corpus, **MEASURED)["status"] == "ok"
    assert equal(before, snapshot(model))


@pytest.mark.parametrize("family", ["gpt_neox", "gpt2", "gemma2", "opt-350m", "mixtral"])
def test_figures_of_a_monitor_are_those_of_a_scan(tokenizer: Any, corpus: Path, tmp_path: Path, family: str) -> None:
    model = make_model(family).train()
    assert measure_model(model, tokenizer, corpus=corpus, **MEASURED) == scan_of(model, corpus, tmp_path)


def test_figures_of_a_monitor_in_bfloat16_are_those_of_a_scan_in_bfloat16(
    tokenizer: Any, corpus: Path, tmp_path: Path
) -> None:
    import torch

    model = make_trainee().to(torch.bfloat16)
    row = measure_model(model, tokenizer, corpus=corpus, **MEASURED)
    assert row == scan_of(model, corpus, tmp_path, dtype="bfloat16")
    assert row["loss"] != scan_of(model, corpus, tmp_path, dtype="auto", out="float32")["loss"]  # float32 on a CPU


def test_wrapped_models_are_unwrapped(tokenizer: Any, corpus: Path) -> None:
    import torch

    model = make_trainee()
    expected = measure_model(model, tokenizer, corpus=corpus, **MEASURED)
    compiled_in_place = make_trainee()
    compiled_in_place.compile()
    for wrapped in (torch.compile(model), torch.nn.DataParallel(model), compiled_in_place):
        assert measure_model(wrapped, tokenizer, corpus=corpus, **MEASURED) == expected
    assert compiled_in_place._compiled_call_impl is not None


def test_ambient_autocast_and_no_grad_change_nothing(tokenizer: Any, corpus: Path) -> None:
    import torch

    model = make_trainee()
    expected = measure_model(model, tokenizer, corpus=corpus, **MEASURED)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        assert measure_model(model, tokenizer, corpus=corpus, **MEASURED) == expected


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft asks transformers for it
def test_an_adapter_is_measured_on_its_base(tokenizer: Any, corpus: Path, tmp_path: Path) -> None:
    import peft

    model = peft.get_peft_model(
        make_trainee(), peft.LoraConfig(r=4, init_lora_weights=False, target_modules=["query_key_value"])
    )
    row = measure_model(model, tokenizer, corpus=corpus, **MEASURED)
    assert model.training
    merged = scan_of(model.merge_and_unload(), corpus, tmp_path)
    for name in ("loss", "anisotropy", "singular_entropy"):  # W x + B A x rounds otherwise than (W + B A) x
        assert row[name] == pytest.approx(merged[name], rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("probes", ["spectrum", None])
def test_an_adapter_on_the_head_is_refused_before_training(
    tokenizer: Any, corpus: Path, tmp_path: Path, probes: str | None
) -> None:
    import peft

    model = peft.get_peft_model(
        make_trainee(), peft.LoraConfig(r=4, init_lora_weights=False, target_modules=["query_key_value", "lm_head"])
    )
    message = "a model with an adapter on its LM head cannot be measured while it trains; scan the adapters"
    with pytest.raises(degen.CheckpointError, match=message):
        Watch(Monitor(tokenizer, corpus=corpus, probes=probes, **MEASURED)).begin(model)
    model.merge_adapter()  # the weight is then all there is
    row = measure_model(model, tokenizer, corpus=corpus, probes=probes, **MEASURED)
    model.unmerge_adapter()
    merged = scan_of(model.merge_and_unload(), corpus, tmp_path)
    assert row["singular_entropy"] == pytest.approx(merged["singular_entropy"], rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_a_head_that_is_trained_whole_beside_adapters_is_measured(tokenizer: Any, corpus: Path, tmp_path: Path) -> None:
    import peft
    import torch

    model = peft.get_peft_model(
        make_trainee(),
        peft.LoraConfig(r=4, init_lora_weights=False, target_modules=["query_key_value"], modules_to_save=["lm_head"]),
    )
    base = measure_model(model, tokenizer, corpus=corpus, **MEASURED)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(torch.linspace(0.1, 2, 32))  # as training would change it
    row = measure_model(model, tokenizer, corpus=corpus, **MEASURED)
    assert abs(row["singular_entropy"] - base["singular_entropy"]) > 0.01
    merged = scan_of(model.merge_and_unload(), corpus, tmp_path)
    for name in ("loss", "anisotropy", "singular_entropy"):
        assert row[name] == pytest.approx(merged[name], rel=1e-5)


def test_the_windows_of_a_scan_can_be_reused(tokenizer: Any, series: Path, corpus: Path, tmp_path: Path) -> None:
    run = degen.scan(series / "step100", corpus=corpus, out=tmp_path, **MEASURED)  # type: ignore[arg-type]
    tokenizer(["text", "more"], truncation=True, max_length=4)  # leaves its mark in it
    row = measure_model(make_model(seed=101), tokenizer, sample=tmp_path / "sample.parquet", batch_size=8)
    (scanned,) = run.checkpoints()
    assert {name: scanned[name] for name in row} == row


def test_probes_of_the_head_need_no_text(tokenizer: Any) -> None:
    row = measure_model(make_trainee(), tokenizer, probes="spectrum")
    assert row["singular_entropy"] > 0
    assert "loss" not in row


def test_probes_that_call_the_model_need_no_other_beside_them(tokenizer: Any, corpus: Path) -> None:
    alone = measure_model(make_trainee(), tokenizer, corpus=corpus, probes=["fragility"], **MEASURED)
    beside = measure_model(make_trainee(), tokenizer, corpus=corpus, probes=["fragility", "loss"], **MEASURED)
    assert alone["fragility"] == beside["fragility"]
    assert isinstance(alone["fragility"], float)


def test_sharded_weights_are_refused(tokenizer: Any, corpus: Path) -> None:
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    with init_empty_weights():
        model = AutoModelForCausalLM.from_config(make_trainee().config, dtype=torch.float32)
    with pytest.raises(degen.CheckpointError, match="not whole in this process"):
        measure_model(model, tokenizer, corpus=corpus, **MEASURED)


def test_a_probe_that_trains_is_refused(tokenizer: Any, corpus: Path) -> None:
    with pytest.raises(degen.DegenError, match="the probe rank trains heads for itself"):
        Monitor(tokenizer, corpus=corpus, probes="rank", options={"rank": {"methods": ("trained",)}}, **MEASURED)


@pytest.mark.parametrize("name", ["weights", "delta", "embedding"])
def test_a_probe_that_reads_files_is_refused(tokenizer: Any, corpus: Path, name: str) -> None:
    with pytest.raises(degen.DegenError, match=f"the probe {name} reads stored tensors, which a model in training has"):
        Monitor(tokenizer, corpus=corpus, probes=["loss", name], **MEASURED)


def test_a_monitor_measures_the_probes_that_are_chosen(tokenizer: Any, corpus: Path) -> None:
    monitor = Monitor(tokenizer, corpus=corpus, probes=["rank"], options={"rank": {"ranks": (4, 32)}}, **MEASURED)
    measurement = monitor.measure(make_trainee())
    assert [row["rank"] for row in measurement.rows["ranks"]] == [4, 32]
    assert measurement.figures["bottleneck_rank"] == measurement.row["bottleneck_rank"]
    assert "loss" not in measurement.figures


def test_a_training_loop_of_the_users_own_is_watched(tokenizer: Any, corpus: Path, tmp_path: Path) -> None:
    import torch

    model = make_trainee()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    examples = torch.tensor([e["input_ids"] for e in make_examples(tokenizer, 8)])
    watch = Watch(Monitor(tokenizer, corpus=corpus, **MEASURED), rules=["loss > 5.9"], out=tmp_path / "run")
    watch.begin(model)
    for step in range(1, 101):
        model(input_ids=examples, labels=examples).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 0 and watch.measure_step(model, step).broken:
            break
    rows = degen.read_run(tmp_path / "run").checkpoints()
    assert [row["step"] for row in rows] == list(range(10, step + 1, 10))
    assert [row["loss"] > 5.9 for row in rows] == [True] * (len(rows) - 1) + [False]


def test_positions_are_checked_before_training(tokenizer: Any, corpus: Path) -> None:
    model = make_model("gpt2", n_positions=32)
    with pytest.raises(degen.CheckpointError, match="has 32 learned positions; use context=32"):
        Watch(Monitor(tokenizer, corpus=corpus, **MEASURED)).begin(model)


def test_the_tokenizer_may_be_a_folder(series: Path, corpus: Path, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "model")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    assert measure_model(model, series, corpus=corpus, **MEASURED)["status"] == "ok"
