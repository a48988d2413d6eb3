"""Whatever a parser is given, it returns or raises one message: no traceback, no hang, no memory, nothing written.

`DEGEN_FUZZ=4500` makes so many of each kind; `make faults` does.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from faults.mutations import mutate_bytes, mutate_json, mutate_text, written
from result_files import lm_eval_04, save
from tiny import make_checkpoint

import degen
from degen import DegenError

INPUTS = int(os.environ.get("DEGEN_FUZZ", "50"))  # of each kind
SECONDS = 20  # that one input may take on a loaded machine
MEMORY = 400 << 20  # bytes that all inputs of a kind may add

pytestmark = pytest.mark.filterwarnings("ignore")


class HungError(BaseException):
    """An input took too long. No `except Exception` catches it."""


@contextmanager
def time_limit() -> Iterator[None]:
    def hang(_signal: int, _frame: FrameType | None) -> None:
        raise HungError

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def check(inputs: int, one: Callable[[random.Random], Callable[[], object]]) -> None:
    """Try inputs; where one fails, its seed is in the message.

    Args:
        inputs: how many.
        one: makes an input by a seed, and returns what gives it to the product.
    """
    before, refused = peak_memory(), 0
    for seed in range(inputs):
        call = one(random.Random(seed))
        try:
            with time_limit():
                call()
        except DegenError as error:
            refused += 1
            if not str(error).strip() or "Traceback" in str(error):
                pytest.fail(f"seed {seed}: the message is {str(error)[:300]!r}")
        except BaseException as error:
            pytest.fail(f"seed {seed}: {type(error).__name__}: {str(error)[:300]}")
    assert peak_memory() - before < MEMORY
    assert refused, "no input was refused; does it reach the parser?"


# Texts


def steps(text: str) -> None:
    from degen.checkpoints.steps import nearest_steps, parse_steps, select_steps

    for call in (lambda: select_steps(range(0, 1000, 10), text), lambda: nearest_steps([0, 10], text)):
        call()
    parse_steps(text)


def revision(text: str) -> None:
    from degen.checkpoints.steps import compile_pattern, parse_revision

    parse_revision(text)
    compile_pattern(text)


def rule(text: str) -> None:
    from degen.gate.parser import parse_rule

    parsed = parse_rule(text)
    assert parse_rule(str(parsed)) == parsed


def sets(text: str) -> None:
    from degen.scaling.costs.configurations import parse_sets

    parse_sets([text])


def t5(text: str) -> None:
    from degen.scaling.costs.t5_grid import t5_shapes

    t5_shapes([text])


RULES_TEXT = (
    "anisotropy[layer=last] < 0.6", "loss.rise < max(0.02, 1%)", "delta.rank[module=lm_head] < 8",
    "loss[step=100..] <= 3",
)  # fmt: skip
TEXTS: dict[str, tuple[Callable[[str], None], tuple[str, ...]]] = {
    "steps": (steps, ("0,1000,2000", "log:10", "0:1000:100", "all", "1000:", "last")),
    "revision": (revision, ("step1000-tokens2B", r"step(?P<step>\d+)", "stage2-ingredient1-step5-tokens21B")),
    "rule": (rule, RULES_TEXT),
    "sets": (sets, ("num_hidden_layers=6:12:24,hidden_size=512",)),
    "t5": (t5, ("NL=4:8:16,DM=512,FF=2048,NH=8,GATED=1",)),
}  # fmt: skip


@pytest.mark.parametrize("kind", TEXTS)
def test_any_text_is_parsed_or_refused(kind: str) -> None:
    parse, seeds = TEXTS[kind]

    def one(draw: random.Random) -> Callable[[], object]:
        text = mutate_text(draw.choice(seeds), draw)
        return lambda: parse(text)

    check(INPUTS, one)


def test_any_name_of_a_series_is_found_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    from degen.checkpoints.find_series import find_series

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    names = (
        "label=org/model@step1..step9",
        "pythia:70m",
        "./runs/step*",
        "org/base+org/adapter",
        "a=b=c",
        "org/m@main:sub/folder",
    )

    def one(draw: random.Random) -> Callable[[], object]:
        name = mutate_text(draw.choice(names), draw)
        return lambda: find_series([name])

    check(INPUTS, one)
    assert not list(tmp_path.iterdir())


# Files


@dataclass(frozen=True)
class Files:
    """A kind of input in files.

    Attributes:
        name: of the file that is changed.
        make: writes a sound input into a folder.
        read: reads it.
        is_json: whether half of the changes are of values in place of bytes.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    is_json: bool = False


CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 32, "num_hidden_layers": 2,
    "vocab_size": 96,
    "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 48, "max_position_embeddings": 64,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, "tie_word_embeddings": False,
}  # fmt: skip
LORA = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"],
    "bias": "none",
    "base_model_name_or_path": "base", "rank_pattern": {}, "alpha_pattern": {},
}  # fmt: skip
LOG = [{"step": 10 * i, "loss": 4 - 0.1 * i, "eval_loss": 4.1 - 0.1 * i, "epoch": i / 20} for i in range(20)]
POINTS = "model,params,tokens,loss,layers,d_model\n" + "".join(
    f"m{i},{10**7 * (i + 1)},{2 * 10**8 * (i + 1)},{4 - 0.1 * i},{i + 2},{64 * (i + 1)}\n" for i in range(9)
)
RULES = '[gate]\nrules = ["loss < 4", "anisotropy < 0.9"]\nconfidence = 0.9\nstrict = true\n'


def read_model(folder: Path) -> None:
    from degen.model.architecture import describe
    from degen.model.configuration import read_config

    describe(read_config(folder))


def read_curves(file: Path) -> Callable[[Path], object]:
    from degen.metrics.find_curves import read_curves as read

    return lambda folder: read(folder / file, warn=lambda _: None)


def read_points(folder: Path) -> object:
    from degen.scaling.read_points import read_points as read

    return read(folder / "runs.csv", {})


def read_manifest(name: str) -> Callable[[Path], object]:
    from degen.checkpoints.find_series import find_series

    return lambda folder: find_series([str(folder / name)])


def read_corpus(name: str) -> Callable[[Path], object]:
    from degen.text.open_corpus import open_corpus

    return lambda folder: list(open_corpus(str(folder / name)).draw(0, 10))


def read_tensors(folder: Path) -> None:
    from degen.checkpoint_formats.registry import open_tensors
    from degen.weights.checkpoint_files import CheckpointFiles

    tensors = open_tensors(CheckpointFiles(folder))
    for key in tensors.keys:
        tensors.rows(key, 0, 1)


def read_adapter(folder: Path) -> None:
    from degen.checkpoints.adapter_files import LocalAdapter
    from degen.delta.adapter_updates import AdapterUpdates
    from degen.delta.measure import measure_updates

    adapter = LocalAdapter(folder)
    settings = adapter.settings()
    if settings["peft_type"] == "LORA":
        measure_updates(AdapterUpdates(settings, adapter.tensors(), None))


def read_gate_settings(folder: Path) -> object:
    from degen.gate.settings import read_settings

    return read_settings(folder / "degen.toml")


def read_run(folder: Path) -> None:
    run = degen.read_run(folder)
    for name in run.tables:
        run.table(name)
    run.checkpoints()


def make_adapter(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    (folder / "adapter_config.json").write_text(json.dumps(LORA))
    prefix = "base_model.model.model.layers.0.self_attn.q_proj"
    save_file(
        {f"{prefix}.lora_A.weight": torch.ones(2, 8), f"{prefix}.lora_B.weight": torch.ones(8, 2)},
        folder / "adapter_model.safetensors",
    )


def make_documents(folder: Path) -> None:
    lines = [json.dumps({"text": f"word {i} " * 5, "meta": {"pile_set_name": "Github"}}) for i in range(10)]
    (folder / "c.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "c.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))


def make_weights(folder: Path) -> None:
    made = make_checkpoint(folder / "made", "gpt2")
    for file in made.iterdir():
        shutil.move(file, folder / file.name)
    made.rmdir()


