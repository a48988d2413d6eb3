"""Adapters as they are named: on a base, alone, and as checkpoints of one training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from adapters import make_adapter
from faults.command import degen as command
from faults.command import degen_process
from tiny import make_checkpoint, make_series, make_tokenizer

import degen
from degen import DegenError
from degen.checkpoints import adapter_series
from degen.checkpoints.adapter_files import LocalAdapter
from degen.checkpoints.adapter_source import AdapterSource
from degen.checkpoints.find_series import find_series
from degen.checkpoints.local import LocalSource
from degen.checkpoints.series import Series

pytestmark = pytest.mark.usefixtures("own_folder")

SMALL: dict[str, Any] = {"tokens": 200, "context": 48, "threads": 1}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(make_checkpoint(tmp_path_factory.mktemp("named") / "base", "llama"))


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the folders of a trainer: checkpoints, two of them alike, the last one again, and another folder."""
    folder = tmp_path_factory.mktemp("trained") / "lora"
    for step in (1000, 900, 50):
        make_adapter(folder / f"checkpoint-{step}", base, seed=step)
    shutil.copytree(folder / "checkpoint-1000", folder, dirs_exist_ok=True)
    shutil.copytree(folder / "checkpoint-900", folder / "checkpoint-950")
    (folder / "runs").mkdir()
    return folder


