"""Every command on a terminal of 80 columns: each cell that a pipe shows is found whole, and no line is longer."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from faults.command import degen
from terminal import found_whole, on_terminal
from tiny import make_checkpoint, make_tokenizer

import degen as package

WIDTH = 80
DEMO = Path(package.__file__).parent / "demo" / "series"
RUNS = """model,parameters,tokens_seen,step,loss,family,glue
tiny-with-a-long-name,1000000,20000000,100,5.1234567,dense-transformer,0.5123
tiny-with-a-long-name-2,2000000,40000000,100,4.6234567,dense-transformer,0.5523
small-with-a-long-name,4000000,80000000,100,4.2234567,dense-transformer,0.5723
small-with-a-long-name-2,8000000,160000000,100,3.9234567,state-space-model,0.6023
large-with-a-long-name,16000000,320000000,100,3.7234567,state-space-model,0.6523
large-with-a-long-name-2,32000000,640000000,100,3.5234567,state-space-model,0.6123
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the demo, one of two trainings as a Trainer leaves them, the series of those, and a table."""
    folder = tmp_path_factory.mktemp("screens")
    (folder / "runs.csv").write_text(RUNS, encoding="utf-8")
    for name in ("pretraining-first", "pretraining-second"):
        make_tokenizer(folder / name)
        for step in (1000, 6000, 12000):
            make_checkpoint(folder / name / f"checkpoint-{step}", "gpt2", seed=step + len(name))
    trainings = (folder / "pretraining-first", folder / "pretraining-second")
    small = ("--tokens", "1000", "--context", "64", "--threads", "1")
    assert degen("scan", "--steps", "0,500,1000,2000,3000", "-o", folder / "demo", *small).code == 0
    assert degen("rank", *trainings, "--ranks", "1,2", "--within", "1e-6", "-o", folder / "ranks", *small).code == 0
    assert degen("scan", *trainings, "-o", folder / "trainings", *small).code == 0
    return folder


SCREENS = [
    *(f"show {run}" for run in ("demo", "trainings")),
    *(f"saturation {run} --tokens-per-step 1000" for run in ("demo", "trainings")),
    *(f"gate {run} --rule 'loss.rise[step=all] < 0.02' --rule 'anisotropy<0.6'" for run in ("demo", "trainings")),
    "gate trainings --rule 'bottleneck_rank < 9' --rule 'anisotropy[layer=all,step=all] < 0.6' --confidence 0.95",
    "show ranks",
    "audit pretraining-first",
    "scan pretraining-first --context 64 --dry-run",
    "probes",
    "suites",
    "corpora",
    "export demo --table layers --to layers.csv",
    "scaling fit runs.csv --predict N=1e9,D=1e11 --bootstrap 5",
    "scaling slopes runs.csv --architecture family --downstream glue",
    "scaling pareto runs.csv --architecture family --downstream glue",
    "scaling cost pretraining-first pretraining-second --tokens 1e9 --context 64",
    "scaling cost --t5 NL=4:16,EL=48,DM=512,FF=2048,NH=8,KV=32,GATED=1 --context 64 --target 16",
    "show no-such-folder-with-a-very-long-name/that-has/another-long-name-in-it/and-one-more",
]


@pytest.mark.parametrize("command", SCREENS)
def test_every_cell_is_found_whole_on_80_columns(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", command)]
    piped = degen(*words)
    code, screen = on_terminal(*words, width=WIDTH, cwd=folder, streams="stderr" if piped.code == 2 else "stdout")
    assert code == piped.code, screen
    lines = screen.splitlines()
    whole = piped.err if piped.code == 2 else piped.out
    for line, following in itertools.pairwise([*whole.splitlines(), ""]):
        cells = re.split(r"\s{2,}", line.strip())
        if set(following.strip()) == {"─"}:  # heads: of several lines, before their value, or gone where there is none
            cells = [word for word in line.split() if word in screen.split() and f"{word}:" not in screen.split()]
        for cell in (c for c in cells if not re.fullmatch(r"[\d,.]+ MB", c)):  # memory depends on the process
            assert found_whole(cell, lines) or set(cell) == {"─"}, f"{cell!r} is not whole in\n{screen}"
    assert all(len(line) <= WIDTH or " " not in line.strip() for line in lines), screen


def test_a_pipe_gets_a_line_for_each_row_however_long(folder: Path) -> None:
    rows = [line for line in degen("saturation", folder / "demo").out.splitlines() if "ends " in line]
    assert all(line.split()[0] in ("healthy", "broken", "overfit") for line in rows)
    assert max(map(len, rows)) > 120


def test_a_scan_on_a_terminal_says_what_it_does(folder: Path) -> None:
    command = ("scan", "pretraining-first", "--context", "64", "--tokens", "10000", "--threads", "1", "-o", "new")
    code, screen = on_terminal(*command, cwd=folder, streams="stderr")
    assert code == 0
    assert screen.startswith("scanning into new\n")
    texts = ("finding checkpoints", "tokenising text", "loading", "measuring", "all checkpoints", "3/3 done")
    positions = [screen.find(text) for text in texts]
    assert -1 not in positions
    assert positions[:2] == sorted(positions[:2])
    assert "[3/3] pretraining-first@checkpoint-12000 ok" in screen
