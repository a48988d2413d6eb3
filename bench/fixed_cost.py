"""What a checkpoint costs `degen scan` beyond its pass, and what a scan costs beyond its checkpoints.

    PYTHONPATH=.:tests python bench/fixed_cost.py [--checkpoints 60] [--against PYTHON] [--pairs 3]

Two scans of a series of tiny checkpoints, of a few and of all of them: the slope is the cost of a checkpoint, and what
is left is that of the scan. `--against` names the interpreter of an environment that has another version of degen,
which is measured in turn with this one (A B A B), as is the scan of the demo. CPU seconds of processes of their own.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from tables import run_process

FEW = 10
_MAKE = """
import sys
from tiny import make_corpus, make_series
folder, count = sys.argv[1], int(sys.argv[2])
make_series(folder + "/all", [100 * i for i in range(count)])
make_corpus(folder + "/corpus.jsonl")
"""
_SCAN = ["--tokens", "400", "--context", "32", "--threads", "1"]


def scan_seconds(python: str, folder: Path, arguments: list[str]) -> float:
    """Return the CPU seconds of a scan into a new run, by the degen that is installed beside an interpreter."""
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    return run_process([str(Path(python).with_name("degen")), "scan", *arguments, "-o", str(out)], apart=True)[0]


def measure(python: str, folder: Path, count: int, with_demo: bool) -> tuple[float, float, float]:
    """Return the CPU seconds of a checkpoint, of a scan without any, and of the demo (NaN if it is not measured)."""
    corpus = ["--corpus", str(folder / "corpus.jsonl")]
    few = ["--steps", ",".join(str(100 * i) for i in range(FEW))]
    some = scan_seconds(python, folder, [str(folder / "all"), *few, *corpus, *_SCAN])
    every = scan_seconds(python, folder, [str(folder / "all"), *corpus, *_SCAN])
    slope = (every - some) / (count - FEW)
    demo = scan_seconds(python, folder, ["--threads", "1"]) if with_demo else float("nan")
    return slope, some - FEW * slope, demo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=int, default=60)
    parser.add_argument("--against", type=lambda path: str(Path(path).absolute()))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--no-demo", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_process([sys.executable, "-c", _MAKE, name, str(asked.checkpoints)])
        pythons = [sys.executable, *([asked.against] if asked.against else [])]
        found: list[list[tuple[float, float, float]]] = []
        for _ in range(asked.pairs):
            found.append([measure(p, folder, asked.checkpoints, not asked.no_demo) for p in pythons])
    print(f"{asked.checkpoints} checkpoints of 2 layers, 400 tokens; one thread; CPU, medians of {asked.pairs} in turn")
    for i, (label, unit) in enumerate((("a checkpoint", 1e3), ("a scan without any", 1), ("the demo", 1))):
        own = [pair[0][i] * unit for pair in found]
        line = f"{label:20} {statistics.median(own):8.1f} {'ms' if unit > 1 else 's'}"
        if asked.against:
            ratios = [pair[0][i] / pair[1][i] for pair in found]
            other = statistics.median(pair[1][i] * unit for pair in found)
            line += (
                f"   other {other:8.1f}   ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
            )
        print(line)


if __name__ == "__main__":
    main()