def adapter(folder: Path, base: object = None, **settings: Any) -> Path:
    """Make a folder that looks like an adapter's."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"peft_type": "LORA", "base_model_name_or_path": str(base) if base is not None else None} | settings
    (folder / "adapter_config.json").write_text(json.dumps(content))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    return folder


def checkpoint(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def find(*specs: object) -> Series:
    (series,) = find_series([str(spec) for spec in specs])
    return series


def refused(*specs: object) -> str:
    with pytest.raises(DegenError) as caught:
        find(*specs)
    return str(caught.value)


# --- a series over its base ----------------------------------------------------------------------------------------


def test_checkpoints_of_an_adapter_are_a_series_in_order(
    base: Path, trained: Path, corpus: Path, tmp_path: Path
) -> None:
    run = degen.scan(f"{base}+{trained}", corpus=corpus, out=tmp_path / "run", **SMALL)
    rows = run.checkpoints()
    assert [(r["model"], r["revision"], r["step"], r["status"], r["duplicate_of"]) for r in rows] == [
        ("lora", "checkpoint-50", 50, "ok", None),
        ("lora", "checkpoint-900", 900, "ok", None),
        ("lora", "checkpoint-950", 950, "duplicate", "checkpoint-900"),
        ("lora", "checkpoint-1000", 1000, "ok", None),
        ("lora", "final", None, "duplicate", "checkpoint-1000"),
    ]
    losses = [row["loss"] for row in rows]
    assert losses[1] == losses[2]
    assert losses[3] == losses[4]
    assert len(set(losses)) == 3
    alone = degen.scan(f"last={base}+{trained / 'checkpoint-1000'}", corpus=corpus, out=tmp_path / "one", **SMALL)
    assert alone.checkpoints()[0]["model"] == "last"
    assert alone.checkpoints()[0]["loss"] == losses[3]


def test_a_run_goes_on_where_an_adapter_changed_and_still_knows_its_twins(
    base: Path, trained: Path, corpus: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "lora")
    series = f"{base}+{tmp_path / 'lora'}"
    first = degen.scan(series, corpus=corpus, out=tmp_path / "run", **SMALL).checkpoints()
    for file in (tmp_path / "lora" / "checkpoint-50").iterdir():
        shutil.copyfile(trained / "checkpoint-1000" / file.name, file)
    shutil.copytree(trained / "checkpoint-900", tmp_path / "lora" / "checkpoint-980")
    then = degen.scan(series, corpus=corpus, out=tmp_path / "run", **SMALL).checkpoints()
    assert [row["status"] for row in then] == ["ok", "ok", "duplicate", "duplicate", "ok", "duplicate"]
    assert [row["duplicate_of"] for row in then][2:4] == ["checkpoint-900", "checkpoint-900"]
    assert then[0]["loss"] == then[4]["loss"] == first[3]["loss"]


def test_the_base_is_not_hashed_once_an_adapter(
    base: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from degen.weights.open_weights import SafeTensors

    read: list[str] = []
    raw: Callable[..., Any] = SafeTensors.raw
    monkeypatch.setattr(SafeTensors, "raw", lambda self, key: (read.append(key), raw(self, key))[1])
    degen.scan(f"{base}+{trained}", probes="spectrum", out=tmp_path / "run")
    assert set(read) == {"lm_head.weight"}


def test_the_price_of_an_adapter_is_that_of_its_base(base: Path, trained: Path) -> None:
    options = ("--tokens", 1000, "--dry-run", "--json")
    plain, *_ = command("scan", base, *options).json()["rows"]
    rows = command("scan", f"{base}+{trained}", *options).json()["rows"]
    assert [row["revision"] for row in rows] == [
        "checkpoint-50", "checkpoint-900", "checkpoint-950", "checkpoint-1000", "final",
    ]  # fmt: skip
    for row in rows:
        assert (row["parameters"], row["flops"]) == (plain["parameters"], plain["flops"])
        assert row["memory"] == pytest.approx(plain["memory"], rel=0.02)  # it counts what each process held by then
        assert row["bytes"] > plain["bytes"]


def test_nothing_of_peft_is_seen_on_the_terminal(base: Path, corpus: Path, tmp_path: Path) -> None:
    from peft import LoraConfig

    make_adapter(tmp_path / "lora", base, LoraConfig(task_type="CAUSAL_LM", modules_to_save=["lm_head"]))
    result = degen_process(
        "scan", f"{base}+{tmp_path / 'lora'}", "--corpus", corpus, "--tokens", 128, "--context", 32, "--threads", 1,
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert result.code == 0
    (line,) = (line for line in result.err.splitlines() if " documents" not in line)
    assert line.startswith("[1/1] lora@main ok ")


# --- what is typed --------------------------------------------------------------------------------------------------


def test_an_adapter_source_has_the_paths_of_base_and_adapter(tmp_path: Path) -> None:
    model, lora = checkpoint(tmp_path / "base"), adapter(tmp_path / "lora")
    (the_only,) = find(f"{model}+{lora}").checkpoints
    assert (the_only.model, the_only.revision, the_only.step) == ("lora", "main", None)
    assert the_only.source == AdapterSource(LocalSource(model), LocalAdapter(lora))
    assert hash(the_only.source) == hash(AdapterSource(LocalSource(model), LocalAdapter(lora), tmp_path))
    assert str(the_only.source) == f"{model}+{lora}"
    assert find(f"mine={model}+{lora}").model == "mine"


def test_an_existing_path_wins_over_an_adapter_and_paths_may_have_a_plus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint(tmp_path / "a+b")
    assert find("a+b").checkpoints[0].source == LocalSource(Path("a+b"))
    adapter(tmp_path / "c+d")
    source = find("a+b+c+d").checkpoints[0].source
    assert source == AdapterSource(LocalSource(Path("a+b")), LocalAdapter(Path("c+d")))
    adapter(tmp_path / "lr=3")
    assert find("a+b+lr=3").model == "lr=3"
    assert find("mine=a+b+lr=3").model == "mine"


def test_steps_of_an_adapter_are_chosen_as_those_of_a_model(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "base")
    for name in ("step0", "step100", "step2000", "final"):
        adapter(tmp_path / "lora" / name)
    (tmp_path / "lora" / "step300").mkdir()  # a step without its files fails in its own row
    checkpoint(tmp_path / "lora" / "merged")
    (series,) = find_series([f"{model}+{tmp_path / 'lora'}"], steps="0:3000:100")
    assert [c.revision for c in series.checkpoints] == ["step0", "step100", "step300", "step2000", "final"]
    (single,) = find_series([f"{model}+{tmp_path / 'lora' / 'step100'}"])
    assert [(c.model, c.revision, c.step) for c in single.checkpoints] == [("lora", "step100", 100)]


def test_a_base_is_one_model(tmp_path: Path) -> None:
    lora = adapter(tmp_path / "lora", "somewhere")
    for step in (1, 2):
        checkpoint(tmp_path / "models" / f"step{step}")
    result = refused(f"{tmp_path / 'models'}+{lora}")
    assert "a series of 2" in result
    assert f"{tmp_path / 'models' / 'step1'}+{lora}" in result
    assert find(f"{tmp_path / 'models' / 'step2'}+{lora}").model == "lora"
    assert "a base must be a whole model, and this is an adapter" in refused(f"{lora}+{lora}")


def test_an_adapter_without_base_or_adapter_is_refused(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "base")
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    assert "BASE+ADAPTER" in refused(f"{model}+")
    assert "BASE+ADAPTER" in refused("+lora")
    assert "nosuch: no such adapter" in refused(f"{model}+nosuch")
    assert "file: no such adapter" in refused(f"{model}+{tmp_path / 'file'}")
    assert "base: no checkpoint here is an adapter" in refused(f"{model}+{model}")
    assert "empty: no checkpoint in it" in refused(f"{model}+{tmp_path / 'empty'}")
    assert "nosuch: no such folder" in refused(f"{tmp_path / 'nosuch'}+{model}")


def test_a_missing_peft_is_named(base: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_series, "find_spec", lambda name: None)
    for spec in (f"{base}+{trained}", trained):
        assert refused(spec) == "adapters need an extra: pip install 'degen-lm[peft]'"
    assert find(base).model == "base"


# --- a base that only the adapter names -----------------------------------------------------------------------------


def test_an_adapter_alone_is_on_the_base_it_names(base: Path, trained: Path, corpus: Path, tmp_path: Path) -> None:
    run = degen.scan([trained, f"named={base}+{trained}"], corpus=corpus, out=tmp_path / "run", **SMALL)
    rows = [(row["model"], row["revision"], row["loss"]) for row in run.checkpoints()]
    assert [row[1:] for row in rows if row[0] == "lora"] == [row[1:] for row in rows if row[0] == "named"]
    assert len(rows) == 10


def test_a_base_may_be_named_relative_to_the_adapter_or_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = checkpoint(tmp_path / "models" / "base")
    elsewhere = adapter(tmp_path / "lora", "../models/base")
    here = adapter(tmp_path / "other", "models/base")
    monkeypatch.chdir(tmp_path)
    for folder in (elsewhere, here, Path("lora")):
        assert find(folder).checkpoints[0].source == AdapterSource(LocalSource(model), LocalAdapter(folder))


def test_a_missing_base_gives_a_message_that_asks_for_base_plus_adapter(tmp_path: Path) -> None:
    for name, why in (("/nowhere/base", "no such folder"), (None, "names no base"), ("org/model", "HF_HUB_OFFLINE")):
        lora = adapter(tmp_path / "lora", name)
        result = refused(lora)
        assert f"write BASE+{lora}" in result
        assert why in result
    assert "a base must be a whole model, and this is an adapter" in refused(
        adapter(tmp_path / "a", adapter(tmp_path / "b", "c"))
    )
    (lora / "adapter_config.json").write_text("{")
    assert "adapter_config.json: not JSON" in refused(lora)


def test_an_adapter_with_its_bases_configuration_beside_it_is_an_adapter(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "base")
    shutil.copy(model / "config.json", adapter(tmp_path / "lora", model))
    assert find(tmp_path / "lora").checkpoints[0].source == AdapterSource(
        LocalSource(model), LocalAdapter(tmp_path / "lora")
    )
    (tmp_path / "lora" / "model.safetensors").write_bytes(b"")
    assert find(tmp_path / "lora").checkpoints[0].source == LocalSource(tmp_path / "lora")


def test_models_and_adapters_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "mixed" / "step0")
    adapter(tmp_path / "mixed" / "step10", model)
    adapter(tmp_path / "mixed" / "step20")
    sources = [c.source for c in find(tmp_path / "mixed").checkpoints]
    assert sources[0] == LocalSource(model)
    assert [s.base for s in sources if isinstance(s, AdapterSource)] == [LocalSource(model)] * 2


# --- tokenizers -----------------------------------------------------------------------------------------------------


def test_the_tokenizer_is_the_adapters_own_or_that_of_its_base(corpus: Path, tmp_path: Path) -> None:
    series = make_series(tmp_path / "models", (1, 2), "llama")  # its tokenizer is beside the steps
    lora = make_adapter(tmp_path / "lora", series / "step1")
    spec = f"{series / 'step1'}+{lora}"
    source = find(spec).checkpoints[0].source
    assert source.tokenizer() == series
    assert degen.scan(spec, corpus=corpus, out=tmp_path / "run", **SMALL).checkpoints()[0]["vocab_used"] == 400
    make_tokenizer(lora, vocabulary=300)
    assert source.tokenizer() == lora
    assert degen.scan(spec, corpus=corpus, out=tmp_path / "own", **SMALL).checkpoints()[0]["vocab_used"] == 300


# --- audit ----------------------------------------------------------------------------------------------------------


def test_an_audit_judges_the_adapters_and_not_their_one_base(base: Path, trained: Path) -> None:
    rows = command("audit", f"{base}+{trained}", "--json").json()["rows"]
    verdicts = {row["revision"]: row["verdict"] for row in rows}
    assert verdicts.pop("checkpoint-950") != "ok"
    assert set(verdicts.values()) == {"ok"}
