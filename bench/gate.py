"""How often a rule flips whose bound lies one standard error beyond the figure, when other text is drawn.

    python bench/gate.py [--draws 200] [--series broken --steps 2000,2025] [--tokens 50000] [--seed 0]

The demo's windows are drawn and the checkpoints scanned; each rule's bound is its figure plus one standard error, so
it holds. Then, as often as asked, as many documents are drawn from the windows' own, with replacement, and all is
scanned again on these. Printed is how often each rule fails, as values and with a confidence.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import track

import degen
from degen.demo import series_paths
from degen.gate import Rule, judge, parse_rule
from degen.gate.rule import Bound

RULES = ("loss < 0", "anisotropy < 0", "loss.rise < 0", "anisotropy.rise < 0")  # the bounds are found


def redrawn(sample: pa.Table, generator: np.random.Generator) -> pa.Table:
    """Return the windows of as many documents, drawn with replacement; one that is drawn twice is two documents."""
    documents = np.asarray(sample["document"])
    unique = np.unique(documents)
    drawn = generator.choice(unique, size=len(unique))
    rows = [np.flatnonzero(documents == document) for document in drawn]
    taken = sample.take(np.concatenate(rows))
    numbers = {
        "window": np.arange(taken.num_rows),
        "document": np.repeat(np.arange(len(rows)), [len(r) for r in rows]),
    }
    for name, values in numbers.items():
        i = taken.schema.get_field_index(name)
        taken = taken.set_column(i, taken.schema.field(i), pa.array(values, taken.schema.field(i).type))
    return taken


def at_one_error(rule: Rule, run: Path) -> tuple[Rule, float]:
    """Return the rule with its bound one standard error beyond the figure, and that error."""
    (outcome,) = judge([rule], run).outcomes
    measured = outcome.measured
    if rule.relation is None:
        value, error = measured.value, measured.error
    else:
        value, error = measured.difference, measured.difference_error
    assert value is not None
    assert error is not None
    return replace(rule, bound=Bound(value + error)), error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--series", default="broken", choices=[path.name for path in series_paths()])
    parser.add_argument("--steps", default="2000,2025")
    parser.add_argument("--tokens", type=int, default=50_000)
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    (series,) = (path for path in series_paths() if path.name == options.series)
    generator = np.random.default_rng(options.seed)
    settings = {"steps": options.steps, "threads": len(os.sched_getaffinity(0)), "probes": ("loss", "anisotropy")}
    with tempfile.TemporaryDirectory() as folder:
        first = degen.scan(series, out=Path(folder) / "first", tokens=options.tokens, **settings).path
        bounds = [at_one_error(parse_rule(text), first) for text in RULES]
        rules = [rule for rule, _ in bounds]
        flips = {confidence: dict.fromkeys(rules, 0) for confidence in (None, options.confidence)}
        sample = pq.read_table(first / "sample.parquet")
        for draw in track(range(options.draws), "draws", transient=True):
            windows, out = Path(folder) / "redrawn.parquet", Path(folder) / f"run{draw}"
            pq.write_table(redrawn(sample, generator), windows)
            run = degen.scan(series, out=out, sample=windows, **settings).path
            for confidence, counts in flips.items():
                for outcome in judge(rules, run, confidence=confidence).outcomes:
                    counts[outcome.rule] += outcome.verdict == "failed"
    print(f"{options.series} at steps {options.steps}, {options.tokens} tokens; failed of {options.draws} draws")
    print(f"{'rule':36} {'one standard error':>18} {'as values':>10} {'confidence ' + str(options.confidence):>16}")
    for rule, error in bounds:
        print(f"{rule!s:36.36} {error:18.3g} {flips[None][rule]:10} {flips[options.confidence][rule]:16}")


if __name__ == "__main__":
    main()
