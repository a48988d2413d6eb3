"""`scan`, training of `rank`, `export` and `report`, killed at moments spread over their time, and asked for again.

`make faults` kills each of them 25 times by SIGKILL and 25 times by SIGTERM, 200 times in all (`DEGEN_KILLS`), and
`make test` kills the training and an export once by SIGKILL: `test_kill` cuts scans, and a report takes seconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults.warm import Warm

import degen

SEED = 20_240_411
KILLS = int(os.environ.get("DEGEN_KILLS", 1))  # of each command by each signal
IN_A_ROW = 5  # kills of one folder, before the command is left to finish
MODULES = (
    "degen.probes.rank", "degen.rank.training", "degen.runs.export", "pyarrow.csv", "duckdb", "altair", "vl_convert",
    "jinja2", "degen.report.write", "degen.report.write_figures", "degen.report.papers",
)  # fmt: skip

SIGNALS = pytest.mark.parametrize(
    "sent",
    [pytest.param(signal.SIGKILL, id="SIGKILL"), pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.faults)],
)


@dataclass(frozen=True)
class Killed:
    """A command that is going to be killed.

    Attributes:
        args: gives its words, for a folder of its own.
        keeps: whether what was finished before a kill must be there after the next one, too.
    """

    args: Callable[[Path], tuple[object, ...]]
    keeps: bool = False


@pytest.fixture(scope="module")
def commands(warm: Warm, run: degen.Run, series: Path, corpus: Path) -> dict[str, Killed]:
    """Return every command by its name."""
    warm.load(MODULES)
    scanned = (series, "--corpus", corpus, "--tokens", 512, "--context", 64, "--threads", 1, "--steps", "0,100")
    trained = ("--method", "trained,whitened", "--ranks", "2,8", "--train-tokens", 6000, "--train-windows", 2)
    exported = ("export", run.path, "--table", "windows", "--to")
    return {
        "scan": Killed(lambda out: ("scan", *scanned, "--out", out), keeps=True),
        "rank": Killed(lambda out: ("rank", *scanned, *trained, "--out", out), keeps=True),
        "export .parquet": Killed(lambda out: (*exported, out / "windows.parquet")),
        "export .csv": Killed(lambda out: (*exported, out / "windows.csv")),
        "export .json": Killed(lambda out: (*exported, out / "windows.json")),
        "export .duckdb": Killed(lambda out: (*exported, out / "windows.duckdb")),
        "report": Killed(lambda out: ("report", run.path, "--out", out / "page.html", "--figures", out / "figures")),
    }


def content(file: Path) -> bytes:
    """Return the bytes of a file; of a DuckDB file, which has bytes that nobody chose, its tables."""
    if file.suffix != ".duckdb":
        return file.read_bytes()
    import duckdb

    with duckdb.connect(str(file), read_only=True) as connection:
        names = [name for (name,) in connection.execute("SHOW TABLES").fetchall()]
        tables = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}
    return json.dumps(tables).encode()


def finished(out: Path, whole: bool) -> dict[str, bytes]:
    """Return what a reader of a folder sees, but for the table `timing`; `run.json` only once all is `whole`."""
    names = [(file, file.relative_to(out)) for file in sorted(out.rglob("*")) if file.is_file()]
    seen = [(file, name) for file, name in names if not any(part.startswith(".") for part in name.parts)]
    passed_over = {"timing"} if whole else {"timing", "run.json"}
    return {str(name): content(file) for file, name in seen if name.parts[0] not in passed_over}


def leftovers(out: Path) -> list[str]:
    """Return the names of the files that readers pass over, but for the lock of a run."""
    hidden = [file for file in out.rglob("*") if file.is_file() and file.name.startswith(".")]
    return [file.name for file in hidden if file.name != ".lock"]


def timed(warm: Warm, args: tuple[object, ...], log: Path) -> float:
    """Run a command undisturbed, and return the seconds that it took."""
    start = time.monotonic()
    assert warm.run(args, log) == 0, log.read_text()
    return time.monotonic() - start


def killed_often(warm: Warm, command: Killed, sent: signal.Signals, kills: int, tmp_path: Path) -> None:
    """Kill a command so many times, each time see that nothing half is there, and let it finish every few times."""
    log, draw = tmp_path / "log", random.Random(SEED)
    (tmp_path / "undisturbed").mkdir()
    seconds = timed(warm, command.args(tmp_path / "undisturbed"), log)
    expected, parts = (finished(tmp_path / "undisturbed", whole) for whole in (True, False))
    assert parts
    killed, tried, runs = 0, 0, 0
    while killed < kills:
        out = tmp_path / f"killed{runs}"
        out.mkdir()
        kept: dict[str, bytes] = {}
        for _ in range(min(IN_A_ROW, kills - killed)):
            tried += 1
            assert tried < 10 * kills + 10, "it is never killed"
            after = draw.uniform(0, seconds)
            code = warm.cut(command.args(out), log, sent, tmp_path, after)
            assert code in (-sent, 0), log.read_text()
            killed += code != 0
            now = finished(out, whole=False)
            assert now.items() <= parts.items()
            assert kept.keys() <= now.keys() or not command.keeps
            kept = now
            if code == 0:
                break
        before = leftovers(out)
        assert warm.run(command.args(out), log) == 0, log.read_text()
        assert finished(out, whole=True) == expected
        assert len(before) <= 2 * IN_A_ROW  # DuckDB may leave two
        assert leftovers(out) == ([] if command.keeps else before)  # a scan knows its own folder, and sweeps it
        runs += 1
    print(f"{killed} kills by {sent.name} in {tried} tries and {runs} runs, {seconds:.2f} s undisturbed")


@SIGNALS
@pytest.mark.parametrize(
    "name", ["rank", *(pytest.param(name, marks=pytest.mark.faults) for name in ("scan", "report"))]
)
def test_a_killed_command_asked_for_again_gives_what_an_undisturbed_one_does(
    warm: Warm, commands: dict[str, Killed], tmp_path: Path, name: str, sent: signal.Signals
) -> None:
    killed_often(warm, commands[name], sent, KILLS, tmp_path)


@SIGNALS
def test_a_killed_export_asked_for_again_gives_what_an_undisturbed_one_does(
    warm: Warm, commands: dict[str, Killed], tmp_path: Path, sent: signal.Signals
) -> None:
    names = [name for name in commands if name.startswith("export")]
    share, more = divmod(KILLS, len(names))
    for index, name in enumerate(names):
        folder = tmp_path / str(index)
        folder.mkdir()
        if kills := share + (index < more):
            killed_often(warm, commands[name], sent, kills, folder)


@SIGNALS
def test_a_killed_export_leaves_the_other_tables_of_a_duckdb_file(
    warm: Warm, run: degen.Run, commands: dict[str, Killed], tmp_path: Path, sent: signal.Signals
) -> None:
    log, draw, (file, args) = tmp_path / "log", random.Random(SEED), (tmp_path / "windows.duckdb", commands)
    assert warm.run(("export", run.path, "--table", "layers", "--to", file), log) == 0, log.read_text()
    before, words = content(file), args["export .duckdb"].args(tmp_path)
    (tmp_path / "whole").mkdir()
    seconds = timed(warm, commands["export .duckdb"].args(tmp_path / "whole"), log)
    for _ in range(max(KILLS // 5, 1)):
        warm.cut(words, log, sent, file, draw.uniform(0, seconds))
        assert json.loads(content(file))["layers"] == json.loads(before)["layers"]
    assert warm.run(words, log) == 0, log.read_text()
    assert list(json.loads(content(file))) == ["layers", "windows"]
