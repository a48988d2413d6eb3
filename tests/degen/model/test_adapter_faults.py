"""Adapters as strangers make them: each spoils its own row with one clear reason, and no other."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import make_adapter
from faults.spoil import Hostile
from safetensors.torch import load_file, save_file
from tiny import make_checkpoint, make_tokenizer

import degen

SMALL: dict[str, Any] = {"tokens": 200, "context": 48, "threads": 1}
CONFIG, WEIGHTS, LEGACY = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@dataclass(frozen=True)
class Spoiled:
    """What is done to a sound LoRA of a Llama, and words of the reason."""

    do: Callable[[Path], object]
    words: tuple[str, ...]


def settings(**changes: Any) -> Callable[[Path], object]:
    """Return a function that changes entries of the configuration."""

    def change(folder: Path) -> None:
        before = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps(before | changes))

    return change


def config_text(content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / CONFIG).write_text(content)


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], object]:
    """Return a function that changes the tensors."""

    def write(folder: Path) -> None:
        held = load_file(folder / WEIGHTS)
        change(held)
        save_file(held, folder / WEIGHTS)

    return write


def prompt(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    save_file({"prompt_embeddings": torch.zeros(4, 32)}, folder / WEIGHTS)
    settings(peft_type="PROMPT_TUNING", num_virtual_tokens=4, token_dim=32)(folder)


def hostile(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({Q: Hostile(folder / "executed")}, folder / LEGACY)


def old_hostile(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / LEGACY).write_bytes(pickle.dumps({Q: Hostile(folder / "executed")}, protocol=2))


KINDS: dict[str, Spoiled] = {
    # the configuration
    "no configuration": Spoiled(lambda f: (f / CONFIG).unlink(), (f"no {CONFIG} in it",)),
    "no JSON": Spoiled(config_text("{"), (CONFIG, "not JSON")),
    "deep JSON": Spoiled(config_text("[" * 100_000), (CONFIG, "not JSON")),
    "a list": Spoiled(config_text("[]"), (CONFIG, "no peft_type")),
    "no kind": Spoiled(settings(peft_type=None), (CONFIG, "no peft_type")),
    "unknown kind": Spoiled(settings(peft_type="MAGIC"), (CONFIG, "knows no peft_type 'MAGIC'")),
    "newer than peft": Spoiled(settings(use_magic=True), (CONFIG, "use_magic", "update peft")),
    "another task": Spoiled(settings(task_type="SEQ_CLS"), (CONFIG, "made for SEQ_CLS", "causal LMs")),
    "no task at all": Spoiled(settings(task_type="MAGIC"), (CONFIG, "made for MAGIC")),
    "somebody's package": Spoiled(
        settings(task_type=None, auto_mapping={"base_model_class": "Evil", "parent_library": "evil.models"}),
        ("'evil.models'", "not imported"),
    ),
    "Megatron": Spoiled(settings(megatron_config={"a": 1}, megatron_core="evil.core"), ("Megatron",)),
    "virtual tokens": Spoiled(prompt, ("PROMPT_TUNING", "cannot be")),
    "adapters of adapters": Spoiled(
        settings(peft_type="XLORA", adapters={"0": "evil/adapter"}), ("XLORA", "cannot be")
    ),
    "huge rank": Spoiled(settings(r=10**9), ("r is 1,000,000,000",)),
    "huge rank of one layer": Spoiled(settings(rank_pattern={"q_proj": 10**9}), ("q_proj is 1,000,000,000",)),
    "huge projection": Spoiled(config_text('{"peft_type": "VERA", "r": 1000000000}'), ("r is 1,000,000,000",)),
    "no rank": Spoiled(settings(r="8"), ("cannot be merged",)),
    "negative rank": Spoiled(settings(r=-1), ("cannot be merged", "positive")),
    "other rank": Spoiled(settings(r=4), ("cannot be merged", "size mismatch", "lora_A")),
    "no such modules": Spoiled(settings(target_modules=["nosuch"]), ("cannot be merged", "nosuch", "not found")),
    "no regular expression": Spoiled(settings(target_modules="(((")  , ("cannot be merged",)),
    "repeated layers": Spoiled(settings(layer_replication=[[0, 2], [0, 2]]), ("repeats layers",)),
    "a draw": Spoiled(settings(init_lora_weights="pissa_niter_4"), ("pissa_niter_4", "not stored")),
    # the weights
    "no weights": Spoiled(lambda f: (f / WEIGHTS).unlink(), ("no adapter weights (adapter_model.safetensors", WEIGHTS)),
    "no safetensors": Spoiled(lambda f: (f / WEIGHTS).write_bytes(b"junk" * 500), (WEIGHTS,)),
    "truncated": Spoiled(lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-100]), (WEIGHTS,)),
    "a tensor missing": Spoiled(tensors(lambda t: t.pop(Q)), ("does not hold", "q_proj.lora_A")),
    "a tensor too many": Spoiled(
        tensors(lambda t: t.update({f"{Q}.more": torch.zeros(2, 2)})), ("lora_A.weight.more", "no parameter")
    ),
    "a tensor of another base": Spoiled(
        tensors(lambda t: t.update({Q: torch.zeros(8, 64)})), ("cannot be merged", "size mismatch", "q_proj.lora_A")
    ),
    "a number for a tensor": Spoiled(tensors(lambda t: t.update({Q: torch.tensor(1.0)})), ("cannot be merged",)),
    "NaN": Spoiled(tensors(lambda t: t.update({Q: t[Q] * torch.nan})), ("NaN or infinity", "q_proj")),
    "rows without their head": Spoiled(
        tensors(lambda t: t.update({"base_model.model.model.embed_tokens.weight": torch.zeros(500, 32)})),
        ("a vocabulary of 500", "416", "lm_head.weight is not in its files"),
    ),
    "hostile pickle": Spoiled(hostile, (LEGACY, "not readable as weights alone")),
    "hostile pickle of old": Spoiled(old_hostile, (LEGACY, "not readable as weights alone")),
}  # fmt: skip


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Scan all of them with a sound one before and after; return their folder and the rows by name."""
    root = tmp_path_factory.mktemp("faults")
    base = make_tokenizer(make_checkpoint(root / "base", "llama"))
    make_adapter(root / "lora" / "step0", base)
    for step, kind in enumerate((*KINDS.values(), Spoiled(lambda folder: None, ())), 1):
        shutil.copytree(root / "lora" / "step0", root / "lora" / f"step{step}")
        kind.do(root / "lora" / f"step{step}")
    tensors(lambda held: held[Q].mul_(2))(root / "lora" / f"step{len(KINDS) + 1}")
    run = degen.scan(f"{base}+{root / 'lora'}", corpus=corpus, out=root / "run", **SMALL)
    rows = run.checkpoints()
    assert [row["status"] for row in rows] == ["ok", *("failed" for _ in KINDS), "ok"]
    return root / "lora", dict(zip(KINDS, rows[1:-1], strict=True))


@pytest.mark.parametrize("name", KINDS)
def test_a_spoiled_adapter_is_a_row_with_its_reason(name: str, spoiled: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    reason = spoiled[1][name]["reason"]
    assert "\n" not in reason
    for words in KINDS[name].words:
        assert words in reason


def test_nothing_of_an_adapter_was_executed(spoiled: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    names = list(KINDS)
    for name in ("hostile pickle", "hostile pickle of old"):
        folder = spoiled[0] / f"step{names.index(name) + 1}"
        assert not (folder / "executed").exists()
        with (folder / LEGACY).open("rb") as file:
            assert b"executed" in file.read()
    trap = spoiled[0] / "step0" / "executed"
    pickle.loads(pickle.dumps(Hostile(trap)))  # noqa: S301 - it would be
    assert trap.exists()
