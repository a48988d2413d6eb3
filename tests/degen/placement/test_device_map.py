"""Models spread over memory and disk: tables as those of the model in one piece, to the bit; refusals of wrong maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import make_checkpoint, make_tokenizer

import degen
from degen.errors import DegenError
from degen.placement import device_map
from degen.placement.device_map import read_device_map

SETTINGS: dict[str, Any] = {
    "tokens": 512, "context": 32, "threads": 1, "steps": "1000",
    "probes": ("loss", "anisotropy", "spectrum", "massive_activations", "lens", "rank"), "batch_size": 8,
}  # fmt: skip
SPLIT = {
    "gpt_neox.embed_in": "cpu", "gpt_neox.rotary_emb": "cpu", "gpt_neox.layers.0": "cpu", "gpt_neox.layers.1": "disk",
    "gpt_neox.final_layer_norm": "cpu", "lm_head": "disk",
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(series: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> degen.Run:
    return degen.scan(series, corpus=corpus, out=tmp_path_factory.mktemp("whole") / "run", **SETTINGS)


def differing(one: degen.Run, other: degen.Run) -> list[str]:
    """Return the tables in which two runs differ."""
    assert one.tables == other.tables
    return [t for t in one.tables if t != "timing" and one.table(t).to_pylist() != other.table(t).to_pylist()]


def test_a_model_on_cpu_and_disk_gives_the_same_tables(
    whole: degen.Run, series: Path, corpus: Path, tmp_path: Path
) -> None:
    file = tmp_path / "map.json"
    file.write_text(json.dumps(SPLIT))
    spread = degen.scan(series, corpus=corpus, out=tmp_path / "run", device_map=file, **SETTINGS)
    assert [row["status"] for row in spread.checkpoints()] == ["ok"]
    assert differing(whole, spread) == []


def test_a_run_is_continued_under_another_map(series: Path, corpus: Path, tmp_path: Path) -> None:
    settings = SETTINGS | {"probes": ("loss",)}
    first = degen.scan(series, corpus=corpus, out=tmp_path / "run", device_map="auto", **settings)
    again = degen.scan(series, corpus=corpus, out=tmp_path / "run", **settings)
    assert first.checkpoints() == again.checkpoints()


def test_hooks_of_cpu_offload_change_no_figure(series: Path, corpus: Path) -> None:
    """The model of another loader, whose every parameter is on `meta` until its module is called."""
    from accelerate import cpu_offload
    from degen.probes.loss import Loss
    from transformers import AutoModelForCausalLM

    from degen.forward.run_pass import run_pass
    from degen.text.windows import Sample, Window

    folder = series / "step1000"
    window = Window(0, 0, None, 0, 40, np.arange(5, 45, dtype=np.int32))
    rows = []
    for offload in (False, True):
        model = AutoModelForCausalLM.from_pretrained(folder).eval()
        if offload:
            cpu_offload(model, execution_device=torch.device("cpu"))
            assert all(parameter.is_meta for parameter in model.parameters())
        probe = Loss(Sample("", (window,)))
        run_pass(model, probe.sample, {"loss": probe}, 64, torch.device("cpu"), lambda _: None)
        rows.append(probe.finish())
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("fast", None, "--device-map fast: not one of auto, balanced, sequential, nor a .json file"),
        ("none.json", None, "none.json: cannot be read"),
        ("list.json", "[1]", "must hold a device for each module"),
        ("bad.json", "{", "cannot be read"),
    ],
)
def test_wrong_maps_are_refused(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    with pytest.raises(DegenError, match=message):
        read_device_map(str(file) if name.endswith("json") else name)


def test_without_accelerate_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_map, "find_spec", lambda _name: None)
    with pytest.raises(DegenError, match=r"pip install 'degen-lm\[accelerate\]'"):
        read_device_map("auto")
    assert read_device_map(None) is None


def test_a_map_that_parts_shared_weights_is_named_as_the_cause(corpus: Path, tmp_path: Path) -> None:
    folder = make_tokenizer(make_checkpoint(tmp_path / "step1", "llama", tie_word_embeddings=True))
    spread = {"model.embed_tokens": "cpu", "model.layers": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu"}
    (tmp_path / "map.json").write_text(json.dumps(spread | {"lm_head": "disk"}))
    run = degen.scan(folder, corpus=corpus, tokens=200, context=32, threads=1, out=tmp_path / "run",
                     device_map=str(tmp_path / "map.json"))  # fmt: skip
    (row,) = run.checkpoints()
    assert row["status"] == "failed"
    assert "give modules that share weights" in row["reason"]
