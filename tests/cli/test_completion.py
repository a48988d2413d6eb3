"""What a shell gets behind a tab, as bash asks for it; and that `degen --help` imports no command."""

from __future__ import annotations

from pathlib import Path

import pytest
from degen.cli.command_table import COMMANDS, EXAMPLES
from degen.cli.help_screens import LazyCommands
from degen.cli.option_panels import PANEL_EXAMPLES
from faults.command import degen, degen_process, python_process


def completed(*words: object) -> list[str]:
    """Return what bash would offer for the last of the words behind `degen`."""
    line = " ".join(["degen", *map(str, words)])
    result = degen_process(_DEGEN_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words)))
    assert result.err == ""
    return result.out.split()


def test_commands_and_options_are_completed() -> None:
    assert completed("sc") == ["scan", "scaling"]
    assert "--corpus" in completed("scan", "--c")
    assert completed("scaling", "par") == ["pareto"]
    assert "--to" not in completed("saturation", "--")  # a former name


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("scan", "pyth"), ["pythia", "pythia-deduped"]),
        (("scan", "pythia:70m,1"), ["pythia:70m,160m", "pythia:70m,1b", "pythia:70m,12b", "pythia:70m,1.4b"]),
        (("rank", "--corpus", "pi"), ["pile", "pile-10k"]),
        (("ngram", "wiki"), ["wikitext"]),
        (("scan", "--probes", "loss,sp"), ["loss,spectrum"]),
        (("saturation", "--metric", "singular"), ["singular_entropy", "singular_entropy_sigma"]),
    ],
    ids=str,
)
def test_names_are_completed(words: tuple[str, ...], expected: list[str]) -> None:
    assert set(expected) <= set(completed(*words))


def test_metrics_and_tables_of_a_run_are_completed(run: object) -> None:
    path = Path(run.path)  # type: ignore[attr-defined]
    assert set(completed("export", path, "--table", "s")) == {"spectrum"}
    assert "loss" in completed("saturation", path, "--metric", "l")


def test_what_is_no_run_completes_no_table(tmp_path: Path) -> None:
    assert completed("export", tmp_path, "--table", "s") == []


def test_help_imports_no_command() -> None:
    code = (
        "import contextlib, io, sys\nfrom degen.cli.main import main\nsys.argv = ['degen', '--help']\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main()\n"
        "print(*(name for name in sys.modules if name.startswith('degen.')))"
    )
    imported = set(python_process(code).out.split())
    assert not imported & {f"degen.cli.{entry.module}" for entry in COMMANDS.values()}
    assert not imported & {"degen.cli.options", "degen.scanning", "degen.hints"}


def test_the_lines_of_the_help_are_those_of_the_commands() -> None:
    for name, command in LazyCommands().items():
        assert " ".join(command.help.partition("\n\n")[0].split()) == COMMANDS[name].line
        assert COMMANDS[name].panel in EXAMPLES


@pytest.mark.parametrize("command", ["scan", "rank", "gate"])
def test_options_of_a_scan_are_shown_by_subject_with_an_example_each(command: str) -> None:
    screen = degen(command, "--help").out
    headings = [line[:-1] for line in screen.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert [h for h in headings if h in PANEL_EXAMPLES] == list(PANEL_EXAMPLES)
    assert headings[0] == "Arguments"
    assert headings[-1] == "Options"
    assert all(f"  Example: {text.format(command=f'degen {command}')}\n" in screen for text in PANEL_EXAMPLES.values())
    assert max(map(len, screen.splitlines())) <= 80
