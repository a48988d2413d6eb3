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
from faults.command import degen, degen_process, python_process

GROUP: Any = typer.main.get_command(app)


def _commands(group: Any, within: str = "") -> dict[str, Any]:
    """Every command by what a user types, those of groups with the groups' names."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        inner = _commands(command, f"{within}{name} ") if hasattr(command, "commands") else {f"{within}{name}": command}
        found |= inner
    return found


COMMANDS = _commands(GROUP)

WITHOUT = """
import sys
from degen.cli.main import main
sys.argv[0] = "degen"
try:
    main()
finally:
    loaded = sorted({"torch", "transformers", "tokenizers", "datasets", "safetensors"} & set(sys.modules))
    print("loaded:", *loaded, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, series: Path) -> Path:
    out = tmp_path_factory.mktemp("help") / "run"
    assert degen("scan", series, "--probes", "spectrum", "--out", out, "--threads", 1).code == 0
    return out


def test_the_promised_commands_are_there() -> None:
    promised = {
        "scan",
        "show",
        "saturation",
        "rank",
        "scaling fit",
        "scaling slopes",
        "scaling pareto",
        "audit",
        "gate",
    }
    assert {*promised, "export", "probes", "suites"} <= set(COMMANDS)


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_documents_every_option(command: str, flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    said = degen(*command.split(), flag)
    assert said.code == 0
    assert said.err == ""
    assert f"degen {command}" in said.out
    for parameter in COMMANDS[command].params:
        assert parameter.help, f"{command} {parameter.name} has no help"
        assert len(parameter.help.split()) >= 2
        names = parameter.opts if parameter.param_type_name == "option" else [parameter.metavar]
        for name in names:
            assert name in said.out
        words = re.findall(r"\w+", parameter.help)
        assert words[0] in said.out
        assert words[-1] in said.out


def test_every_command_says_what_it_does() -> None:
    said = degen("--help")
    assert said.code == 0
    for name, command in COMMANDS.items():
        assert name.split()[0] in said.out
        assert command.help.strip()
    for code in ("0 done", "1 a check failed", "2 wrong usage", "3 undecidable", "4 incomplete", "130 interrupted"):
        assert code in " ".join(said.out.split())


def test_bare_degen_is_help() -> None:
    assert degen().out == degen("--help").out


def test_version() -> None:
    from degen import __version__

    said = degen_process("--version")
    assert (said.code, said.out, said.err) == (0, f"degen {__version__}\n", "")


def test_options_that_commands_share_read_alike() -> None:
    """One name, one help text, one default, wherever it stands."""
    seen: dict[str, tuple[Any, ...]] = {}
    for command in COMMANDS.values():
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name != "help":
                said = (parameter.help, tuple(parameter.opts), parameter.default)
                assert seen.setdefault(parameter.name, said) == said


@pytest.mark.parametrize(
    "args",
    [("--help",), ("scan", "--help"), ("show",), ("show", "--json"), ("export",), ("probes",), ("probes", "--json")],
    ids=" ".join,
)
def test_commands_that_need_no_model_load_no_torch(args: tuple[str, ...], run: Path, tmp_path: Path) -> None:
    more = {"show": (run,), "export": (run, "--table", "spectrum", "--to", tmp_path / "a.csv")}.get(args[0], ())
    said = python_process(WITHOUT, *args, *more)
    assert said.code == 0
    assert said.err == "loaded:\n"
    assert said.out


def test_import_degen_is_instant() -> None:
    said = python_process("import degen, sys; print(sorted({'torch', 'pyarrow', 'numpy', 'typer'} & set(sys.modules)))")
    assert said.out == "[]\n"


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEGEN_DEBUG", "1")
    said = degen("scan", "/nowhere")
    assert said.code == 2
    assert "Traceback" in said.err
    assert said.err.strip().splitlines()[-1].startswith("error: /nowhere: no such folder")


def test_a_reader_that_leaves_early_is_no_error(run: Path) -> None:
    """`degen show RUN | head -c 1`."""
    code = """
import subprocess, sys
shown = subprocess.Popen([sys.argv[1], "show", sys.argv[2], "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
shown.stdout.close()
print(shown.wait(60), shown.stderr.read().decode())
"""
    said = python_process(code, Path(sys.executable).parent / "degen", run)
    assert said.out == "0 \n"


@pytest.mark.parametrize("environment", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}], ids=str)
def test_show_works_under_any_encoding(run: Path, environment: dict[str, str]) -> None:
    said = degen_process("show", run, **environment)
    assert (said.code, said.err) == (0, "")
    assert "tiny" in said.out
    named = degen_process("show", run, "--json", **environment)
    assert named.json() == degen("show", run, "--json").json()


def test_probes_lists_what_each_measures_needs_and_fills() -> None:
    rows = {row["name"]: row for row in degen("probes", "--json").json()["rows"]}
    assert {"anisotropy", "loss", "spectrum"} <= set(rows)
    assert rows["spectrum"]["needs"] == ["head"]
    assert rows["loss"]["needs"] == ["losses"]
    assert rows["anisotropy"]["needs"] == ["states"]
    assert rows["loss"]["fills"]["windows"] == ["loss", "tokens"]
    assert rows["spectrum"]["fills"]["spectrum"] == ["singular_value"]
    table = degen("probes").out
    for row in rows.values():
        assert row["name"] in table
        assert row["measures"]
    assert json.dumps(rows)
