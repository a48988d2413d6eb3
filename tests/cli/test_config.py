"""A repository's own file: commands without arguments do its job, options win, and `degen init` writes one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from faults.command import SMALL, degen
from terminal import on_terminal

from degen.scanning.config_file import read_config


@pytest.fixture
def repository(tmp_path: Path, series: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a series and a corpus, and the working folder in a folder of it."""
    for name in (".git", "runs", "sub"):
        (tmp_path / name).mkdir()
    (tmp_path / "runs" / "mine").symlink_to(series)
    (tmp_path / "val.jsonl").symlink_to(corpus)
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    return tmp_path


FILE = 'series = ["m=runs/mine"]\ncorpus = "val.jsonl"\nout = "measured"\nsteps = "1000"\nrules = ["loss < 99"]\n'


def asked(run: Path) -> dict[str, object]:
    document: dict[str, object] = json.loads((run / "run.json").read_text())["asked"]
    return document


def test_gate_without_arguments_does_the_job_of_the_repository(repository: Path) -> None:
    (repository / "degen.toml").write_text(FILE)
    result = degen("gate", *SMALL)
    result.assert_no_fault()
    assert result.code == 0, result.err
    assert f"{repository / 'degen.toml'}: series m={repository / 'runs'}" in result.err
    settings = asked(repository / "measured")
    assert (settings["corpus"], settings["steps"]) == (str((repository / "val.jsonl").resolve()), "1000")
    assert "passed" in result.out
    (repository / "degen.toml").write_text(FILE.replace("< 99", "< 0"))
    assert degen("gate", *SMALL).code == 1
    # with options and a target, these win
    other = degen("gate", repository / "measured", "--rule", "loss < 98", "--config", repository / "degen.toml")
    assert other.code == 1
    assert "series" not in other.err
    scan = degen("scan", *SMALL, "--steps", "0", "-o", "own", "--json")
    assert scan.code == 0
    assert [(row["model"], row["step"]) for row in scan.json()["rows"]] == [("m", 0)]
    assert asked(Path("own"))["corpus"] == str((repository / "val.jsonl").resolve())


def test_gate_without_target_and_file_says_what_to_do(repository: Path) -> None:
    assert "no TARGET is given, and there is no degen.toml" in degen("gate", "--rule", "loss < 3").message
    (repository / "degen.toml").write_text("rules = ['loss < 3']")
    message = degen("gate").message
    assert f"no TARGET is given, and {repository / 'degen.toml'} names no series" in message
    assert "`degen init`" in message


def test_an_unknown_key_ends_a_scan_with_a_hint(repository: Path) -> None:
    (repository / "degen.toml").write_text("token = 3")
    result = degen("scan", "--dry-run")
    assert result.code == 2
    assert "has an unknown key 'token'; did you mean 'tokens'?" in result.message
    (repository / "degen.toml").write_text("tokens = 3")
    assert "--tokens 3: must be at least 16" in degen("scan", "--dry-run").message


def test_init_writes_a_file_from_options(repository: Path) -> None:
    words = (
        "--series",
        "../runs/mine",
        "--series",
        "pythia:70m",
        "--corpus",
        "pile",
        "-o",
        "run",
        "--rule",
        "loss < 3",
    )
    result = degen("init", *words)
    assert (result.code, result.out) == (0, "degen.toml: written; degen gate judges it without arguments\n")
    config = read_config(Path("degen.toml"))
    assert config.series == (str(repository / "runs" / "mine"), "pythia:70m")
    assert (config.corpus, config.out, config.rules) == ("pile", str(repository / "sub" / "run"), ("loss < 3",))
    again = degen("init", "--series", "other")
    assert again.code == 2
    assert "degen.toml: is there already; edit it, or replace it with --force" in again.message
    assert read_config(Path("degen.toml")) == config
    assert degen("init", "--series", "other", "--force").code == 0
    assert read_config(Path("degen.toml")).series == ("other",)
    Path("pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert degen("init", "--series", "other", "--pyproject").code == 0
    assert Path("pyproject.toml").read_text().startswith("[project]\nname = 'x'\n\n[tool.degen]\n")


def test_init_without_a_terminal_and_options_says_which_are_needed(repository: Path) -> None:
    result = degen("init")
    assert result.code == 2
    assert "no series is named; give --series, as in --series runs/my-model" in result.message
    assert 'rule "loss <"' in degen("init", "--series", "a", "--rule", "loss <").message
    assert os.listdir() == []


def test_init_asks_on_a_terminal(tmp_path: Path) -> None:
    replies = "runs/mine\n\nmeasured\ny\nlos rise\nloss.rise < 1\nanisotropy < 0.6\n\n"
    code, text = on_terminal("init", cwd=tmp_path, typed=replies)
    assert code == 0, text
    assert "degen.toml: written; degen gate judges it without arguments" in text
    assert 'warning: rule "los rise"' in text
    config = read_config(tmp_path / "degen.toml")
    assert (config.series, config.corpus, config.rules) == (
        ("runs/mine",), None, ("loss.rise < 1", "anisotropy < 0.6"),
    )  # fmt: skip
    assert config.out == str(tmp_path / "measured")
    code, text = on_terminal("init", cwd=tmp_path, typed="")
    assert code == 2
    assert "is there already" in text
