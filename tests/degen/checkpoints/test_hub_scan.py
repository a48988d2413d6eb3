"""What is measured of a series on the hub: the figures of the same files in a folder, and of copies nothing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from faults.command import SMALL, degen_process
from hub import Fault
from hub_scans import Files, Scans, packed, revisions, sharded
from tiny import make_checkpoint, make_series

import degen


def assert_same_figures(first: degen.Run, second: degen.Run) -> None:
    """Check that every cell of every table is equal, but for seconds."""
    assert first.tables == second.tables
    for table in set(first.tables) - {"timing"}:
        assert first.table(table).equals(second.table(table)), table
    for row in first.checkpoints():
        assert row["status"] == "ok", row["reason"]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a series of which every checkpoint is stored in another way."""
    series = make_series(tmp_path_factory.mktemp("kinds") / "tiny", steps=(1, 2, 3, 4))
    sharded(series / "step2")
    sharded(series / "step3", shards=1, legacy=True)
    sharded(series / "step4", shards=2, legacy=True)
    return series


@pytest.mark.parametrize("keep", ["none", "all"])
@pytest.mark.parametrize("tied", [False, True])
def test_figures_are_those_of_the_same_files_in_a_folder(
    scans: Scans, kinds: Path, corpus: Path, tmp_path: Path, keep: str, tied: bool
) -> None:
    if tied:
        kinds = make_series(tmp_path / "tiny", steps=(1, 2), tie_word_embeddings=True)
        sharded(kinds / "step2")
    scans.add("org/tiny", revisions(kinds))
    assert_same_figures(
        scans.scan("org/tiny@step*", corpus=corpus, keep=keep), scans.scan(kinds, out="local", corpus=corpus)
    )
    assert len(scans.weights(tmp_path / "run")) == 0
    scans.forget()
    ours, theirs = scans.heads("org/tiny@step*", out="heads", keep=keep), scans.heads(kinds, out="local heads")
    assert_same_figures(ours, theirs)
    assert len(scans.weights(tmp_path / "heads")) == 0


@pytest.mark.parametrize("family", ["gpt2", "opt-350m", "gemma", "llama"])
def test_heads_of_other_families_are_found_in_headers_alone(scans: Scans, tmp_path: Path, family: str) -> None:
    series = make_series(tmp_path / "tiny", steps=(1, 2), family=family)
    sharded(series / "step2")
    scans.add("org/tiny", revisions(series))
    assert_same_figures(scans.heads("org/tiny@step*"), scans.heads(series, out="local"))
    assert not [r for r in scans.hub.requests_for(r"\.safetensors(\?|$)", "GET") if r.range is None]


def test_a_series_without_a_tokenizer_is_scanned_by_its_heads(scans: Scans, series: Path) -> None:
    branches = {name: {n: c for n, c in files.items() if not n.startswith("tok")} for name, files in
                revisions(series).items()}  # fmt: skip
    scans.add("org/tiny", branches)
    rows = scans.scan("org/tiny@step*").checkpoints()
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert all("no tokenizer" in row["reason"] and row["singular_entropy"] > 0 for row in rows)
    with_tokenizer = scans.scan("org/tiny@step*", tokenizer=series, out="given").checkpoints()
    assert all(row["reason"] is None and row["loss"] > 0 for row in with_tokenizer)


def test_a_repeated_scan_of_the_hub_requests_the_branches_alone_and_changes_nothing(
    scans: Scans, series: Path, corpus: Path, tmp_path: Path
) -> None:
    scans.add("org/tiny", revisions(series))
    scans.scan("org/tiny@step*", corpus=corpus)
    before = packed(tmp_path)
    scans.forget()
    run = scans.scan("org/tiny@step*", corpus=corpus)
    assert [row["status"] for row in run.checkpoints()] == ["ok"] * 3
    assert [r.path for r in scans.hub.requests] == ["/api/models/org/tiny/refs"]
    assert packed(tmp_path) == before


def test_a_branch_that_moved_is_measured_again_and_no_other(scans: Scans, series: Path, corpus: Path) -> None:
    repo = scans.add("org/tiny", revisions(series))
    before = {r["revision"]: r for r in scans.scan("org/tiny@step*", corpus=corpus).checkpoints()}
    repo.push("step100", revisions(series)["step0"])
    scans.forget()
    run = scans.scan("org/tiny@step*", corpus=corpus)
    after = {r["revision"]: r for r in run.checkpoints()}
    assert (after["step100"]["status"], after["step100"]["duplicate_of"]) == ("duplicate", "step0")
    assert after["step100"]["loss"] == before["step0"]["loss"] != before["step100"]["loss"]
    assert [after[name] for name in ("step0", "step1000")] == [before[name] for name in ("step0", "step1000")]
    repo.push("step0", revisions(series)["step1000"])  # and step100 is no copy any longer
    rows = scans.scan("org/tiny@step*", corpus=corpus).checkpoints()
    assert [(r["status"], r["duplicate_of"]) for r in rows] == [("ok", None)] * 3
    assert [r["loss"] for r in rows] == [before[name]["loss"] for name in ("step1000", "step0", "step1000")]
    versions = {row["source_version"] for row in run.table("timing").to_pylist()}
    assert f"commit {repo.commit('step100')}" in versions


