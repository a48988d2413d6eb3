"""Scans that fill one module: how often it is built, what broken files do to it, and what it takes of memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import spoil
from safetensors.torch import load_file, save_file
from tiny import make_checkpoint, make_series
from transformers import GPTNeoXForCausalLM

import degen
from degen.errors import CheckpointError
from degen.model.architecture import read_config
from degen.model.loading import load_model
from degen.model.module_reuse import SeriesModule
from degen.weights.checkpoint_files import Files
from degen.weights.open_weights import SafeTensors, open_tensors

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"tokens": 200, "context": 32, "threads": 1}


def load(module: SeriesModule, folder: Path) -> Any:
    return module.load(Files(folder), read_config(folder), open_tensors(Files(folder)), CPU, torch.float32)


def fresh(folder: Path) -> Any:
    return load_model(Files(folder), read_config(folder), CPU, torch.float32)


def assert_same(model: Any, folder: Path) -> None:
    expected = fresh(folder).state_dict()
    assert model.state_dict().keys() == expected.keys()
    assert all(tensor.equal(expected[name]) for name, tensor in model.state_dict().items())


class Seen:
    """GPT-NeoX modules by what happened to them: each once that was built, each once a call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.built = 0
        self.ran: list[Any] = []
        init, forward = GPTNeoXForCausalLM.__init__, GPTNeoXForCausalLM.forward

        def counted(model: Any, *args: Any, **options: Any) -> None:
            self.built += 1
            init(model, *args, **options)

        def followed(model: Any, *args: Any, **options: Any) -> Any:
            self.ran.append(model)
            return forward(model, *args, **options)

        monkeypatch.setattr(GPTNeoXForCausalLM, "__init__", counted)
        monkeypatch.setattr(GPTNeoXForCausalLM, "forward", followed)


