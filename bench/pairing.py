"""How many tokens given errors take, and what pairing does to the error of a difference of two checkpoints.

    degen scan --probes loss,anisotropy -o RUN      # of the demo, or of any series
    python bench/pairing.py RUN [--draws 400]

For every two adjacent checkpoints the standard error of the difference of their losses, paired by windows, over that of
two values that have nothing in common. Then as many documents as there are are drawn with replacement, again and again:
how often does the paired 90 % interval of the difference hold that of all documents?
"""

from __future__ import annotations

import argparse
import math
from itertools import pairwise
from pathlib import Path

import numpy as np

from degen import read_run
from degen.metrics.run_parts import RunParts
from degen.metrics.window_losses import WindowLosses
from degen.stats.document_interval import document_interval

TARGETS = {"loss": (0.05, 0.02, 0.01), "anisotropy": (0.02, 0.01, 0.005)}
CONFIDENCE = 0.9


def redraw(one: WindowLosses, other: WindowLosses, rng: np.random.Generator) -> tuple[WindowLosses, WindowLosses]:
    """Return two checkpoints on documents drawn with replacement, the same for both; one drawn twice is two."""
    documents = np.unique(one.documents)
    drawn = rng.choice(documents, size=len(documents))
    rows = [np.flatnonzero(one.documents == document) for document in drawn]
    slots = np.repeat(np.arange(len(drawn)), [len(own) for own in rows])
    taken = np.concatenate(rows)
    numbers = np.arange(len(taken))
    first, second = (WindowLosses(numbers, slots, c.tokens[taken], c.losses[taken]) for c in (one, other))
    return first, second


def covers(one: WindowLosses, other: WindowLosses, truth: float) -> bool:
    """Return whether the paired interval of the difference of two checkpoints holds a number."""
    difference = one.mean() - other.mean()
    error = one.difference_error(other)
    one_sided = 1 - (1 - CONFIDENCE) / 2
    interval = document_interval(difference, error or 0.0, one_sided, one.freedom)
    return interval.low <= truth <= interval.high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--draws", type=int, default=400)
    asked = parser.parse_args()
    run = read_run(asked.run)
    parts, rng = RunParts(run), np.random.default_rng(0)
    tokens = max(sample["tokens"] for sample in run.info["sample"]["windows"].values())
    for metric, targets in TARGETS.items():
        errors = [row[f"{metric}_se"] for row in run.checkpoints() if row.get(f"{metric}_se") is not None]
        if errors:
            last, worst = errors[-1], max(errors)
            needed = ", ".join(
                f"{t:g}: {tokens * (last / t) ** 2:,.0f} ({tokens * (worst / t) ** 2:,.0f})" for t in targets
            )
            print(f"tokens for a standard error of {metric} of {needed}, of the last checkpoint (and the worst)")
    ratios, held = [], []
    for model, indices in parts.by_model.items():
        losses = [parts.windows(model, parts.rows[i]["revision"]) for i in indices]
        for one, other in pairwise([c for c in losses if c is not None]):
            paired, apart = one.difference_error(other), math.hypot(one.error() or 0.0, other.error() or 0.0)
            if paired is not None and apart:
                ratios.append(paired / apart)
            truth = one.mean() - other.mean()
            held += [covers(*redraw(one, other, rng), truth) for _ in range(asked.draws)]
    print(
        f"{len(ratios)} adjacent pairs: paired error over unpaired {min(ratios):.2f} to {max(ratios):.2f}, "
        f"median {np.median(ratios):.2f}"
    )
    print(
        f"paired {CONFIDENCE:.0%} intervals hold the difference of all documents in {np.mean(held):.1%} of {len(held)}"
    )


if __name__ == "__main__":
    main()
