"""Numbers and verdicts as words of a sentence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from degen.tables import Row

if TYPE_CHECKING:
    from .run_data import Judged

# What the page shows of a checkpoint: column -> its name, and how to measure it where it is missing.
METRICS = {
    "loss": ("loss", "scan with a corpus and a tokenizer"),
    "anisotropy": ("anisotropy", "scan with the probe anisotropy"),
    "singular_entropy": ("singular entropy of the head", "scan with the probe spectrum"),
    "bottleneck_rank": ("loss at restricted rank of the head", "degen scan … --probes rank -o RUN adds it"),
}
ABRUPT = 1 / 3  # share of a rise between two neighbouring checkpoints, from which on it is told
NOTHING = 1e-7  # of a number that is 0 but for rounding
SHORT = 0.05  # share of training that lies between them at most


def number(value: float | None) -> str:
    """Return a number with three or four significant digits."""
    if value is None:
        return "unknown"
    if not math.isfinite(value):
        return str(value)
    if abs(value) < NOTHING:
        return "0"
    return f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.2e}"


def steps(step: int | None) -> str:
    """Return a step with commas between thousands."""
    return "unknown" if step is None else f"{step:,}"


def plural(count: int, word: str) -> str:
    """Return a count and a word, with an s where there are several."""
    return f"{count:,} {word}{'s' * (count != 1)}"


def together(names: Sequence[str]) -> str:
    """Return names as part of a sentence: `a`, `a and b`, `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def of_checkpoints(row: Row) -> str:
    """Return on how many checkpoints a verdict rests, from a row of table `saturation`."""
    judged = f"on {plural(row['checkpoints'], 'checkpoint')}"
    return f"{judged}, of which the verdict rests on {row['support']}" if row["support"] is not None else judged


def onset_interval(row: Row) -> str:
    """Return the onset of a verdict with its interval, from a row of table `saturation`; empty where there is none."""
    if row["onset_step"] is None:
        return ""
    return f"{steps(row['onset_step'])} ({steps(row['onset_low'])} … {steps(row['onset_high'])})"


def onset_words(judged: Judged) -> str:
    """Return since when a metric got worse, and whether most of it came at once."""
    row = judged.row
    if row["onset_step"] is None:
        return "late in training"
    between = f"(between {steps(row['onset_low'])} and {steps(row['onset_high'])})"
    since = f"at step {steps(row['onset_step'])} {between}"
    jump = _largest_jump(judged)
    if jump is None:
        return f"from step {steps(row['onset_step'])} on {between}"
    share, before, after = jump
    return (
        f"abruptly {since}, with {share:.0%} of the rise in {judged.metric} from step {steps(before)} to {steps(after)}"
    )


def _largest_jump(judged: Judged) -> tuple[float, int, int] | None:
    """Return the largest change for the worse between neighbours and their steps; None where it is not abrupt.

    The change is a share of the whole gap between the best and the final value.
    """
    curve, gap = judged.verdict.curve, judged.row["gap"]
    sign = 1.0 if curve.better == "min" else -1.0
    known = [(int(s), float(v)) for s, v in zip(curve.steps, curve.values, strict=True) if math.isfinite(v)]
    later = [(s, v) for s, v in known if s >= judged.row["onset_low"]]
    jumps = [(sign * (b - a), s, t) for (s, a), (t, b) in itertools.pairwise(later)]
    if not jumps or not gap:
        return None
    rise, before, after = max(jumps)
    if rise < ABRUPT * gap or after - before > SHORT * known[-1][0]:
        return None
    return rise / gap, before, after
