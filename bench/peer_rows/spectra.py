"""Rows of the head's spectrum: beside other libraries on one head, and over a series beside reading and factorising."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from .costs import Cost, Row, compare, in_turn, last_line, process_cost
from .environments import PEERS, peer_python
from .inputs import head, series
from .options import RUNS, Options, scan_command, script

KEY = "embed_out.weight"


def against(peer: str, options: Options) -> Row:
    """Return the row of the spectrum of a head of 262,144 × 640 in memory, beside a library's own call.

    Raises:
        MissingPeerError: the library cannot be installed here.
    """
    python = peer_python(peer)
    rows, width = (16_384, 64) if options.quick else (262_144, 640)
    file = head(rows, width)
    figures: dict[str, Any] = {}

    def run(kind: str, **python_of: Path) -> Cost:
        command = script("spectrum", kind, file, options.threads, **python_of)
        document = last_line(process_cost(command, options.threads, apart=bool(python_of))[1])
        figures[kind] = document["figures"]
        return Cost(**document["cost"])

    costs = in_turn({"degen": lambda: run("degen"), peer: lambda: run(peer, python=python)}, options.at_most(3))
    run("svd")
    exact, ours = figures["svd"]["values"], figures["degen"]["values"]
    error = max(abs(a - b) / exact[0] for a, b in zip(ours, exact, strict=True))
    of_peer = abs(figures[peer]["largest"] - exact[0]) / exact[0]
    bar = {"wall": 1 / 3} if peer == "weightwatcher" else None
    lifted = " with its limit of rows lifted" if peer == "weightwatcher" else ""
    return compare(costs["degen"], costs[peer]) | {
        "what": f"spectrum of a head of {rows:,} × {width} in memory",
        "peer": f"`{PEERS[peer].requirement.replace('==', ' ')}`{lifted}",
        "unit": "s",
        "bar": bar,
        "notes": [
            f"all singular values equal those of float64 SVD to {error:.0e} of the largest; the peer's largest one to "
            f"{of_peer:.0e}"
        ],
        "differences": {"ours": error, "peer": of_peer},
    }


def of_series(options: Options) -> Row:
    """Return the row of a scan of spectra alone over a series, beside reading its heads and factorising them."""
    few, many = (2, 4) if options.quick else (2, 8)
    folder = series(options.shape, many)
    reading = []

    def scan() -> Cost:
        costs = []
        for steps in (few, many):
            out = RUNS / "series"
            shutil.rmtree(out, ignore_errors=True)
            names = ",".join(str(i) for i in range(steps))
            command = scan_command(
                folder, "--probes", "spectrum", "--steps", names, "--threads", options.threads, "-o", out
            )
            costs.append(process_cost(command, options.threads)[0])
        return costs[1].minus(costs[0]).times(1 / (many - few))

    def floor() -> Cost:
        document = last_line(process_cost(script("series", folder, KEY, options.threads), options.threads)[1])
        reading.append(document["bytes"] * len(document["reading"]) / sum(c["wall"] for c in document["reading"]))
        return _mean([Cost(**c) for c in document["costs"]])

    costs = in_turn({"scan": scan, "floor": floor}, options.at_most(3))
    return compare(costs["scan"], costs["floor"]) | {
        "what": f"a checkpoint more of `degen scan SERIES --probes spectrum`, {options.shape}",
        "peer": "floor: read the bytes of the head, QR and SVD by LAPACK",
        "unit": "s",
        "bar": {"wall": 2.0},
        "notes": [f"slope between {few} and {many} checkpoints; heads are read at {max(reading) / 1e9:.1f} GB/s"],
    }


def _mean(costs: list[Cost]) -> Cost:
    return Cost(sum(c.wall for c in costs) / len(costs), sum(c.cpu for c in costs) / len(costs))
