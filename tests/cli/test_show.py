"""`degen show`: what matters comes first, long series are thinned for the eye, colours are for a terminal alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from degen.cli.output import sparkline
from degen.cli.show import thin
from faults.command import SMALL, degen, degen_process
from hypothesis import given
from hypothesis import strategies as st
from terminal import on_terminal
from tiny import make_checkpoint, make_tokenizer

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of fifty checkpoints, of which one is broken, and one of seven of which one is a duplicate."""
    folder = tmp_path_factory.mktemp("show")
    for name in ("long-series-with-a-name", "copied-series-with-a-name"):
        make_tokenizer(folder / name)
    for step in range(50):
        make_checkpoint(folder / "long-series-with-a-name" / f"step{step}", "gpt2", seed=step)
    (folder / "long-series-with-a-name" / "step17" / "model.safetensors").write_bytes(b"no weights")
    for step in range(7):
        make_checkpoint(folder / "copied-series-with-a-name" / f"step{step}", "gpt2", seed=min(step, 5))
    spectrum = ("--probes", "spectrum", "--threads", 1)
    assert degen("scan", folder / "long-series-with-a-name", *spectrum, "-o", folder / "long").code == 4
    assert degen("scan", folder / "copied-series-with-a-name", *SMALL, "-o", folder / "copied").code == 0
    return folder


def test_what_failed_comes_first_with_its_reason(folder: Path) -> None:
    lines = degen("show", folder / "long").out.splitlines()
    assert lines[0] == "50 checkpoints of 1 model: 49 ok, 1 failed"
    assert lines[1].startswith("failed: long-series-with-a-name@step17: ")
    assert "model.safetensors" in lines[1]


def test_what_got_worse_comes_first_as_the_verdicts_of_the_run_say_it(tmp_path: Path) -> None:
    run = tmp_path / "demo"
    assert degen("scan", "--tokens", 1000, "--context", 64, "--threads", 1, "-o", run).code == 0
    unjudged = degen("show", run).out.partition("\n\n")[0]
    assert re.search(r"^worse: overfit: loss \d\.\d+ → \d\.\d+$", unjudged, re.MULTILINE)
    assert "healthy" not in unjudged.replace("3 models", "")
    assert f"degen saturation {run} says" in unjudged
    verdicts = degen("saturation", run, "--json").json()["rows"]
    judged = degen("show", run).out.partition("\n\n")[0]
    for row in verdicts:
        said = f"{row['metric']} since step {row['onset_step']}"
        lines = [line for line in judged.splitlines() if line.startswith(f"worse: {row['model']}: ")]
        assert any(said in line for line in lines) == (row["verdict"] == "saturated")
    assert "says whether" not in judged


def test_show_and_saturation_draw_the_same_curve(folder: Path) -> None:
    drawn = {
        command: re.findall(r"singular_entropy +([▁▂▃▄▅▆▇█]+)", degen(command, folder / "copied").out)[0]
        for command in ("show", "saturation")
    }
    assert len(set(drawn["show"])) > 1
    assert drawn["show"][:6] == drawn["saturation"]  # which leaves the copy out


def test_a_long_series_is_thinned_on_a_terminal_alone(folder: Path) -> None:
    code, thinned = on_terminal("show", folder / "long", width=120, streams="stdout")
    assert code == 0
    shown = re.findall(r"^ long-series-with-a-name +(step\d+)", thinned, re.MULTILINE)
    assert shown[0] == "step0"
    assert shown[-1] == "step49"
    assert "step17" in shown
    assert 40 <= len(shown) < 50
    assert f"{len(shown)} of 50 checkpoints; degen show {folder / 'long'} --all shows every one" in " ".join(
        thinned.split()
    )
    for screen in (
        on_terminal("show", folder / "long", "--all", streams="stdout")[1],
        degen("show", folder / "long").out,
    ):
        assert len(set(re.findall(r"\bstep\d+\b", screen))) == 50


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["ok", "failed"])), max_size=120), st.integers(1, 60))
def test_thinning_keeps_ends_and_failures_in_order(rows: list[tuple[str, str]], most: int) -> None:
    made = [{"model": model, "status": status, "i": i} for i, (model, status) in enumerate(sorted(rows))]
    kept = thin(list(made), most)
    assert [row["i"] for row in kept] == sorted({row["i"] for row in kept})
    assert all(row in kept for row in made if row["status"] == "failed")
    for model in {row["model"] for row in made}:
        of_model = [row for row in made if row["model"] == model]
        assert of_model[0] in kept
        assert of_model[-1] in kept
    ok = [row for row in kept if row["status"] == "ok"]
    assert len(made) <= most or len(ok) <= max(most, 3 * len({row["model"] for row in made}))


def test_one_duplicate_adds_a_line_and_not_one_for_each_row(folder: Path) -> None:
    _, screen = on_terminal("show", folder / "copied", streams="stdout")
    table = screen.partition("─\n")[2].partition("\n\n")[0].splitlines()
    assert sum("step" in line for line in table if not line.startswith("    ")) == 7
    assert len(table) <= 9
    assert sum("duplicate" in line for line in table) == 1


def test_colours_are_shown_on_a_terminal_and_nowhere_else(folder: Path) -> None:
    _, plain = on_terminal("show", folder / "copied", width=200)
    _, coloured = on_terminal("show", folder / "copied", width=200, colours=True)
    assert COLOUR.search(coloured)
    assert "\x1b[32mok\x1b[0m" in coloured
    assert COLOUR.sub("", coloured) == plain
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert on_terminal("show", folder / "copied", width=200, colours=True, **environment)[1] == plain
    assert "\x1b" not in degen_process("show", folder / "copied", FORCE_COLOR="1").out


def test_a_long_sparkline_uses_a_wide_terminal(folder: Path) -> None:
    narrow, wide = (on_terminal("show", folder / "long", width=width, streams="stdout")[1] for width in (80, 200))
    block = "[▁▂▃▄▅▆▇█]+"
    lengths = [max(map(len, re.findall(f"{block}(?: {block})*", screen))) for screen in (narrow, wide)]
    assert lengths == [30, 50]
    assert len(sparkline([float(i) for i in range(500)])) == 30
