"""A sample of mutants: 100 small faults, each planted in a copy of the repository, and the tests that notice them.

    python tests/mutation/mutants.py [--seed S] [--count N] [--only PATTERN] [--levels N]
        [--part I/N] [--list]

Faults are drawn by a seed, and by their text alone, from formulas (40 of 100), the gate, saturation and readers (20
each). Each meets the tests that `choose_tests` gives, until one fails (which must pass without the fault), or hangs; a
fault that none notices survives. Exit code 1 where fewer than 90 % are noticed. What was found is written to
`build/mutants-1-of-1.json`.

Of the hundred of seed 20240411, 22 were at first noticed by none of the nearest tests, to which tests were added. 91
were then noticed, and nine were not: five that are equivalent (`equivalent.toml`), one of `rise._support`, two of
`metric_values` and one of `module_tables`, for which there is a test since.

A process that has the large libraries loaded forks a child for each run of pytest: 100 mutants take some twenty
minutes of one core.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT / "tests")

from mutation.choose_tests import choose_tests  # noqa: E402
from mutation.operators import Faults, Mutant, is_python  # noqa: E402

SEED = 20_240_411
BAR = 0.9  # of the mutants that must be noticed
LIMIT = 150.0  # seconds for the tests of a level, or FACTOR times what they take without a fault
FACTOR = 4.0
KINDS: dict[str, tuple[int, tuple[str, ...]]] = {  # of 100 mutants so many, in these files
    "formulas": (40, (
        "probes/*.py", "degen/stats/*.py", "degen/states/*.py", "degen/rank/*.py", "degen/weight_spectra/*.py",
        "degen/delta/*.py", "degen/laws/*.py", "degen/similarity/*.py", "degen/ngram/*.py", "degen/scaling/**/*.py",
        "degen/forward/cross_entropy.py", "degen/forward/head_entropy.py",
    )),
    "gate": (20, ("degen/gate/*.py",)),
    "saturation": (20, ("degen/saturation/*.py",)),
    "readers": (20, ("degen/readers/**/*.py", "degen/text/corpus.py")),
}  # fmt: skip
MODULES = (
    "numpy", "scipy.optimize", "scipy.stats", "scipy.linalg", "scipy.special", "pyarrow.parquet", "pyarrow.dataset",
    "pyarrow.csv", "pyarrow.compute", "torch", "transformers", "transformers.models.gpt_neox.modeling_gpt_neox",
    "safetensors.torch", "tokenizers", "pandas", "polars", "duckdb", "rich.table", "typer", "pytest",
)  # fmt: skip
LOADED_BEFORE = "ignore::pytest.PytestAssertRewriteWarning"  # plugins that the libraries loaded before pytest began


@dataclass
class Outcome:
    """What came of a mutant.

    Attributes:
        mutant: in one line.
        noticed: by which test, or `hangs`; empty where none noticed.
        seconds: of its tests.
        equivalent: why no test can notice it; empty where one could.
    """

    mutant: str
    noticed: str
    seconds: float
    equivalent: str


def draw(root: Path, seed: int, count: int) -> list[Mutant]:
    """Return mutants of each kind, its share: those whose hash is the least, which stay while others come and go."""
    chosen: list[Mutant] = []
    for share, patterns in KINDS.values():
        files = sorted({file for pattern in patterns for file in root.glob(pattern)})
        sources = {str(file.relative_to(root)): file.read_text(encoding="utf-8") for file in files}
        found = [mutant for name, source in sources.items() for mutant in Faults(name, source).collect()]
        found.sort(key=lambda mutant: priority(mutant, sources[mutant.file], seed))
        sound = (mutant for mutant in found if is_python(mutant.apply(sources[mutant.file])))
        chosen += sorted(itertools.islice(sound, round(share * count / 100)))
    return chosen


def priority(mutant: Mutant, source: str, seed: int) -> bytes:
    """Return a hash of a mutant's file, its line before and after, and a seed."""
    start, stop = source.rfind("\n", 0, mutant.start) + 1, source.find("\n", mutant.end)
    line, faulty = source[start:stop], source[start : mutant.start] + mutant.new + source[mutant.end : stop]
    return hashlib.sha256("\0".join((str(seed), mutant.file, line.strip(), faulty.strip())).encode()).digest()


