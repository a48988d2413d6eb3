"""One module for a series: what it is filled with is what transformers loads, to the bit, or it is not filled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import spoil
from safetensors.torch import load_file
from tiny import FAMILIES, WIDTH, make_checkpoint

from degen.model import module_reuse as refill
from degen.model.architecture import read_config
from degen.model.loading import load_model
from degen.model.module_reuse import SeriesModule
from degen.weights.checkpoint_files import Files
from degen.weights.open_weights import open_tensors

CPU = torch.device("cpu")
IDS = torch.arange(40).unsqueeze(0)


def load(module: SeriesModule, folder: Path, dtype: Any = torch.float32) -> Any:
    files = Files(folder)
    return module.load(files, read_config(folder), open_tensors(files), CPU, dtype)


def fresh(folder: Path, dtype: Any = torch.float32) -> Any:
    return load_model(Files(folder), read_config(folder), CPU, dtype)


def bits(model: Any) -> dict[str, Any]:
    """Every parameter and buffer, the persistent and the others: dtype, shape, bytes."""
    tensors = model.state_dict() | dict(model.named_buffers())
    as_bytes = {n: t.detach().flatten().view(torch.uint8).numpy().tobytes() for n, t in tensors.items()}
    return {n: (t.dtype, t.shape, t.requires_grad, as_bytes[n]) for n, t in tensors.items()}


def run(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=IDS).logits
    return logits


def follow(folders: list[Path], dtype: Any = torch.float32, module: SeriesModule | None = None) -> int:
    """Load one after another, each compared with a fresh one and then run; how many modules it took."""
    module, models = module or SeriesModule(), []
    for folder in folders:
        model, expected = load(module, folder, dtype), fresh(folder, dtype)
        assert bits(model) == bits(expected)
        assert (model.dtype, model.training, model.config.use_cache) == (expected.dtype, False, False)
        for parameter in expected.parameters():  # kernels round by where memory is aligned
            parameter.data = parameter.data.clone()
        assert run(model).equal(run(expected))
        models.append(model)
    return len({id(model) for model in models})


@pytest.mark.parametrize("family", FAMILIES)
def test_filled_is_loaded_to_the_bit(family: str, tmp_path: Path) -> None:
    """Step 0 has nothing to go by; what is stored in one dtype runs in another."""
    wanted = 4 if family == "mixtral" else 1  # whose experts transformers stacks
    for stored in ("float32", "bfloat16", "float16"):
        steps = [make_checkpoint(tmp_path / stored / f"step{i}", family, seed=i, dtype=stored) for i in range(3)]
        spoil.flatten(steps[0])
        for dtype in (torch.float32, torch.bfloat16) if stored != "float16" else (torch.float32, torch.float16):
            assert follow([*steps, steps[1]], dtype) == wanted, (stored, dtype)


def bare(tensors: dict[str, torch.Tensor]) -> None:
    """As the first GPT-2 files: no prefix, and buffers that no module has any more."""
    for key in list(tensors):
        tensors[key.removeprefix("transformer.")] = tensors.pop(key)
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 256, 256)
    tensors["h.0.attn.masked_bias"] = torch.tensor(-1e4)


def twice(tensors: dict[str, torch.Tensor]) -> None:
    """The head of a tied model, stored once more."""
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"].clone()


def as_bin(folder: Path) -> None:
    torch.save(load_file(spoil.weights(folder)), folder / "pytorch_model.bin")
    spoil.weights(folder).unlink()


def bare_twice_as_pickle(folder: Path) -> None:
    spoil.edit_weights(folder, lambda tensors: (twice(tensors), bare(tensors)))
    tensors = load_file(spoil.weights(folder))
    tensors["wte.weight"] = tensors["lm_head.weight"]  # of one storage
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    spoil.weights(folder).unlink()


LAYOUTS: dict[str, Callable[[Path], object]] = {
    "bare": lambda folder: spoil.edit_weights(folder, bare),
    "twice": lambda folder: spoil.edit_weights(folder, twice),
    "bin": as_bin,
    "bare and twice, pickled": bare_twice_as_pickle,
    "sharded": spoil.shard,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stored", ["float32", "float16", "float64"])
def test_every_layout_is_filled(layout: str, stored: str, tmp_path: Path) -> None:
    steps = [make_checkpoint(tmp_path / f"step{i}", "gpt2", seed=i, dtype=stored) for i in range(3)]
    for step in steps:
        LAYOUTS[layout](step)
    assert follow([*steps, steps[0]]) == 1


def test_layouts_may_change_within_a_series(tmp_path: Path) -> None:
    steps = [make_checkpoint(tmp_path / f"step{i}", seed=i) for i in range(4)]
    spoil.edit_weights(steps[1], lambda tensors: tensors.update({k: t.bfloat16() for k, t in tensors.items()}))
    as_bin(steps[2])
    spoil.shard(steps[3])
    assert follow([*steps, *steps]) == 1


def test_a_tensor_stored_the_other_way_round_may_come_later_only(tmp_path: Path) -> None:
    """Where it comes first, the fresh module has it so, too, and is not the one to be filled."""
    steps = [make_checkpoint(tmp_path / f"step{i}", "llama", seed=i) for i in range(2)]
    other = make_checkpoint(tmp_path / "other", "llama", intermediate_size=48)
    tensors = load_file(spoil.weights(steps[1]))
    tensors["model.layers.0.mlp.up_proj.weight"] = tensors["model.layers.0.mlp.up_proj.weight"].T.contiguous().T
    torch.save(tensors, steps[1] / "pytorch_model.bin")
    spoil.weights(steps[1]).unlink()
    normal, turned = steps
    assert follow([normal, turned, normal]) == 1
    assert follow([turned, normal, turned]) == 3
    assert follow([normal, other, turned, normal, turned]) == 4


def test_two_versions_of_what_is_tied_are_not_tied(tmp_path: Path) -> None:
    steps = [make_checkpoint(tmp_path / f"step{i}", "gpt2", seed=i) for i in range(4)]
    for step in steps:
        spoil.edit_weights(step, twice)
    spoil.edit_weights(steps[1], lambda tensors: tensors["lm_head.weight"][7, 7].add_(1.0))
    assert follow(steps) == 2
    head, embedding = (m.weight for m in (fresh(steps[1]).lm_head, fresh(steps[1]).transformer.wte))
    assert not head.equal(embedding)


CHANGES: dict[str, dict[str, Any]] = {
    "shape": {"intermediate_size": 48},
    "a number": {"layer_norm_eps": 1e-2},
    "what is not in the parsed configuration": {"attn_implementation": "eager"},
    "keys": {"attention_bias": False},
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_configuration_is_built_anew_and_found_again(change: str, tmp_path: Path) -> None:
    steps = [make_checkpoint(tmp_path / f"step{i}", seed=i) for i in range(2)]
    other = make_checkpoint(tmp_path / "other", **CHANGES[change])
    if change.startswith("what"):
        spoil.edit_config(other, **CHANGES[change])
    assert follow([steps[0], other, steps[1], steps[0]]) == 3


def test_names_of_folders_in_the_configuration_do_not_matter(tmp_path: Path) -> None:
    steps = [make_checkpoint(tmp_path / f"step{i}", seed=i) for i in range(2)]
    for step in steps:
        spoil.edit_config(step, _name_or_path=str(step))
    assert follow(steps) == 1


@pytest.mark.parametrize(
    "said", ["quantization_config", "compression_config", "transformers_weights", "configuration_files", "auto_map"]
)
def test_what_is_not_understood_is_left_to_transformers(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_checkpoint(tmp_path / "m")
    config = read_config(folder)
    spoil.edit_config(folder, **{said: {}})
    monkeypatch.setattr(refill, "find_keys", None)
    monkeypatch.setattr(refill, "load_model", lambda *_: "transformers'")
    assert SeriesModule().load(Files(folder), config, open_tensors(Files(folder)), CPU, "auto", True) == "transformers'"


def test_gguf_and_adapters_are_left_to_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_checkpoint(tmp_path / "m")
    module, config, tensors = SeriesModule(), read_config(folder), open_tensors(Files(folder))
    kept = load(module, folder)
    monkeypatch.setattr(refill, "load_model", lambda *_: "transformers'")
    for files in (Files(tmp_path / "m.gguf"), Files(folder, adapter=tmp_path)):
        assert module.load(files, config, tensors, CPU, torch.float32) == "transformers'"
        assert not any(p.numel() for p in kept.parameters())  # the memory of one model, not of two
    assert bits(load(module, folder)) == bits(fresh(folder))
    assert load(module, folder) is kept


FORGETFUL: dict[str, dict[str, Any]] = {
    "llama": {  # RoPE that grows with a window
        "rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}, "max_position_embeddings": 16,
    },
    "rwkv": {"attention_hidden_size": WIDTH, "rescale_every": 1},  # rescales its weights when it is first run
}  # fmt: skip


@pytest.mark.parametrize("family", FORGETFUL)
def test_what_a_pass_leaves_behind_is_not_kept(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, family, FAMILIES.get(family, {}) | FORGETFUL[family])
    steps = [make_checkpoint(tmp_path / f"step{i}", family, seed=i) for i in range(3)]
    assert follow(steps) == 3


def casts(model: Any) -> None:
    model.model.norm.weight.data = model.model.norm.weight.data.half()


def replaces(model: Any) -> None:
    model.model.norm.weight = torch.nn.Parameter(model.model.norm.weight.detach())


def turns(model: Any) -> None:
    model.lm_head.weight.data = model.lm_head.weight.data.T


def remembers(model: Any) -> None:
    model.model.layers[0].mlp.seen = [1]


@pytest.mark.parametrize("change", [casts, replaces, turns, remembers])
def test_a_module_that_is_not_what_it_was_is_not_filled(change: Callable[[Any], None], tmp_path: Path) -> None:
    module, steps = SeriesModule(), [make_checkpoint(tmp_path / f"step{i}", "llama", seed=i) for i in range(2)]
    change(load(module, steps[0]))
    assert follow([steps[1], steps[0]], module=module) == 1
