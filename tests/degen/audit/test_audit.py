"""`degen audit` as a user runs it: a dirty series on the hub, and dirty folders."""

from __future__ import annotations

import json
from pathlib import Path

import dirty_series as dirty
import numpy as np
import pytest
from faults.command import CommandResult, degen
from hub_scans import Files, Scans
from tiny import make_series

OK = ("ok", None)


def run_audit(*words: object) -> tuple[CommandResult, dict[str, tuple[str, str | None]]]:
    """Return the result of the command, and verdict and reason of every revision."""
    result = degen("audit", *words, "--json")
    result.assert_no_fault()
    return result, {row["revision"]: (row["verdict"], row["reason"]) for row in result.json()["rows"]}


def write(folder: Path, branches: dict[str, Files]) -> Path:
    for name, files in branches.items():
        (folder / name).mkdir(parents=True)
        for file, content in files.items():
            (folder / name / file).write_bytes(content)
    return folder


@pytest.mark.parametrize("repo", ["org/anything", "EleutherAI/pythia-2.8b"])
def test_every_fault_of_a_hub_series_is_found_and_no_other(scans: Scans, repo: str) -> None:
    branches, faults = dirty.dirty()
    scans.add(repo, branches)
    result, findings = run_audit(f"{repo}@step*")
    assert result.code == 1
    assert {name: verdict for name, (verdict, _) in findings.items() if verdict != "ok"} == faults
    assert len(findings) == len(dirty.STEPS)
    assert "identical to step143000, the final one" in str(
        findings[next(n for n in faults if faults[n] == "equals_final")]
    )
    assert "step9000" in str(findings["step58000"])
    assert "gpt_neox.layers.1.attention.dense.bias" in str(findings["step77000"])


def test_a_clean_series_on_the_hub_passes(scans: Scans) -> None:
    scans.add("org/clean", dirty.clean())
    result, findings = run_audit("org/clean@step*")
    assert result.code == 0
    assert set(findings.values()) == {OK}


def test_copies_are_found_without_reading_weights(scans: Scans) -> None:
    branches, faults = dirty.dirty()
    scans.add("org/dirty", branches)
    result, findings = run_audit("org/dirty@step*", "--read", "none")
    assert result.code == 1
    assert not scans.hub.requests_for(r"/resolve/.*\.safetensors$")
    final = {name for name, verdict in faults.items() if verdict == "equals_final"}
    assert {name for name, (verdict, _) in findings.items() if verdict == "equals_final"} == final
    copies = {name for name, verdict in faults.items() if verdict == "duplicate"}
    assert len(copies - {name for name, (verdict, _) in findings.items() if verdict == "duplicate"}) == 1  # an owner


def test_files_with_equal_hashes_are_read_once(scans: Scans) -> None:
    branches, _ = dirty.dirty()
    scans.add("org/dirty", branches)
    run_audit("org/dirty@step*")
    unlike = {content for files in branches.values() for name, content in files.items() if name.endswith("tensors")}
    headers = [
        r for r in scans.hub.requests_for(r"/resolve/.*\.safetensors$") if (r.range or "").startswith("bytes=0-")
    ]
    assert len(headers) == len(unlike)


def test_every_fault_of_a_folder_is_found(tmp_path: Path) -> None:
    path = dirty.path_of_training()
    steps = [step for step in dirty.STEPS if step % 10_000 == 0 and step != 60_000]
    branches = {f"step{step}": dirty.files(path[step]) for step in steps}
    branches["step30000"] = branches["step140000"]
    branches["step90000"] = dirty.files(dirty.path_of_training(seed=9)[90_000], path[90_000])
    broken = {key: value.copy() for key, value in path[50_000].items()}
    broken["embed_out.weight"][3, 4] = np.inf
    branches["step50000"] = dirty.files(broken)
    del branches["step110000"][dirty.SECOND]
    del branches["step120000"]["config.json"]
    branches["step130000"][dirty.FIRST] = branches["step130000"][dirty.FIRST][:-7]
    result, findings = run_audit(write(tmp_path / "runs", branches))
    assert result.code == 1
    assert {name: verdict for name, (verdict, _) in findings.items() if verdict != "ok"} == {
        "step30000": "equals_final", "step90000": "wrong_shard", "step50000": "not_finite", "step60000": "missing",
        "step110000": "missing_file", "step120000": "missing_file", "step130000": "unreadable",
    }  # fmt: skip
    assert "1 of" in str(findings["step50000"][1])
    assert dirty.SECOND in str(findings["step110000"][1])


def test_the_bundled_series_have_no_fault(tmp_path: Path) -> None:
    from degen.demo import series_paths

    result = degen("audit", *series_paths())
    assert result.code == 0
    assert result.out.splitlines()[-1].startswith(
        "nothing is wrong in what was looked at: names, hashes, shapes and the"
    )


