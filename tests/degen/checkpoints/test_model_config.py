"""`--model-config` for weights that have no configuration: of a folder, or of a model on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hub_scans import Scans, packed
from tiny import make_checkpoint, make_model, make_tokenizer

import degen
from degen.checkpoints.find_series import find_series
from degen.errors import DegenError

NAMES = {"model", "revision", "step", "tokens_seen"}


def figures(run: degen.Run) -> dict[str, list[dict[str, Any]]]:
    """The tables of a run of one checkpoint, without its names."""
    (row,) = run.checkpoints()
    assert row["status"] == "ok", row["reason"]
    tables = ("checkpoints", "layers", "windows", "spectrum")
    return {
        t: [{k: v for k, v in r.items() if k not in NAMES} for r in run.table(t).to_pylist()]
        for t in tables
        if (run.path / t).exists()
    }


def without_config(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in packed(folder).items() if name != "config.json"}


def test_a_model_on_the_hub_gives_configuration_and_tokenizer(scans: Scans, tmp_path: Path) -> None:
    reference = make_tokenizer(make_checkpoint(tmp_path / "reference", "llama"))
    served = {name: data for name, data in packed(reference).items() if not name.endswith(".safetensors")}
    scans.add("org/m", {"main": served, "v2": served})
    torch.save(make_model("llama").state_dict(), tmp_path / "step100.pt")
    runs = [
        scans.scan(tmp_path / "step100.pt", out=f"run{i}", model_config=name, tokenizer=name)
        for i, name in enumerate(("org/m", "org/m@v2", str(reference)))
    ]
    tables = [figures(run) for run in runs]
    assert tables[0] == tables[1] == tables[2]
    assert tables[0]["checkpoints"][0]["loss"] > 0


@pytest.mark.parametrize("heads_alone", [True, False])
def test_revisions_of_the_hub_without_a_configuration_take_it(heads_alone: bool, scans: Scans, tmp_path: Path) -> None:
    reference = make_tokenizer(make_checkpoint(tmp_path / "reference", "llama"))
    scans.add("org/bare", {f"step{step}": without_config(reference) for step in (0, 100)} | {"main": {}})
    scan = scans.heads if heads_alone else scans.scan
    spec = "org/bare@step0"
    assert figures(scan(spec, out="hub", model_config=reference)) == figures(scan(reference, out="local"))
    (row,) = scan(spec, out="none").checkpoints()
    assert row["status"] == "failed"
    assert "has no config.json; a scan takes another's with --model-config" in row["reason"]


def test_what_cannot_be_had_is_a_message(scans: Scans, tmp_path: Path) -> None:
    scans.add("org/m", {"main": {"README.md": b"x"}})
    torch.save(make_model("llama").state_dict(), tmp_path / "step100.pt")
    for name, message in (
        ("org/m@v9", "org/m has no revision v9"),
        ("org/m", "has no config.json"),
        ("org/none", "--model-config org/none"),
        ("org/m@step*", "no such folder, and no ORG/MODEL"),
        (str(tmp_path), "no config.json in it"),
    ):
        with pytest.raises(DegenError, match=message.replace("*", r"\*")):
            find_series([str(tmp_path / "step100.pt")], model_config=name)
