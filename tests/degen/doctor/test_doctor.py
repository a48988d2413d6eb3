"""What `degen doctor` finds, where all is well and where something is broken, and that it tells no secret."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from faults.command import CommandResult, degen, degen_process, full_disk
from hub import Fault
from hub_scans import Scans
from huggingface_hub import constants

from degen.doctor import examine
from degen.doctor.check import CheckResult
from degen.doctor.hub import check_hub, without_credentials
from degen.doctor.packages import check_packages
from degen.doctor.redact import redact
from degen.doctor.self_test import KEYS, TOLERANCES, compare, measure, stored_figures
from degen.doctor.storage import check_cache, check_temporary

SECRET = "hf_" + "PLANTED" * 5  # made up
CHECKS = ["python", "packages", "imports", "working folder", "temporary files", "cache", "hub", "devices", "self-test"]


def by_name(result: CommandResult) -> dict[str, dict[str, Any]]:
    return {row["check"]: row for row in result.json()["rows"]}


@pytest.fixture(scope="module")
def figures() -> list[dict[str, Any]]:
    return measure("cpu")


def test_the_demo_gives_the_stored_figures(figures: list[dict[str, Any]]) -> None:
    wrong, largest = compare(figures, stored_figures())
    assert wrong == []
    assert largest <= max(TOLERANCES.values())
    assert [[row[key] for key in KEYS] for row in stored_figures()] == [
        ["healthy", 3000], ["broken", 3000], ["overfit", 3000],
    ]  # fmt: skip


@pytest.mark.parametrize("name", TOLERANCES)
def test_a_figure_beyond_its_tolerance_is_named(name: str) -> None:
    stored = stored_figures()
    for factor, is_wrong in ((1 + 0.5 * TOLERANCES[name], False), (1 + 2 * TOLERANCES[name] + 1e-12, True)):
        changed = [dict(row) for row in stored]
        changed[1][name] *= factor
        wrong, _ = compare(changed, stored)
        assert [text.partition(" is ")[0] for text in wrong] == [f"broken, step 3000: {name}"] * is_wrong
    assert len(compare([{**row, name: None} for row in stored], stored)[0]) == 3
    assert len(compare([{**row, name: float("nan")} for row in stored], stored)[0]) == 3
    assert len(compare(stored[:2], stored)[0]) == len(TOLERANCES)


def test_every_check_is_ok_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results = list(examine())
    assert [result.check for result in results] == CHECKS
    assert {r.check: r.finding for r in results if r.status not in ("ok", "warning")} == {}
    assert list(tmp_path.iterdir()) == []
    facts = {result.check: result.facts for result in results}
    assert facts["python"]["python"] == sys.version.split()[0]
    assert {"torch", "transformers", "pyarrow", "numpy"} <= facts["packages"].keys()
    assert facts["devices"]["devices"][0]["device"] == "cpu"
    assert "float32" in facts["devices"]["devices"][0]["dtypes"]
    assert facts["self-test"]["devices"][0]["wrong"] == []
    json.dumps([result.facts for result in results])


def test_the_text_has_a_line_for_each_check_and_the_exit_code_is_0() -> None:
    result = degen("doctor", "--no-self-test")
    assert result.code == 0
    lines = [line for line in result.out.splitlines() if not line.startswith("    ")]
    assert [line.split(": ")[1] for line in lines] == CHECKS[:-1]


@pytest.mark.parametrize("package", ["torch", "numpy"])  # numpy is imported by others, which then fail as well
def test_a_package_that_cannot_be_imported_is_named_with_what_to_do(package: str, tmp_path: Path) -> None:
    (tmp_path / f"{package}.py").write_text("raise ImportError('libcudart.so.12: cannot open shared object file')\n")
    result = degen_process("doctor", "--json", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    result.assert_no_fault()
    assert result.code == 1
    rows = by_name(result)
    assert list(rows) == CHECKS
    assert rows["imports"]["status"] == "failed"
    assert f"{package.replace('_', '-')} cannot be imported (ImportError: libcudart.so.12" in rows["imports"]["finding"]
    assert f"-m pip install --force-reinstall {package}" in rows["imports"]["advice"]
    assert ("pytorch.org" in rows["imports"]["advice"]) == (package == "torch")
    assert rows["self-test"]["status"] == "skipped"
    assert rows["self-test"]["finding"] == "not run, as imports and devices failed"
    assert rows["python"]["status"] == rows["packages"]["status"] == rows["working folder"]["status"] == "ok"


def test_a_package_older_than_allowed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, number in (("torch", "1.13.0"), ("filelock", "3.0")):
        info = tmp_path / f"{name}-{number}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    result = check_packages()
    assert result.status == "failed"
    assert "torch is 1.13.0, and degen needs >=" in result.finding
    assert "filelock is 3.0, and degen needs >=" in result.finding
    assert "numpy" not in result.finding
    assert "-m pip install --upgrade degen-lm" in result.advice


def test_a_full_disk_is_found_wherever_degen_writes(tmp_path: Path) -> None:
    with full_disk(1):
        results = {result.check: result for result in examine()}
    for name in ("working folder", "cache"):
        assert results[name].status == "failed"
        assert "cannot be written (File too large)" in results[name].finding
        assert results[name].advice
    assert results["temporary files"].status == "failed"
    assert "TMPDIR" in results["temporary files"].advice
    assert results["self-test"].finding == "not run, as temporary files failed"


def test_no_folder_for_temporary_files_is_one_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)  # it is chosen anew
    with full_disk(0):
        result = check_temporary()
    assert result.status == "failed"
    assert result.finding == "no folder for temporary files can be written"
    assert "TMPDIR" in result.advice


def test_a_cache_that_is_a_file_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file"))
    result = check_cache()
    assert result.status == "failed"
    assert "cannot be written (Not a directory)" in result.finding
    assert "HF_HUB_CACHE" in result.advice


def test_a_cache_that_is_not_there_yet_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "a" / "b"))
    assert check_cache().status == "ok"
    assert "not there yet" in check_cache().finding
    assert list(tmp_path.iterdir()) == []


def test_models_in_the_cache_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = tmp_path / "models--org--name" / "blobs" / "abc"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(bytes(1234))
    link = tmp_path / "models--org--name" / "snapshots" / "c" / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert check_cache().facts["size"] == 1234


def test_little_room_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage("/").free
    monkeypatch.setattr("degen.doctor.storage.TIGHT", free * 1000)
    assert check_temporary().status == "warning"
    assert "free some space" in check_temporary().advice


def test_a_hub_that_replies_is_ok_and_takes_one_request(scans: Scans) -> None:
    result = check_hub()
    assert (result.status, result.facts["token"]) == ("ok", False)
    assert result.finding == f"{scans.hub.endpoint} replies; no token is set"
    assert len(scans.hub.requests) == 1


@pytest.mark.parametrize(
    ("status", "expected", "words"),
    [
        (200, "ok", "takes the token"), (401, "warning", "refuses the token (401)"), (403, "warning", "(403)"),
        (503, "warning", "status 503"), (429, "warning", "status 429"), (404, "ok", "a token is set"),
    ],
)  # fmt: skip
def test_what_the_hub_makes_of_the_token_is_told_without_it(
    status: int, expected: str, words: str, scans: Scans
) -> None:
    scans.token(SECRET)
    scans.hub.faults.append(Fault("whoami", status=status, message=f"not {SECRET}", times=None))
    result = check_hub()
    assert result.status == expected
    assert words in result.finding
    assert bool(result.advice) == (expected != "ok")
    assert "PLANTED" not in str(result)
    assert SECRET in {request.token for request in scans.hub.requests}


def test_a_hub_out_of_reach_is_a_warning(scans: Scans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://user:PLANTED@127.0.0.1:9")
    result = check_hub()
    assert result.status == "warning"
    assert result.finding.startswith("http://127.0.0.1:9 does not reply (ConnectError")
    assert "checkpoints on this machine can be scanned" in result.advice


def test_offline_the_hub_is_not_asked(scans: Scans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert check_hub().status == "ok"
    assert "HF_HUB_OFFLINE is set" in check_hub().finding
    assert scans.hub.requests == []


def test_no_planted_secret_is_in_the_report(tmp_path: Path) -> None:
    planted = {
        "HF_TOKEN": SECRET, "WANDB_API_KEY": "PLANTED-wandb", "AWS_SECRET_ACCESS_KEY": "PLANTED/aws",
        "MY_PASSWORD": "PLANTED1",
        "HF_ENDPOINT": "http://me:PLANTED2@127.0.0.1:9/PLANTED1", "HTTPS_PROXY": "http://me:PLANTED3@127.0.0.1:9",
        "HF_HOME": str(tmp_path / SECRET), "HF_HUB_OFFLINE": "0", "HOME": str(tmp_path),
    }  # fmt: skip
    (tmp_path / "torch.py").write_text(f"raise ImportError('no PLANTED-wandb in https://a:PLANTED4@b.c, {SECRET}')\n")
    result = degen_process("doctor", "--json", cwd=tmp_path, PYTHONPATH=str(tmp_path), **planted)
    result.assert_no_fault()
    assert result.code == 1
    assert "127.0.0.1:9" in result.out
    assert "PLANTED" not in result.out + result.err
    assert str(tmp_path) not in result.out + result.err


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:pass@host/path", "https://***@host/path"),
        ("token hf_abcdefghijklm.", "token ***."),
        ("Bearer abcdef", "Bearer ***"),
        ("HOME/x and HOMEx", "~/x and HOMEx"),
    ],
)
def test_redact_hides_what_looks_like_a_secret(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    text, shown = (t.replace("HOMEx", "/home/somebodyx").replace("HOME", "/home/somebody") for t in (text, shown))
    assert redact({"a": [text]}) == {"a": [shown]}


def test_address_is_shown_without_credentials() -> None:
    assert without_credentials("https://u:p@h.org:8/a?token=b#c") == "https://h.org:8/a"


def test_a_demo_that_fails_is_a_failed_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("degen.demo._SERIES", ("missing",))
    result = {r.check: r for r in examine()}["self-test"]
    assert isinstance(result, CheckResult)
    assert result.status == "failed"
    assert "missing" in result.finding
    assert "report" in result.advice