def test_legacy_files_and_gguf_are_audited_too(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    series = make_series(tmp_path / "tiny", steps=(0, 100, 200, 300))
    for folder in filter(Path.is_dir, series.iterdir()):
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    (series / "step100" / "pytorch_model.bin").write_bytes((series / "step300" / "pytorch_model.bin").read_bytes())
    _, findings = run_audit(series)
    assert {name: verdict for name, (verdict, _) in findings.items()} == {
        "step0": "ok", "step100": "equals_final", "step200": "ok", "step300": "ok",
    }  # fmt: skip


def test_a_padded_vocabulary_is_noted_and_no_fault(tmp_path: Path) -> None:
    from tiny import PADDED, VOCABULARY

    result = degen("audit", make_series(tmp_path / "tiny"), "--json")
    assert result.code == 0
    first, *others = [row["note"] for row in result.json()["rows"]]
    assert f"padded vocabulary: the head has {PADDED} rows, and tokens use {VOCABULARY} of them" in first
    assert not any("padded" in (note or "") for note in others)


def test_nan_deep_in_a_large_file_is_found_by_reading_all_of_it(scans: Scans) -> None:
    path = dirty.path_of_training()
    broken = {key: value.copy() for key, value in path[1000].items()}
    broken["gpt_neox.layers.0.attention.query_key_value.weight"][-1, -1] = np.nan
    scans.add("org/deep", {"step0": dirty.files(path[0]), "step1000": dirty.files(broken)})
    assert run_audit("org/deep@step*", "--read", "200")[1]["step1000"] == OK
    assert run_audit("org/deep@step*", "--read", "all")[1]["step1000"][0] == "not_finite"


def test_a_list_of_steps_says_which_should_be_there(scans: Scans) -> None:
    path = dirty.path_of_training()
    scans.add("org/few", {f"step{step}": dirty.files(path[step]) for step in (0, 1000, 4000)})
    _, findings = run_audit("org/few@step*", "--steps", "0,1000,2000,4000")
    assert {name: verdict for name, (verdict, _) in findings.items()} == {
        "step0": "ok", "step1000": "ok", "step2000": "missing", "step4000": "ok",
    }  # fmt: skip


def test_a_revision_that_cannot_be_fetched_is_a_row_and_the_others_are_judged(scans: Scans) -> None:
    from hub import Fault

    repo = scans.add("org/cut", {f"step{step}": dirty.files(w) for step, w in dirty.path_of_training().items()})
    scans.hub.faults.append(Fault(f"/tree/{repo.commit('step4000')}", status=404, times=None))
    _, findings = run_audit("org/cut@step*")
    assert findings["step4000"][0] == "unreadable"
    assert {verdict for name, (verdict, _) in findings.items() if name != "step4000"} == {"ok"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Missing argument"),
        (("nowhere",), "no such folder"),
        (("org/nothing@step*",), "no such repository"),
        (("--read", "some", "org/x"), "--read some"),
    ],
)
def test_wrong_usage_is_one_message(scans: Scans, words: tuple[str, ...], message: str) -> None:
    result = degen("audit", *words)
    assert result.code == 2
    assert message in result.message


def test_the_table_has_a_row_for_each_revision(scans: Scans) -> None:
    scans.add("org/clean", {k: v for k, v in dirty.clean().items() if k in ("step0", "step1000", "main")})
    result = degen("audit", "org/clean@step*")
    assert result.code == 0
    assert [line.split()[:4] for line in result.out.splitlines() if line.strip().startswith("clean")] == [
        ["clean", "step0", "0", "ok"], ["clean", "step1000", "1000", "ok"],
    ]  # fmt: skip
    assert json.loads(degen("audit", "org/clean@step*", "--json").out)["rows"][0]["verdict"] == "ok"


def test_copies_are_found_in_files_that_are_named_by_their_steps(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    series = make_series(tmp_path / "tiny", steps=(0, 100, 200, 300))
    (tmp_path / "runs").mkdir()
    for step, source in {100: 100, 200: 200, 250: 100, 300: 300}.items():
        state = load_file(series / f"step{source}" / "model.safetensors")
        torch.save({"state_dict": state, "global_step": step}, tmp_path / "runs" / f"epoch=0-step={step}.ckpt")
    result, findings = run_audit(tmp_path / "runs")
    assert result.code == 1
    verdicts = {name: verdict for name, (verdict, _) in findings.items()}
    assert {name for name, verdict in verdicts.items() if verdict != "ok"} <= {"epoch=0-step=100", "epoch=0-step=250"}
    assert sum(verdict != "ok" for verdict in verdicts.values()) == 1
    assert "identical" in " ".join(str(reason) for _, reason in findings.values())