def test_an_interrupted_hub_scan_that_is_continued_equals_an_uninterrupted_one(
    scans: Scans, series: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import degen.scanning.series_scan as engine

    scans.add("org/tiny", revisions(series))
    whole = scans.scan("org/tiny@step*", corpus=corpus, out="whole")
    scans.forget()
    with monkeypatch.context() as patch:
        finish = engine.SeriesScan._write

        def cut(scan: engine.SeriesScan, checkpoint: object, rows: object, source: str) -> None:
            finish(scan, checkpoint, rows, source)  # type: ignore[arg-type]
            raise KeyboardInterrupt

        patch.setattr(engine.SeriesScan, "_write", cut)
        with pytest.raises(KeyboardInterrupt):
            scans.scan("org/tiny@step*", corpus=corpus)
    assert [row["revision"] for row in degen.read_run(tmp_path / "run").checkpoints()] == ["step0"]
    assert not scans.weights()
    scans.hub.requests.clear()
    assert_same_figures(scans.scan("org/tiny@step*", corpus=corpus), whole)
    commit = scans.hub.repos["org/tiny"].commit("step0")
    assert not scans.hub.requests_for(f"{commit}/model.safetensors")


def test_a_failed_checkpoint_is_tried_again(scans: Scans, series: Path, corpus: Path) -> None:
    repo = scans.add("org/tiny", revisions(series))
    scans.hub.faults.append(Fault(f"{repo.commit('step100')}/model.safetensors", status=403, times=None))
    run = scans.scan("org/tiny@step*", corpus=corpus)
    assert [row["status"] for row in run.checkpoints()] == ["ok", "failed", "ok"]
    scans.hub.faults.clear()
    assert_same_figures(scans.scan("org/tiny@step*", corpus=corpus), scans.scan(series, out="local", corpus=corpus))


def test_rows_are_in_the_order_of_steps_that_a_pattern_reads(scans: Scans, series: Path, tmp_path: Path) -> None:
    files = list(revisions(series).values())
    names = ("run2-at5", "run1-at90", "run1-at100")
    scans.add("org/odd", dict(zip(names, files, strict=True)) | {"main": files[0] | {"README.md": b""}})
    pattern = r"run(?P<stage>\d+)-at(?P<step>\d+)"
    run = scans.heads("org/odd", revision_pattern=pattern)
    order = ["run1-at90", "run1-at100", "run2-at5"]
    for table in ("checkpoints", "spectrum"):
        assert list(dict.fromkeys(run.table(table)["revision"].to_pylist())) == order
    assert degen.read_run(tmp_path / "run").table("checkpoints")["step"].to_pylist() == [90, 100, 5]
    shutil.copytree(series, tmp_path / "odd")
    for name, folder in zip(names, ("step0", "step100", "step1000"), strict=True):
        (tmp_path / "odd" / folder).rename(tmp_path / "odd" / name)
    assert_same_figures(run, scans.heads(tmp_path / "odd", out="local", revision_pattern=pattern))


def test_a_branch_named_like_a_path_has_its_part_inside_the_run(scans: Scans, series: Path, tmp_path: Path) -> None:
    scans.add("org/tiny", {"a/b/step1": revisions(series)["step0"], ".step2": revisions(series)["step100"]})
    run = scans.heads("org/tiny@*")
    assert [row["revision"] for row in run.checkpoints()] == [".step2", "a/b/step1"]
    assert len(list((tmp_path / "run" / "checkpoints" / "tiny").iterdir())) == 2


def test_the_command_scans_the_hub_that_the_environment_names(
    scans: Scans, series: Path, corpus: Path, tmp_path: Path
) -> None:
    scans.add("org/tiny", revisions(series), token="hf_mine")
    environment = {"HF_ENDPOINT": scans.hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": "hf_mine"}
    command = ("scan", "org/tiny@step*", "--corpus", corpus, *SMALL, "-o", tmp_path / "run")
    scans.hub.faults += [Fault("/tree/", status=500), Fault("/step100/model.safetensors", cut=1000)]
    result = degen_process(*command, **environment)
    assert result.code == 0, result.err
    result.assert_no_fault()
    assert all(line.startswith("[") or line.startswith("warning: ") for line in result.err.splitlines()), result.err
    local = degen.scan(series, corpus=corpus, out=tmp_path / "local", tokens=128, context=32, threads=1)
    assert_same_figures(degen.read_run(tmp_path / "run"), local)
    assert not scans.weights(tmp_path / "home", tmp_path / "run")
    assert degen_process(*command, **environment | {"HF_TOKEN": "hf_else"}).code == 2
    assert pq.read_schema(tmp_path / "run" / "checkpoints" / "tiny" / "step0.parquet").metadata[b"degen.source_hash"]


def test_code_of_a_repository_runs_where_the_user_says_so_and_nowhere_else(
    scans: Scans, tmp_path: Path, own_modules: Path
) -> None:
    witness = tmp_path / "witness"
    code = f"from pathlib import Path\nfrom transformers import LlamaConfig, LlamaForCausalLM\n" \
           f"Path({str(witness)!r}).write_text('ran')\nclass OwnConfig(LlamaConfig):\n    model_type = 'hub_own'\n" \
           f"class OwnForCausalLM(LlamaForCausalLM):\n    config_class = OwnConfig\n"  # fmt: skip
    files: Files = {f.name: f.read_bytes() for f in make_checkpoint(tmp_path / "llama", "llama").iterdir()}
    config = json.loads(files["config.json"]) | {"model_type": "hub_own", "architectures": ["OwnForCausalLM"]}
    config["auto_map"] = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnForCausalLM"}
    scans.add("org/own", {"main": files | {"config.json": json.dumps(config).encode(), "own.py": code.encode()}})
    (row,) = scans.heads("org/own", out="refused").checkpoints()
    assert row["status"] == "failed"
    assert "--trust-remote-code" in row["reason"]
    assert not witness.exists()
    assert not scans.hub.requests_for(r"own\.py")
    (row,) = scans.heads("org/own", trust_remote_code=True).checkpoints()
    assert (row["status"], os.path.exists(witness)) == ("ok", True)
