"""Do as a stranger does who has installed degen: doctor, scan, report; and compare each figure with the stored ones.

`python .ci/stranger.py --store RUN` stores the figures of a run of the demo anew.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).with_name("demo_figures.json")
KEYS = ("model", "step")
LOOSE, EXACT = 1e-5, 1e-9  # relative: what passes through float32, and what is of the stored weights
METRICS = {
    "loss": LOOSE, "loss_se": LOOSE, "perplexity": LOOSE, "bits_per_byte": LOOSE, "anisotropy": 10 * LOOSE,
    "anisotropy_se": 10 * LOOSE, "singular_entropy": EXACT, "singular_entropy_sigma": EXACT, "effective_rank": EXACT,
    "stable_rank": EXACT, "top_singular_share": EXACT, "tokens_scored": 0.0,
}  # fmt: skip


def degen(*words: str) -> str:
    """Run a command of the environment of this Python, and return what it prints.

    Raises:
        SystemExit: it fails.
    """
    command = [str(Path(sys.executable).parent / "degen"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"degen {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def figures(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the columns of `checkpoints` that are compared."""
    return [{name: row[name] for name in (*KEYS, *METRICS)} for row in rows]


def differences(rows: list[dict[str, Any]], stored: list[dict[str, Any]]) -> list[str]:
    """Return every figure that is not as stored, as text."""
    if [[row[key] for key in KEYS] for row in rows] != [[row[key] for key in KEYS] for row in stored]:
        return ["other checkpoints than those stored"]
    return [
        f"{row['model']} {row['step']}: {name} is {row[name]}, not {right[name]}"
        for row, right in zip(rows, stored, strict=True)
        for name, tolerance in METRICS.items()
        if not math.isclose(row[name], right[name], rel_tol=tolerance, abs_tol=0.0)
    ]


def main() -> None:
    """Run the commands, and compare."""
    if sys.argv[1:2] == ["--store"]:
        import degen as package

        FIGURES.write_text(json.dumps(figures(package.read_run(sys.argv[2]).checkpoints()), indent=1) + "\n")
        return
    print(degen("--version").strip())
    print(degen("doctor"), end="")
    rows = figures(json.loads(degen("scan", "--json"))["rows"])
    wrong = differences(rows, json.loads(FIGURES.read_text(encoding="utf-8")))
    if wrong:
        sys.exit("\n".join(wrong))
    degen("report", "degen-run", "-o", "report.html")
    size = Path("report.html").stat().st_size
    print(f"demo: {len(rows) * len(METRICS)} figures of {len(rows)} checkpoints as stored; report.html: {size:,} bytes")


if __name__ == "__main__":
    main()