def copy_repository(root: Path, to: Path) -> None:
    """Copy what git does not ignore, so that the copy is imported in place of an installed package."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=root, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)
    for package in ("probes", "cli"):
        (to / "degen" / package).symlink_to(to / package)
    # by hash: a mutant may have the size and the second of what it replaces
    compiling = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "."]
    subprocess.run(compiling, cwd=to, check=True)


class FirstFailure:
    """A plugin of pytest that keeps the first failure, of a test or of a file that cannot be collected."""

    def __init__(self) -> None:
        self.node = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep a test that failed."""
        if report.failed:
            self.node = self.node or report.nodeid

    pytest_collectreport = pytest_runtest_logreport


def child(copy: Path, tests: Sequence[str], log: Path, reply: int) -> None:
    """Become pytest on some tests of the copy; write the first failure to a pipe, `-` where all pass."""
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(copy)
    sys.path[:] = [str(copy), *[path for path in sys.path if not path.startswith(str(ROOT / "tests"))]]
    for name in [name for name in sys.modules if name.split(".")[0] == "mutation"]:
        del sys.modules[name]
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        import pytest

        first = FirstFailure()
        words = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", LOADED_BEFORE]
        code = int(pytest.main([*words, *tests], plugins=[first]))
        os.write(reply, (first.node or ("-" if code in (0, 5) else f"pytest ends with {code}")).encode())
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


class Runner:
    """Runs tests on a copy of the repository, with a fault or without."""

    def __init__(self, copy: Path, log: Path) -> None:
        self._copy = copy
        self._log = log
        self._sound: dict[tuple[str, ...], float] = {}  # tests that pass without a fault, and their seconds
        self.unsound: set[str] = set()  # tests that fail without one, which are passed over

    def run(self, tests: Sequence[str], limit: float) -> tuple[str | None, float]:
        """Return the first failure, `-` without one, None where they hang, and the seconds."""
        ours, theirs = os.pipe()
        start = time.monotonic()
        pid = os.fork()
        if pid == 0:
            child(self._copy, tests, self._log, theirs)
        os.close(theirs)
        ended, hangs = 0, False
        while not ended:
            ended, _ = os.waitpid(pid, os.WNOHANG)
            if not ended and time.monotonic() > start + limit:
                hangs = True
                os.killpg(pid, signal.SIGKILL)
                ended, _ = os.waitpid(pid, 0)
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # what it started and left
        with os.fdopen(ours, "rb") as pipe:
            reply = "" if hangs else pipe.read().decode()
        return None if hangs else reply or "the process died", time.monotonic() - start

    def sound_seconds(self, tests: Sequence[str]) -> float | None:
        """Return the seconds that tests take without a fault; None where they fail or hang."""
        key = tuple(tests)
        if key not in self._sound:
            failure, seconds = self.run(tests, 3 * LIMIT)
            self._sound[key] = seconds if failure == "-" else -1.0
        return self._sound[key] if self._sound[key] >= 0 else None

    def judge(self, mutant: Mutant, levels: Sequence[Sequence[str]]) -> tuple[str, float]:
        """Return which test notices a mutant, empty without one, and the seconds that it took."""
        file, total = self._copy / mutant.file, 0.0
        source = file.read_text(encoding="utf-8")
        for level in levels:
            limit = LIMIT
            while True:
                skipped = [f"--deselect={node}" for node in sorted(self.unsound)]
                file.write_text(mutant.apply(source), encoding="utf-8")
                try:
                    failure, seconds = self.run([*level, *skipped], limit)
                finally:
                    file.write_text(source, encoding="utf-8")
                total += seconds
                if failure == "-":
                    break
                if failure is None:
                    sound = self.sound_seconds([*level, *skipped])
                    if sound is None:
                        break
                    if sound * FACTOR <= limit:
                        return "hangs", total
                    limit = sound * FACTOR  # the tests are slow, which is not of the mutant's making
                    continue
                node = failure if "::" in failure or failure.endswith(".py") else ""
                if self.sound_seconds([node] if node else [*level, *skipped]) is not None:
                    return failure, total
                if not node:
                    break
                self.unsound.add(node)
        return "", total