FILES = {
    "config.json": Files("config.json", lambda f: save(f / "config.json", CONFIG), read_model, is_json=True),
    "safetensors": Files("model.safetensors", make_weights, read_tensors),
    "lm-eval": Files(
        "results_2026-01-01T00-00-00.json",
        lambda f: save(f / "results_2026-01-01T00-00-00.json",
                       lm_eval_04({"lambada": {"acc,none": 0.5}, "piqa": {"acc,none": 0.6}}, "org/m-step1000")),
        lambda f: read_curves(Path())(f), is_json=True,
    ),
    "trainer_state": Files(
        "trainer_state.json", lambda f: save(f / "trainer_state.json", {"log_history": LOG, "global_step": 200}),
        lambda f: read_curves(Path("trainer_state.json"))(f), is_json=True,
    ),
    "log.jsonl": Files(
        "log.jsonl", lambda f: save(f / "log.jsonl", "\n".join(map(json.dumps, LOG))),
        lambda f: read_curves(Path("log.jsonl"))(f),
    ),
    "log.csv": Files(
        "log.csv", lambda f: save(f / "log.csv", "step,loss\n" + "\n".join(f"{i},{4 - i / 9}" for i in range(20))),
        lambda f: read_curves(Path("log.csv"))(f),
    ),
    "scaling table": Files("runs.csv", lambda f: save(f / "runs.csv", POINTS), read_points),
    "manifest.csv": Files(
        "series.csv", lambda f: save(f / "series.csv", "model,path,step,tokens_seen\na,one,1,10\na,two,2,20\n"),
        lambda f: read_manifest("series.csv")(f),
    ),
    "manifest.toml": Files(
        "series.toml", lambda f: save(f / "series.toml", '[[checkpoint]]\nmodel = "a"\npath = "one"\nstep = 1\n'),
        lambda f: read_manifest("series.toml")(f),
    ),
    "corpus.jsonl": Files("c.jsonl", make_documents, lambda f: read_corpus("c.jsonl")(f)),
    "corpus.gz": Files("c.jsonl.gz", make_documents, lambda f: read_corpus("c.jsonl.gz")(f)),
    "degen.toml": Files("degen.toml", lambda f: save(f / "degen.toml", RULES), read_gate_settings),
    "adapter_config.json": Files("adapter_config.json", make_adapter, read_adapter, is_json=True),
    "adapter tensors": Files("adapter_model.safetensors", make_adapter, read_adapter),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_any_file_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    files, folder = FILES[kind], tmp_path / "input"
    folder.mkdir()
    files.make(folder)
    sound = tree(folder)
    if not kind.startswith("manifest"):  # its checkpoints are not there
        files.read(folder)
    content = json.loads(sound[files.name]) if files.is_json else None

    def one(draw: random.Random) -> Callable[[], object]:
        if content is not None and draw.random() < 0.6:
            data = written(mutate_json(content, draw))
        else:
            data = mutate_bytes(sound[files.name], draw)
        (folder / files.name).write_bytes(data)
        return lambda: files.read(folder)

    check(INPUTS, one)
    assert set(tree(folder)) == set(sound)
    assert [p.name for p in tmp_path.iterdir()] == ["input"]


@pytest.mark.parametrize("name", ["run.json", "checkpoints", "layers"])
def test_any_run_is_read_or_refused(name: str, run_copy: Path) -> None:
    file = run_copy / name if name == "run.json" else sorted((run_copy / name).rglob("*.parquet"))[0]
    sound = file.read_bytes()
    content = json.loads(sound) if name == "run.json" else None

    def one(draw: random.Random) -> Callable[[], Any]:
        made = content is not None and draw.random() < 0.6
        file.write_bytes(written(mutate_json(content, draw)) if made else mutate_bytes(sound, draw))
        return lambda: read_run(run_copy)

    before = set(tree(run_copy))
    check(INPUTS, one)
    assert set(tree(run_copy)) == before
