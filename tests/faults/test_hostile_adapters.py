"""Adapters that are corrupt, do not fit or mean harm: each ends as one message, and nothing outside is read."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import make_adapter
from faults.command import degen
from safetensors.torch import load_file, save_file
from tiny import make_checkpoint

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("hostile") / "base", "llama")


@pytest.fixture(scope="module")
def sound(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tmp_path_factory.mktemp("hostile") / "adapter", base)


@pytest.fixture
def adapter(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "adapter"))


def config(**changes: Any) -> Callable[[Path], None]:
    """Return what changes entries of an adapter's configuration."""

    def change(adapter: Path) -> None:
        file = adapter / CONFIG
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    """Return what changes the tensors of an adapter."""

    def spoil(adapter: Path) -> None:
        stored = load_file(adapter / WEIGHTS)
        change(stored)
        save_file({name: tensor.contiguous() for name, tensor in stored.items()}, adapter / WEIGHTS)

    return spoil


def cut(adapter: Path) -> None:
    file = adapter / WEIGHTS
    file.write_bytes(file.read_bytes()[:-40])


class Calls:
    """Unpickled carelessly, it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def pickled(adapter: Path) -> None:
    (adapter / WEIGHTS).unlink()
    with (adapter / "adapter_model.bin").open("wb") as file:
        pickle.dump({"x": Calls(adapter / "called")}, file)


A, B = f"{PREFIX}.lora_A.weight", f"{PREFIX}.lora_B.weight"
SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "weights cut short": (cut, "not a sound safetensors file"),
    "weights that are text": (lambda a: (a / WEIGHTS).write_text("lora"), "not a sound safetensors file"),
    "no weights": (lambda a: (a / WEIGHTS).unlink(), "weights of the adapter are missing|no adapter weights"),
    "a pickle that calls": (pickled, "not readable as weights alone"),
    "no configuration of an adapter": (lambda a: (a / CONFIG).write_text("[]"), "no peft_type in it"),
    "a configuration that is no JSON": (lambda a: (a / CONFIG).write_text("{" * 5000), "not JSON"),
    "an unknown kind": (config(peft_type="NOBODY"), "knows no peft_type"),
    "the rank of another adapter": (config(r=64), "and its tensors have 8"),
    "a rank of zero": (config(r=0), "and its tensors have 8"),
    "a huge rank": (config(r=10**30), "and its tensors have 8"),
    "an alpha that is text": (config(lora_alpha="much"), "must be a number"),
    "an endless alpha": (config(lora_alpha=float("inf")), "must be a number"),
    "a pattern that never ends": (config(alpha_pattern={"((a|a)+)+$": 3}), "too involved"),
    "a pattern of many stars": (config(alpha_pattern={".*.*.*.*.*x": 3}), "too involved"),
    "a pattern that is none": (config(rank_pattern={"(": 3}), "is no pattern"),
    "tensors of nobody's": (tensors(lambda t: (t.clear(), t.update({"x": torch.ones(2)}))), "no tensor of an adapter"),
    "no tensors": (tensors(lambda t: t.clear()), "no tensor of its kind"),
}  # fmt: skip
# What spoils one module: the others are measured, and its row says why.
ONE: dict[str, tuple[Callable[[Path], None], str]] = {
    "half of a product": (tensors(lambda t: t.pop(B)), "hold no lora_B"),
    "factors that do not fit": (tensors(lambda t: t.update({B: torch.ones(32, 5)})), "which is no product"),
    "a matrix without rows": (tensors(lambda t: t.update({B: torch.ones(0, 8)})), "which is no product"),
    "NaN": (tensors(lambda t: t[A].fill_(float("nan"))), "NaN or infinity"),
    "numbers without a fraction": (tensors(lambda t: t.update({A: torch.ones(8, 32, dtype=torch.int64)})), "I64"),
    "a scalar": (tensors(lambda t: t.update({A: torch.tensor(1.0)})), "0 dimensions"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_adapter_is_one_message(adapter: Path, base: Path, name: str) -> None:
    spoil, words = SPOILT[name]
    spoil(adapter)
    result = degen("delta", adapter, "--base", base)
    assert result.code in (2, 4)
    assert any(word in result.message for word in words.split("|")), result.message
    assert result.out == ""
    assert len(result.message) < 700
    assert not (adapter / "called").exists()


@pytest.mark.parametrize("name", ONE)
def test_a_spoilt_module_leaves_the_others(adapter: Path, base: Path, name: str) -> None:
    spoil, words = ONE[name]
    spoil(adapter)
    rows = degen("delta", adapter, "--base", base, "--json").json()["rows"]
    spoilt = [row for row in rows if row["module"] == "model.layers.0.self_attn.q_proj"]
    assert len(spoilt) == 1
    assert words in spoilt[0]["reason"]
    assert all(row["rank"] == 8 and row["reason"] is None for row in rows if row not in spoilt)


def test_a_factor_of_huge_outer_sizes_takes_no_memory(adapter: Path) -> None:
    """No bytes are stored of a matrix of 2⁴⁰ rows and no column."""
    big = 1 << 40
    tensors(lambda t: t.update({B: torch.empty(0, 0).expand(0, 0)}))(adapter)
    header = {"__metadata__": {"format": "pt"}}
    stored = {A: [0, big], B: [big, 0]}
    header |= {key: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for key, shape in stored.items()}  # type: ignore[misc]
    text = json.dumps(header).encode()
    (adapter / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text)
    assert "tensors have 0" in degen("delta", adapter, "--no-base").message


def test_an_adapter_of_another_base_is_named(adapter: Path, tmp_path: Path) -> None:
    other = make_checkpoint(tmp_path / "other", "llama", hidden_size=64)
    message = degen("delta", adapter, "--base", other).message
    assert "is it the base that the adapter was trained on?" in message


@pytest.mark.parametrize("named", [None, "", "/nowhere/at/all", "nobody/nothing", "../../../../../../etc", "\0", 5])
def test_a_base_that_cannot_be_found_leaves_the_spectra(adapter: Path, named: object) -> None:
    config(base_model_name_or_path=named)(adapter)
    result = degen("delta", adapter, "--json")
    assert result.code == 0
    rows = result.json()["rows"]
    assert all(row["rank"] == 8 and row["relative_norm"] is None for row in rows)
    assert {row["reason"] for row in rows} == {"its base is not known"}
    assert "--base" in result.err
    result.assert_no_fault()


def test_no_file_outside_of_adapter_and_base_is_opened(
    adapter: Path, base: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that lies beside them, and one that the configuration points at."""
    import sys

    secret = tmp_path / "secret.safetensors"
    save_file({"x": torch.ones(1)}, secret)
    config(alpha_pattern={}, auto_mapping={"parent_library": str(tmp_path)}, revision=str(secret))(adapter)
    opened: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            opened.append(os.fsdecode(arguments[0]))

    sys.addaudithook(hook)
    result = degen("delta", adapter, "--base", base, "--json")
    watching = False
    assert result.code == 0
    inside = [Path(name) for name in opened if str(name).startswith(str(tmp_path.parents[1]))]
    assert inside
    assert {file.parent for file in inside} <= {adapter, base}


def test_names_that_control_a_terminal_are_escaped(adapter: Path) -> None:
    stored = load_file(adapter / WEIGHTS)
    renamed = {key.replace("q_proj", "q_proj\x1b[31m"): tensor for key, tensor in stored.items()}
    save_file(renamed, adapter / WEIGHTS)
    result = degen("delta", adapter, "--no-base", "--modules")
    assert result.code == 0
    assert "\x1b" not in result.out
    assert "\\x1b[31m" in result.out