def test_a_series_is_measured_in_one_module_however_long(
    series: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    degen.scan(series, corpus=corpus, steps="0", out=tmp_path / "warm", **SMALL)  # its shape is known from here on
    built = {}
    for steps in ("0", "0,100", "all"):
        seen = Seen(monkeypatch)
        run = degen.scan(series, corpus=corpus, steps=steps, out=tmp_path / steps, **SMALL)
        assert not run.failed
        assert len({id(model) for model in seen.ran}) == 1
        assert not any(p.numel() for p in seen.ran[0].parameters())  # the series is over
        built[steps] = seen.built
        monkeypatch.undo()
    assert set(built.values()) == {2}  # the module, and its twin without memory that told the keys


def test_two_series_never_hold_two_models(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [make_series(tmp_path / name, steps=(1, 2), hidden_size=width) for name, width in (("a", 32), ("b", 64))]
    seen, held = Seen(monkeypatch), []
    forward = GPTNeoXForCausalLM.forward

    def watched(model: Any, *args: Any, **options: Any) -> Any:
        held.append({id(m) for m in seen.ran if any(p.numel() for p in m.parameters())} - {id(model)})
        return forward(model, *args, **options)

    monkeypatch.setattr(GPTNeoXForCausalLM, "forward", watched)
    assert not degen.scan(both, corpus=corpus, out=tmp_path / "run", **SMALL).failed
    assert len({id(model) for model in seen.ran}) == 2
    assert not any(held)


def tables(run: degen.Run) -> dict[str, list[dict[str, Any]]]:
    """All that equal runs have in common, to the last bit."""
    return {name: run.table(name).to_pylist() for name in run.tables if name != "timing"}


def test_figures_do_not_depend_on_what_was_loaded_before(corpus: Path, tmp_path: Path) -> None:
    """A scan in one go, one that is continued after every checkpoint, and files whose tensors lie elsewhere."""
    whole = make_series(tmp_path / "a" / "m", steps=(0, 1, 2))
    moved = Path(shutil.copytree(whole, tmp_path / "b" / "m"))
    for number, file in enumerate(sorted(moved.glob("*/model.safetensors"))):
        save_file(load_file(file), file, {"format": "pt", "said": "x" * (8 * number + 8)})  # the header is longer
    how = {"corpus": corpus, "tokens": 600, "context": 64, "batch_size": 1, "threads": 1}
    runs = [degen.scan(folder, out=tmp_path / f"run{i}", **how) for i, folder in enumerate((whole, moved))]
    for part in sorted((tmp_path / "run1" / "checkpoints").rglob("*.parquet")):
        part.unlink()
        runs.append(degen.scan(moved, out=tmp_path / "run1", **how))
    assert all(tables(run) == tables(runs[0]) for run in runs)


SPOILED: dict[str, Callable[[Path], object]] = {
    "tensor missing": lambda c: spoil.drop(c, "gpt_neox.final_layer_norm.weight"),
    "tensor of another shape": lambda c: spoil.edit_config(c, intermediate_size=48),
    "shard missing": spoil.lose_shard,
    "not finite": lambda c: spoil.poison(c, "gpt_neox.layers.0.mlp.dense_h_to_4h.weight", "nan"),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_a_broken_checkpoint_says_the_same_and_leaves_the_module_sound(
    kind: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = make_series(tmp_path / "m", steps=(1, 2, 3))
    how = {"corpus": corpus, "tokenizer": series, **SMALL}
    alone = {s: degen.scan(series / f"step{s}", out=tmp_path / f"alone{s}", **how).checkpoints()[0] for s in (1, 3)}
    SPOILED[kind](series / "step2")
    (reason,) = (row["reason"] for row in degen.scan(series / "step2", out=tmp_path / "alone2", **how).failed)
    seen = Seen(monkeypatch)
    rows = degen.scan(series, corpus=corpus, out=tmp_path / "run", **SMALL).checkpoints()
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert rows[1]["reason"] == reason
    assert len({id(model) for model in seen.ran}) == 1
    for row, step in ((rows[0], 1), (rows[2], 3)):
        same = {name: row[name] for name in ("loss", "anisotropy", "singular_entropy", "head_sha256")}
        assert same == {name: alone[step][name] for name in same}


@pytest.fixture
def filled(tmp_path: Path) -> tuple[SeriesModule, list[Path]]:
    """A module that is being filled, and the checkpoints."""
    module, steps = SeriesModule(), [make_checkpoint(tmp_path / f"step{i}", seed=i) for i in range(3)]
    assert load(module, steps[0]) is load(module, steps[1])
    return module, steps


@pytest.mark.parametrize("error", [OSError("gone"), CheckpointError("cut"), KeyboardInterrupt(), MemoryError()])
def test_what_was_cut_half_way_is_not_used(error: BaseException, filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module, steps = filled
    pieces, left = SafeTensors.pieces, [5]

    def failing(tensors: SafeTensors, key: str) -> Iterator[torch.Tensor]:
        left[0] -= 1
        if not left[0]:
            raise error
        return pieces(tensors, key)

    before = load(module, steps[0])
    monkeypatch.setattr(SafeTensors, "pieces", failing)
    if isinstance(error, OSError | CheckpointError):  # transformers has its say
        assert_same(load(module, steps[2]), steps[2])
    else:
        with pytest.raises(type(error)):
            load(module, steps[2])
        assert not any(p.numel() for p in before.parameters())
    assert_same(load(module, steps[1]), steps[1])


@pytest.mark.parametrize("how", ["replaced", "written to", "cut"])
def test_files_that_change_under_our_hands_are_not_mixed(how: str, filled: Any) -> None:
    module, steps = filled
    tensors = open_tensors(Files(steps[2]))
    file, other = spoil.weights(steps[2]), spoil.weights(steps[1])
    if how == "replaced":
        shutil.copy(other, file.with_suffix(".new"))
        os.replace(file.with_suffix(".new"), file)
    elif how == "written to":
        file.write_bytes(other.read_bytes())
        os.utime(file, ns=(1, 1))
    else:
        spoil.truncate(file, 0.6)
    arguments = (Files(steps[2]), read_config(steps[2]), tensors, CPU, torch.float32)
    if how == "cut":
        with pytest.raises(CheckpointError, match="cannot be loaded"):
            module.load(*arguments)
    else:
        assert_same(module.load(*arguments), steps[1])
    assert_same(load(module, steps[0]), steps[0])


PEAK = """
import sys, torch
from pathlib import Path
from degen.model.architecture import read_config
from degen.model.loading import load_model, quieten
from degen.model.module_reuse import SeriesModule
from degen.checkpoints.source import Files
from degen.weights.open_weights import open_tensors

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))

def load(folder):
    files = Files(folder)
    model = module.load(files, read_config(folder), open_tensors(files), torch.device("cpu"), torch.float32)
    with torch.inference_mode():
        model(torch.arange(8)[None])

quieten()
module, (small, *steps) = SeriesModule(), map(Path, sys.argv[1:])
load(small)
before, peaks = status("VmRSS"), []
for step in steps:
    load(step)
    peaks.append(status("VmHWM") - before)
module.release()
print(*peaks, status("VmRSS") - before)
"""


@pytest.mark.parametrize("stored", ["float32", "float16"])
def test_no_checkpoint_takes_the_memory_of_two(stored: str, tmp_path: Path) -> None:
    size = 40_000 * 256 * 4 / 2**20  # MB of the embedding, which malloc maps by itself; there is little else
    wide: dict[str, Any] = {"vocab_size": 40_000, "hidden_size": 256, "tie_word_embeddings": True, "dtype": stored}
    small, *steps = (make_checkpoint(tmp_path / f"{i}", seed=i, **(wide if i else {})) for i in range(3))
    said = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, (small, *steps, *steps))], capture_output=True, text=True, check=True
    )
    first, *later, left = map(float, said.stdout.split())
    assert first < size * (1.5 if stored == "float32" else 1.9)  # transformers maps what it casts
    assert max(later) - first < 10
    assert left < size / 2
