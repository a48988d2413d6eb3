"""Adapters on the hub, and bases on the hub: the figures of the same files in folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from adapters import make_adapter
from hub_scans import Scans, packed
from tiny import make_checkpoint, make_tokenizer

import degen
from degen import DegenError
from degen.checkpoints.adapter_files import HubAdapter, LocalAdapter
from degen.checkpoints.adapter_source import AdapterSource
from degen.checkpoints.hub_source import HubSource
from degen.checkpoints.local import LocalSource

WEIGHTS = "adapter_model.safetensors"
FIGURES = ("revision", "step", "status", "duplicate_of", "loss", "anisotropy", "singular_entropy", "head_sha256")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a base and three adapters on it: a body's, its copy, and one with a head."""
    from peft import LoraConfig

    folder = tmp_path_factory.mktemp("served")
    base, lora = make_tokenizer(make_checkpoint(folder / "base", "llama")), folder / "lora"
    make_adapter(lora / "step1", base)
    shutil.copytree(lora / "step1", lora / "step2")
    make_adapter(lora / "step3", base, LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "lm_head"]))
    return base, lora


@pytest.fixture
def served(scans: Scans, folders: tuple[Path, Path]) -> Scans:
    base, lora = folders
    scans.add("org/base", {"main": packed(base), "step5": packed(base)})
    scans.add("org/lora", {"main": {}} | {step.name: packed(step) for step in sorted(lora.iterdir())})
    return scans


def figures(run: degen.Run) -> list[dict[str, Any]]:
    return [{name: row[name] for name in FIGURES} for row in run.checkpoints()]


@pytest.mark.parametrize("keep", ["none", "all"])
def test_base_and_adapter_on_the_hub_have_the_figures_of_local_files(
    served: Scans, folders: tuple[Path, Path], corpus: Path, tmp_path: Path, keep: str
) -> None:
    base, lora = folders
    spec = "org/base@step5+org/lora@step*"
    rows = figures(served.scan(spec, corpus=corpus, keep=keep))
    assert rows == figures(served.scan(f"{base}+{lora}", corpus=corpus, out="local"))
    assert [row["status"] for row in rows] == ["ok", "duplicate", "ok"]
    for repo, branch, file in (
        ("base", "step5", base / "model.safetensors"),
        ("lora", "step1", lora / "step1" / WEIGHTS),
    ):
        commit = served.hub.repos[f"org/{repo}"].commit(branch)  # that of step2, too, whose files are the same
        assert served.hub.served(f"{commit}/{file.name}") == file.stat().st_size
    assert served.weights(tmp_path / "run") == []
    if keep == "all":
        served.offline()
        offline = figures(served.scan(spec, corpus=corpus, out="offline"))
        assert offline == [row for row in rows if row["status"] == "ok"]  # the copy was never fetched


def test_heads_of_base_and_adapter_on_the_hub_are_those_of_local_files(
    served: Scans, folders: tuple[Path, Path]
) -> None:
    base, lora = folders
    names = ("revision", "status", "singular_entropy", "head_sha256")
    ours = served.heads("org/base@step5+org/lora@step*").checkpoints()
    theirs = served.heads(f"{base}+{lora}", out="local").checkpoints()
    assert [{n: row[n] for n in names} for row in ours] == [{n: row[n] for n in names} for row in theirs]


def test_a_base_or_an_adapter_on_the_hub_alone_has_the_figures_of_local_files(
    served: Scans, folders: tuple[Path, Path], corpus: Path
) -> None:
    base, lora = folders
    series = [f"a={base}+{lora}", f"b=org/base@step5+{lora}", f"c={base}+org/lora@step*"]
    rows = served.scan(*series, corpus=corpus).checkpoints()
    by_model = {model: [{n: r[n] for n in FIGURES} for r in rows if r["model"] == model] for model in "abc"}
    assert by_model["a"] == by_model["b"] == by_model["c"]


def test_a_pattern_of_revisions_is_that_of_the_adapters(served: Scans) -> None:
    series = served.find("org/base+org/lora", pattern=r"step(?P<step>\d+)")
    assert [c.revision for c in series.checkpoints] == ["step1", "step2", "step3"]
    assert [str(c.source).partition("+")[0] for c in series.checkpoints] == ["org/base@main"] * 3


def test_the_base_itself_may_be_scanned_beside(served: Scans, corpus: Path) -> None:
    run = served.scan("org/base@step5", "org/base@step5+org/lora@step1", "again=org/base@step5", corpus=corpus)
    assert [row["status"] for row in run.checkpoints()] == ["ok"] * 3


def test_a_base_on_the_hub_is_found_by_the_adapters_configuration(
    served: Scans, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    lora = shutil.copytree(folders[1] / "step1", tmp_path / "mine")
    settings = json.loads((lora / "adapter_config.json").read_text())
    (lora / "adapter_config.json").write_text(
        json.dumps(settings | {"base_model_name_or_path": "org/base", "revision": "step5"})
    )
    source = served.find(str(lora)).checkpoints[0].source
    commit = served.hub.repos["org/base"].commit("step5")
    assert source == AdapterSource(HubSource("org/base", "step5", commit), LocalAdapter(lora))
    assert str(source) == f"org/base@step5+{lora}"


def test_a_revision_without_an_adapter_fails_in_its_row(served: Scans, folders: tuple[Path, Path]) -> None:
    base, _ = folders
    rows = served.heads(f"{base}+org/base@step5", "org/lora@step1").checkpoints()
    assert [row["status"] for row in rows] == ["failed"] * 2
    assert "org/base@step5: no adapter_config.json in this revision" in rows[0]["reason"]
    assert "it is an adapter: write BASE+org/lora@step1" in rows[1]["reason"]
    with pytest.raises(DegenError, match="a series of 3"):
        served.find(f"org/lora@step*+{base}")
    checkpoint = served.find(f"{base}+org/lora@step1").checkpoints[0]
    assert (checkpoint.model, checkpoint.revision, checkpoint.step) == ("lora", "step1", 1)
    assert isinstance(checkpoint.source, AdapterSource)
    assert checkpoint.source.base == LocalSource(base)
    assert isinstance(checkpoint.source.adapter, HubAdapter)
