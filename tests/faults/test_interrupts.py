"""Ctrl-C at moments spread over a process, from the first line of degen's own to the end of its shutdown.

Before that line Python itself starts, for some hundredths of a second, and answers in its own way.
`make faults` takes 100 moments of each command, `make test` a few.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.command import SMALL, executable

import degen

SEED = 20_240_411
FEW = {"show": 3, "gate": 3, "scan": 2}  # moments of each command where DEGEN_INTERRUPTS says nothing else
STARTED = "degen.cli.start"  # the module that handles Ctrl-C, once it is loaded


class Process:
    """A real `degen …` whose stderr also says which modules it has loaded."""

    def __init__(self, args: tuple[object, ...], folder: Path) -> None:
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [executable(), *map(str, args)], stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder,
                env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1", "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        while STARTED not in self._err.read_text():
            assert self._process.poll() is None, self._err.read_text()
            time.sleep(0.001)
        self.start = time.monotonic()

    def interrupt(self) -> None:
        """Press Ctrl-C; a process that has ended by now takes no harm."""
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> tuple[int, str, list[str]]:
        """Return the exit code, stdout, and the lines of stderr that are degen's own."""
        code = self._process.wait(timeout=120)
        lines = [line for line in self._err.read_text().splitlines() if not line.startswith("import time:")]
        return code, self._out.read_text(), lines


@pytest.fixture
def commands(run: degen.Run, series: Path, corpus: Path) -> dict[str, Callable[[Path], tuple[object, ...]]]:
    """A command for each name, given a folder of its own."""
    return {
        "show": lambda folder: ("show", run.path),
        "gate": lambda folder: ("gate", run.path, "--rule", "loss.rise[step=all] < 9", "--junit", folder / "junit.xml"),
        "scan": lambda folder: ("scan", series, "--corpus", corpus, *SMALL, "--out", folder / "run"),
    }


@pytest.mark.parametrize("name", ["show", "gate", "scan"])
def test_ctrl_c_at_any_moment_is_one_line_or_a_finished_run(
    name: str, commands: dict[str, Callable[[Path], tuple[object, ...]]], tmp_path: Path
) -> None:
    print(f"seed {SEED}")
    draw, moments = random.Random(SEED), int(os.environ.get("DEGEN_INTERRUPTS", FEW[name]))
    (tmp_path / "whole").mkdir()
    whole = Process(commands[name](tmp_path / "whole"), tmp_path / "whole")
    finished = whole.wait()
    seconds = time.monotonic() - whole.start
    assert finished[0] == 0
    ended = {0: 0, 130: 0}
    for i in range(moments):
        folder = tmp_path / str(i)
        folder.mkdir()
        process = Process(commands[name](folder), folder)
        if i:  # the first at once: a machine that others leave alone may finish before any later moment
            time.sleep(1.1 * seconds * (i + draw.random()) / moments)
        process.interrupt()
        code, out, lines = process.wait()
        assert code in ended, (i, code, lines)
        ended[code] += 1
        if code == 0:
            assert out == finished[1]
        else:
            errors = [line for line in lines if not line.startswith(("[", "warning: "))]  # progress, few documents
            assert len(errors) == 1, lines
            assert errors[0].startswith("error: interrupted; "), lines
            assert lines[-1] == errors[0]
        assert not list(folder.rglob("*.partial"))
    print(f"{name}: {seconds:.2f} s uncut, {ended[130]} interrupted, {ended[0]} finished")
    assert ended[130] > 0


def test_a_second_ctrl_c_ends_the_process_at_once(
    commands: dict[str, Callable[[Path], tuple[object, ...]]], tmp_path: Path
) -> None:
    process = Process(commands["scan"](tmp_path), tmp_path)
    while not (tmp_path / "run" / "run.json").exists():
        time.sleep(0.001)
    for _ in range(4):
        process.interrupt()
        time.sleep(0.002)
    code, _, lines = process.wait()
    assert code == 130
    assert [line for line in lines if not line.startswith(("[", "warning: "))] == [
        "error: interrupted; what was finished is kept, and the same command goes on from there"
    ]


def test_a_process_that_is_to_ignore_ctrl_c_does(run: degen.Run, tmp_path: Path) -> None:
    """As `nohup` and a shell's `&` start one."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = Process(("show", run.path), tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    process.interrupt()
    code, out, lines = process.wait()
    assert (code, lines) == (0, [])
    assert "tiny" in out
