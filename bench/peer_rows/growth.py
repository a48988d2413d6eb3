"""Rows of growth: how the processor time of a scan grows with tokens, checkpoints and layers, and the demo's."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tables import run_process

from .costs import Cost, Row, compare, in_turn, process_cost
from .environments import OLD, old_degen
from .inputs import INPUTS, corpus, growing_layers
from .options import RUNS, Options, scan_command


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Return the fixed cost a and the exponent p of a + b·nᵖ, by least squares of relative differences."""
    import numpy as np
    from scipy.optimize import least_squares

    n, t = np.asarray(sizes, dtype=float), np.asarray(seconds, dtype=float)
    slope = (t[-1] - t[0]) / (n[-1] - n[0])
    begin = [max(t[0] - slope * n[0], 0.0), slope * n[-1], 1.0]

    def differences(x: Sequence[float]) -> object:
        return (x[0] + x[1] * (n / n[-1]) ** x[2]) / t - 1

    found = least_squares(differences, begin, bounds=([0, 0, 0.2], [np.inf, np.inf, 3]))
    return float(found.x[0]), float(found.x[2])


def growth(quantity: str, options: Options) -> Row:
    """Return the row of one quantity: sizes, seconds of each (the least of three), the fixed cost and the exponent."""
    command, sizes = _commands(quantity, options)
    rounds = [[process_cost(command(size), 1)[0].cpu for size in sizes] for _ in range(options.at_most(3))]
    seconds = [min(costs) for costs in zip(*rounds, strict=True)]
    fixed, power = exponent(sizes, seconds)
    return {
        "what": quantity, "sizes": list(sizes), "seconds": seconds, "fixed": fixed, "exponent": power,
        "pairs": options.at_most(3),
    }  # fmt: skip


def _commands(quantity: str, options: Options) -> tuple[Callable[[int], list[str]], Sequence[int]]:
    """Return the command of a scan of a size, and the sizes."""
    out, doubled = RUNS / "growth", 3 if options.quick else 5

    def command(series: Path, *more: object) -> list[str]:
        shutil.rmtree(out, ignore_errors=True)
        words = ("--corpus", corpus(documents=800), "--threads", 1, "--batch-size", 4, "-o", out)
        return scan_command(series, *words, *more)

    if quantity == "tokens":
        first = 2048 if options.quick else 8192
        return lambda n: command(growing_layers(8), "--tokens", n), [first * 2**i for i in range(doubled)]
    if quantity == "layers":
        return lambda n: command(growing_layers(n), "--tokens", 4096), [4 * 2**i for i in range(doubled)]
    series, longest = INPUTS / "growth-series", 20 * 2 ** (doubled - 1)
    if not (series / f"step{longest - 1}").exists():
        make = "import sys; from tiny import make_series; make_series(sys.argv[1], range(int(sys.argv[2])))"
        run_process([sys.executable, "-c", make, str(series), str(longest)])
    return (
        lambda n: command(series, "--tokens", 400, "--context", 32, "--steps", ",".join(map(str, range(n)))),
        [20 * 2**i for i in range(doubled)],
    )


def demo(options: Options) -> Row:
    """Return the row of a scan of the demo beside an older degen.

    Raises:
        MissingPeerError: the older one cannot be installed here.
    """
    python = old_degen()
    out = RUNS / "demo"

    def scan(of: Path | str, apart: bool) -> Cost:
        shutil.rmtree(out, ignore_errors=True)
        steps = ("--steps", "3000") if options.quick else ()
        command = scan_command("--threads", options.threads, *steps, "-o", out, python=of)
        return process_cost(command, options.threads, apart=apart)[0]

    calls = {"new": lambda: scan(sys.executable, False), "old": lambda: scan(python, True)}
    costs = in_turn(calls, options.at_most(7))
    return compare(costs["new"], costs["old"]) | {
        "what": "`degen scan` of the demo", "peer": f"degen at {OLD}", "unit": "s", "bar": {"wall": 0.7}, "notes": [],
    }  # fmt: skip