def equivalents(root: Path) -> dict[tuple[str, str, str], str]:
    """Return why no test can notice some mutants, by file, line of code and change."""
    with (root / "tests" / "mutation" / "equivalent.toml").open("rb") as file:
        return {(e["file"], e["code"], e["change"]): e["why"] for e in tomllib.load(file)["mutant"]}


def judge_all(mutants: Sequence[Mutant], folder: Path, levels: int) -> list[Outcome]:
    """Return what came of each mutant under so many levels of tests, and print it; equivalent ones are not run."""
    copy = folder / "copy"
    copy.mkdir(parents=True)
    copy_repository(ROOT, copy)
    for name in MODULES:
        importlib.import_module(name)
    runner, known = Runner(copy, folder / "log"), equivalents(ROOT)
    outcomes: list[Outcome] = []
    for number, mutant in enumerate(mutants, 1):
        code = (ROOT / mutant.file).read_text(encoding="utf-8").splitlines()[mutant.line - 1].strip()
        why = known.get((mutant.file, code, mutant.change), "")
        noticed, seconds = ("", 0.0) if why else runner.judge(mutant, choose_tests(ROOT, mutant.file)[:levels])
        outcomes.append(Outcome(str(mutant), noticed, round(seconds, 1), why))
        print(f"[{number}/{len(mutants)}] {seconds:5.1f} s  {noticed or 'SURVIVES'}  {mutant}", flush=True)
    for node in sorted(runner.unsound):
        print(f"passed over, for it fails without a fault: {node}")
    return outcomes


def main() -> int:
    """Judge the sample, print a summary, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--only", default="", help="only mutants whose line fits this pattern")
    parser.add_argument("--levels", type=int, default=3, help="levels of tests: 1 for the nearest alone")
    parser.add_argument("--part", default="1/1", help="only one part of them, as 2/4, beside which others may run")
    parser.add_argument("--list", action="store_true", help="list the mutants, and run nothing")
    options = parser.parse_args()
    part, parts = map(int, options.part.split("/"))
    drawn = draw(ROOT, options.seed, options.count)
    drawn = drawn[(part - 1) * len(drawn) // parts : part * len(drawn) // parts]
    mutants = [mutant for mutant in drawn if re.search(options.only, str(mutant))]
    if options.list:
        print("\n".join(map(str, mutants)))
        return 0
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    folder = ROOT / "build" / f"mutants-{part}-of-{parts}"
    shutil.rmtree(folder, ignore_errors=True)
    start = time.monotonic()
    outcomes = judge_all(mutants, folder, options.levels)
    minutes = (time.monotonic() - start) / 60
    folder.with_suffix(".json").write_text(json.dumps([asdict(o) for o in outcomes], indent=1, ensure_ascii=False))
    noticed = sum(bool(outcome.noticed) for outcome in outcomes)
    print(f"seed {options.seed}: {noticed} of {len(outcomes)} mutants noticed, in {minutes:.0f} minutes; survivors:")
    for outcome in outcomes:
        if not outcome.noticed:
            print(f"  {outcome.mutant}  {'equivalent: ' + outcome.equivalent if outcome.equivalent else ''}")
    return 0 if noticed >= BAR * len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
