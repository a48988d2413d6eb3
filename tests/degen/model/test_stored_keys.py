"""Which stored tensor a parameter is, found even where every value is alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from faults.spoil import flatten
from tiny import FAMILIES, make_checkpoint
from transformers import LlamaForCausalLM

from degen.model.architecture import read_config
from degen.model.loading import load_model
from degen.model.stored_keys import find_keys, holds
from degen.weights.checkpoint_files import Files
from degen.weights.open_weights import LoadedTensors, open_tensors

CALCULATED = {"mixtral"}  # transformers stacks the matrices of its experts


def keys_of(folder: Path, dtype: torch.dtype = torch.float32) -> dict[str, str] | None:
    files = Files(folder)
    model = load_model(files, read_config(folder), torch.device("cpu"), dtype)
    return find_keys(model, open_tensors(files))


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_are_found_without_values_as_with_them(family: str, tmp_path: Path) -> None:
    found = keys_of(make_checkpoint(tmp_path / "trained", family))
    flatten(make_checkpoint(tmp_path / "flat", family))
    assert keys_of(tmp_path / "flat") == keys_of(tmp_path / "flat", torch.bfloat16) == found
    assert (found is None) == (family in CALCULATED)
    if found is not None:
        assert set(found.values()) == open_tensors(Files(tmp_path / "flat")).keys


def in_place(weight: torch.nn.Parameter) -> None:
    weight.data.mul_(2.0)


def transposed(weight: torch.nn.Parameter) -> None:
    weight.data = weight.data.T


def turned(weight: torch.nn.Parameter) -> None:
    weight.data = weight.data.T.contiguous()


def reordered(weight: torch.nn.Parameter) -> None:
    weight.data = weight.data.flip(0)


@pytest.mark.parametrize("values", ["trained", "flat"])
@pytest.mark.parametrize("change", [in_place, transposed, turned, reordered])
def test_a_loader_that_does_more_than_rename_is_found_out(
    values: str, change: Callable[[torch.nn.Parameter], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = LlamaForCausalLM.from_pretrained

    def loaded(*args: Any, **options: Any) -> Any:
        found = own(*args, **options)
        model = found[0] if isinstance(found, tuple) else found
        change(model.model.layers[1].self_attn.q_proj.weight)  # square: its shape tells nothing
        return found

    make_checkpoint(tmp_path / "m", "llama")
    if values == "flat":
        flatten(tmp_path / "m")
    assert keys_of(tmp_path / "m") is not None
    monkeypatch.setattr(LlamaForCausalLM, "from_pretrained", loaded)
    assert keys_of(tmp_path / "m") is None


def test_a_loader_that_swaps_alike_tensors_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = LlamaForCausalLM.from_pretrained

    def loaded(*args: Any, **options: Any) -> Any:
        found = own(*args, **options)
        layers = (found[0] if isinstance(found, tuple) else found).model.layers
        layers[0].input_layernorm, layers[1].input_layernorm = layers[1].input_layernorm, layers[0].input_layernorm
        return found

    flatten(make_checkpoint(tmp_path / "m", "llama"))
    monkeypatch.setattr(LlamaForCausalLM, "from_pretrained", loaded)
    keys = keys_of(tmp_path / "m")
    assert keys is not None
    assert keys["model.layers.0.input_layernorm.weight"] == "model.layers.1.input_layernorm.weight"
    assert keys["model.layers.1.input_layernorm.weight"] == "model.layers.0.input_layernorm.weight"
    assert keys["model.norm.weight"] == "model.norm.weight"


def test_where_transformers_gives_other_values_than_the_files_nothing_is_found(tmp_path: Path) -> None:
    files = Files(make_checkpoint(tmp_path / "m", "llama"))
    model = load_model(files, read_config(files.path), torch.device("cpu"), torch.float32)
    assert find_keys(model, open_tensors(files)) is not None
    with torch.no_grad():
        model.model.norm.weight[3].nextafter_(torch.tensor(9.0))
    assert find_keys(model, open_tensors(files)) is None


def test_a_tensor_holds_a_stored_one_by_its_bits() -> None:
    stored = torch.tensor([0.0, torch.nan, 1.0])
    tensors = LoadedTensors({"a": stored, "half": torch.tensor([0.0, 1.5, 1.0], dtype=torch.float16)})
    assert holds(stored.clone(), tensors, "a")
    assert not holds(torch.tensor([-0.0, torch.nan, 1.0]), tensors, "a")
    assert not holds(stored[:2], tensors, "a")
    assert holds(torch.tensor([0.0, 1.5, 1.0]), tensors, "half")
    assert not holds(torch.tensor([0.0, 1.5, 1.0 + 2**-20]), tensors, "half")
