"""What degen takes beside what people would use instead, and beside the floor: a table of ratios, and a JSON of it.

    make bench                                     # all but Gemma
    python bench/peers.py --quick                  # small sizes: whether everything runs; the figures say nothing
    python bench/peers.py --only naive,rolling     # rows or groups; gemma is one

Peers are installed under build/peers, each into an environment of its own. Each row is kept as it is done, in the JSON
file: the same command goes on where it was stopped, and --fresh measures its rows anew. docs/generate.py makes
docs/performance.md from docs/bench.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peer_rows.environments import FOLDER, ROOT, MissingPeerError
from peer_rows.options import Options
from peer_rows.registry import GEMMA, rows_for

SCHEMA = 1


def words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def about(options: Options) -> dict[str, Any]:
    """Return the machine, threads and versions: rows of another one are no part of the table."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "quick": options.quick,
        **{package: version(package) for package in ("torch", "transformers", "numpy")},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _commit() -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


class Results:
    """The rows so far, in a file that is whole at every moment."""

    def __init__(self, file: Path, facts: dict[str, Any]) -> None:
        """Read what the file holds, if it was measured under the same conditions."""
        self.file, self.facts = file, facts
        self.rows: dict[str, Any] = {}
        if file.exists():
            document = json.loads(file.read_text(encoding="utf-8"))
            if document["schema"] == SCHEMA and document["about"] == facts:
                self.rows = document["rows"]

    def add(self, name: str, row: dict[str, Any]) -> None:
        """Keep a row, and write the file anew."""
        self.rows[name] = row
        order = [name for name in rows_for({}) if name in self.rows]
        document = {"schema": SCHEMA, "about": self.facts, "rows": {name: self.rows[name] for name in order}}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_name(f".{self.file.name}.part")
        part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        os.replace(part, self.file)


def summary(name: str, row: dict[str, Any]) -> str:
    """Return a row in a line or two."""
    if "missing" in row:
        return f"{name:24} not measured: {row['missing']}"
    text = f"{name:24}"
    for quantity in ("wall", "cpu", "peak"):
        if ratio := row.get(quantity):
            text += f" {quantity} {ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
    if "exponent" in row:
        text += f" exponent {row['exponent']:.3f}, fixed {row['fixed']:.2f} s"
    return text + f"  [{row['took']:.0f} s]" + "".join(f"\n{'':24} {note}" for note in row.get("notes", []))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, help="docs/bench.json, or with --quick build/peers/quick.json")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", type=words, help="rows or groups, by commas; by default all but gemma")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--pairs", type=int, default=7, help="at most; long rows take fewer")
    asked = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "bench"), str(ROOT), str(ROOT / "tests")])
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    options = Options(asked.threads, asked.quick, asked.pairs)
    file = asked.out or (FOLDER / "quick.json" if asked.quick else ROOT / "docs" / "bench.json")
    results = Results(file, about(options))
    rows = rows_for(results.rows)
    groups = [name for name in rows if name.split(".")[0] != GEMMA] if not asked.only else asked.only
    chosen = [name for name in rows if name in groups or name.split(".")[0] in groups]
    if not chosen:
        raise SystemExit(f"no such row: {', '.join(groups)}; there are {', '.join(rows)}")
    for name in chosen:
        if name not in results.rows or "missing" in results.rows[name] or asked.fresh:
            load, start = os.getloadavg()[0], time.perf_counter()
            try:
                row = rows[name](options)
            except MissingPeerError as error:
                row = {"missing": str(error)}
            except SystemExit as error:  # a process of the row failed; the others are still worth measuring
                row = {"missing": str(error).strip().splitlines()[-1]}
                print(error, file=sys.stderr)
            row |= {"took": time.perf_counter() - start, "load_before": load, "commit": _commit()}
            results.add(name, row | {"date": date.today().isoformat()})
        print(summary(name, results.rows[name]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
