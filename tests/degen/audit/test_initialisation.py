"""Weights that were never trained, a step 0 from elsewhere, and tensors that no model takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from faults.command import degen
from safetensors.torch import load_file, save_file
from tiny import make_checkpoint, make_config, make_tokenizer

from degen.audit.evidence import Facts
from degen.audit.initialisation import foreign_start, initial_findings, is_initial

STEPS = (0, 1, 2, 4, 8, 16, 64, 256, 1000)


def verdicts_of(*words: object) -> dict[str, tuple[str, str | None]]:
    result = degen("audit", *words, "--json")
    result.assert_no_fault()
    return {row["revision"]: (row["verdict"], row["reason"]) for row in result.json()["rows"]}


def walk(foreign: bool, seed: int = 0, values: int = 4000) -> list[Facts]:
    """A run that drifts away from its initialisation; with `foreign`, its step 0 is another one's."""
    draw = np.random.default_rng(seed)
    start, drift, other = (0.02 * draw.standard_normal(values) for _ in range(3))
    facts = []
    for step in STEPS:
        w = other if foreign and step == 0 else start + np.sqrt(step / 1000) * drift
        facts.append(Facts(f"step{step}", step, samples={"model": w + 1e-4 * draw.standard_normal(values)}))
    return facts


@pytest.mark.parametrize("seed", range(20))
def test_a_foreign_step_0_is_found_and_a_genuine_one_is_not(seed: int) -> None:
    (found,) = foreign_start(walk(foreign=True, seed=seed), ()).items()
    assert found[0] == "step0"
    assert found[1][0] == "other_initialisation"
    assert foreign_start(walk(foreign=False, seed=seed), ()) == {}


def test_a_run_that_forgets_everything_says_nothing_of_its_step_0() -> None:
    draw = np.random.default_rng(0)
    facts = [Facts(f"step{s}", s, samples={"model": draw.standard_normal(4000)}) for s in STEPS]
    assert foreign_start(facts, ()) == {}
    sparse = [f for f in walk(foreign=True) if f.step in (0, 256, 1000)]  # too late to tell
    assert foreign_start(sparse, ()) == {}


def test_a_series_of_which_step_0_has_other_weights(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    root = make_tokenizer(tmp_path / "run")
    for step in STEPS:
        torch.manual_seed(7 if step == 0 else 1)
        model = AutoModelForCausalLM.from_config(make_config("llama"))
        torch.manual_seed(2)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.02 * (step / 1000) ** 0.5 * torch.randn_like(p))
        model.save_pretrained(root / f"step{step}")
    found = verdicts_of(root)
    assert found.pop("step0")[0] == "other_initialisation"
    assert set(found.values()) == {("ok", None)}


def test_random_weights_at_the_end_are_found_and_at_the_start_are_not(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    root = make_tokenizer(tmp_path / "run")
    for step in (0, 100, 200):
        torch.manual_seed(step)
        model = AutoModelForCausalLM.from_config(make_config("llama"))
        if step == 100:
            with torch.no_grad():
                for p in model.parameters():
                    p.mul_(1.5)
        model.save_pretrained(root / f"step{step}")
    found = verdicts_of(root)
    assert found["step0"][0] == "ok"
    assert found["step200"][0] == "untrained"
    assert "random weights" in str(found["step200"][1])
    assert verdicts_of(root / "step200")["step200"][0] == "untrained"


def test_what_looks_untrained() -> None:
    assert is_initial(True, {"a": 0.0203, "b": 0.0199, "c": 0.003}, 0.02)
    assert not is_initial(True, {"a": 0.03, "b": 0.0199, "c": 0.003}, 0.02)
    assert not is_initial(False, {"a": 0.02}, 0.02)
    assert not is_initial(True, {"a": 0.02}, None)
    early = [Facts(f"step{s}", s, initial=s < 3) for s in (0, 1, 2, 50, 100)]
    assert initial_findings(early, ()) == {}  # bfloat16 rounds the first steps away
    assert set(initial_findings([*early, Facts("step200", 200, initial=True)], ())) == {"step200"}


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("model.layers.0.self_attn.q_proj.lora_A.weight", "merge it into its base"),
        ("model.layers.0.self_attn.q_proj.weight_scale_inv", "quantization_config"),
        ("lm_head.bias", "name the class in config.json"),
    ],
)
def test_tensors_that_no_model_takes_are_named(name: str, advice: str, tmp_path: Path) -> None:
    folder = make_tokenizer(make_checkpoint(tmp_path / "model", "llama"))
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {name: torch.ones(416)}, folder / "model.safetensors", {"format": "pt"})
    verdict, reason = verdicts_of(folder)["main"]
    assert verdict == "unused_weights"
    assert name in str(reason)
    assert advice in str(reason)
    if "scale" in name:
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(settings | {"quantization_config": {"quant_method": "fp8"}}))
        assert verdicts_of(folder)["main"] == ("ok", None)


def test_the_last_line_says_what_was_looked_at(tmp_path: Path) -> None:
    folder = make_tokenizer(make_checkpoint(tmp_path / "model", "phi"))
    line = "nothing is wrong in what was looked at: "
    assert (
        degen("audit", folder).out.splitlines()[-1] == f"{line}names, hashes, shapes and the values read of 1 revision"
    )
    last = degen("audit", folder, "--read", "none").out.splitlines()[-1]
    assert last == f"{line}names and hashes of 1 revision"
