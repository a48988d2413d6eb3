"""Help that documents everything, and commands that do not wait for torch."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from degen.cli.main import app
from faults.command import degen, degen_imports, degen_process, python_process

GROUP: Any = typer.main.get_command(app)


def _commands(group: Any, within: str = "") -> dict[str, Any]:
    """Every command by the words that a user types."""
    commands: dict[str, Any] = {}
    for name, command in group.commands.items():
        inner = _commands(command, f"{within}{name} ") if hasattr(command, "commands") else {f"{within}{name}": command}
        commands |= inner
    return commands


COMMANDS = _commands(GROUP)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, series: Path) -> Path:
    out = tmp_path_factory.mktemp("help") / "run"
    assert degen("scan", series, "--probes", "spectrum", "--out", out, "--threads", 1).code == 0
    return out


def test_promised_commands_exist() -> None:
    promised = (
        "scan show saturation rank ngram delta similarity audit gate export probes suites corpora scaling-fit "
        "scaling-slopes scaling-pareto scaling-shapes scaling-cost report compare"
    )
    assert {name.replace("-", " ") for name in promised.split()} <= set(COMMANDS)


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_documents_every_option(command: str, flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = degen(*command.split(), flag)
    assert result.code == 0
    assert result.err == ""
    assert f"degen {command}" in result.out
    for parameter in COMMANDS[command].params:
        assert parameter.help, f"{command} {parameter.name} has no help"
        if getattr(parameter, "hidden", False):  # a former name, which goes on working
            assert not any(re.search(rf"^ *{name}\b", result.out, re.MULTILINE) for name in parameter.opts)
            continue
        assert len(parameter.help.split()) >= 2
        names = parameter.opts if parameter.param_type_name == "option" else [parameter.metavar]
        for name in names:
            assert name in result.out
        words = re.findall(r"\w+", parameter.help)
        assert words[0] in result.out
        assert words[-1] in result.out


def test_help_of_degen_lists_commands_and_exit_codes() -> None:
    result = degen("--help")
    assert result.code == 0
    for name, command in COMMANDS.items():
        assert name.split()[0] in result.out
        assert command.help.strip()
    for code in ("0 done", "1 a check failed", "2 wrong usage", "3 undecidable", "4 incomplete", "130 interrupted"):
        assert code in " ".join(result.out.split())


def test_degen_without_arguments_prints_help() -> None:
    assert degen().out == degen("--help").out


def test_version_option_prints_the_version() -> None:
    from degen import __version__

    result = degen_process("--version")
    assert (result.code, result.out, result.err) == (0, f"degen {__version__}\n", "")


def test_shared_options_have_one_help_text_and_default() -> None:
    """One name, one help text, one default, wherever it stands; but each command has a run folder of its own."""
    seen: dict[str, tuple[Any, ...]] = {}
    for command in COMMANDS.values():
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name != "help":
                default = parameter.default if parameter.name != "out" else None
                text = (parameter.help, tuple(parameter.opts), default)
                assert seen.setdefault(parameter.name, text) == text


@pytest.mark.parametrize(
    "args",
    [("--help",), ("scan", "--help"), ("show",), ("show", "--json"), ("export",), ("probes",), ("probes", "--json")],
    ids=" ".join,
)
def test_commands_without_a_model_import_no_torch(args: tuple[str, ...], run: Path, tmp_path: Path) -> None:
    more = {"show": (run,), "export": (run, "--table", "spectrum", "--out", tmp_path / "a.csv")}.get(args[0], ())
    result = degen_imports(*args, *more)
    assert result.code == 0
    assert result.err == "imported:\n"
    assert result.out


def test_import_degen_imports_no_large_package() -> None:
    result = python_process(
        "import degen, sys; print(sorted({'torch', 'pyarrow', 'numpy', 'typer'} & set(sys.modules)))"
    )
    assert result.out == "[]\n"


def test_degen_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEGEN_DEBUG", "1")
    result = degen("scan", "/nowhere")
    assert result.code == 2
    assert "Traceback" in result.err
    assert result.err.strip().splitlines()[-1].startswith("error: /nowhere: no such folder")


def test_closed_pipe_is_no_error(run: Path) -> None:
    """`degen show RUN | head -c 1`."""
    code = """
import subprocess, sys
shown = subprocess.Popen([sys.argv[1], "show", sys.argv[2], "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
shown.stdout.close()
print(shown.wait(60), shown.stderr.read().decode())
"""
    result = python_process(code, Path(sys.executable).parent / "degen", run)
    assert result.out == "0 \n"


@pytest.mark.parametrize("environment", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}], ids=str)
def test_show_works_under_ascii_encodings(run: Path, environment: dict[str, str]) -> None:
    result = degen_process("show", run, **environment)
    assert (result.code, result.err) == (0, "")
    assert "tiny" in result.out
    named = degen_process("show", run, "--json", **environment)
    assert named.json() == degen("show", run, "--json").json()


def test_probes_lists_measures_needs_and_columns() -> None:
    rows = {row["name"]: row for row in degen("probes", "--json").json()["rows"]}
    assert {"anisotropy", "loss", "spectrum"} <= set(rows)
    assert rows["spectrum"]["needs"] == ["head"]
    assert rows["loss"]["needs"] == ["losses"]
    assert rows["anisotropy"]["needs"] == ["states"]
    assert rows["loss"]["fills"]["windows"] == ["loss", "tokens"]
    assert rows["spectrum"]["fills"]["spectrum"] == ["singular_value"]
    assert rows["spectrum"]["metrics"][0]["source"].startswith("Godey et al. 2024")
    table = degen("probes").out
    for row in rows.values():
        assert row["name"] in table
        assert row["measures"]
    assert json.dumps(rows)


def test_one_probe_shows_all_that_it_says_of_itself() -> None:
    (row,) = degen("probes", "anisotropy", "--json").json()["rows"]
    assert row == {r["name"]: r for r in degen("probes", "--json").json()["rows"]}["anisotropy"]
    shown = degen("probes", "anisotropy").out
    for metric in row["metrics"]:
        for name in ("formula", "source", "range", "high", "low", "clashes"):
            assert metric[name] in shown
        assert all(column in shown for column in metric["columns"])
    assert row["cost"] in shown


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("anisotrpy", "did you mean 'anisotropy'"),
        ("gradient_lost", "probe rank measures it"),
        ("representation dispersion", "see `degen probes anisotropy`, anisotropy: 1 − representation dispersion"),
        ("representation_dispersion", "see `degen probes anisotropy`, anisotropy: 1 − representation dispersion"),
    ],
)
def test_another_name_leads_to_its_probe(name: str, words: str) -> None:
    result = degen("probes", name)
    assert result.code == 2
    assert words in result.message
