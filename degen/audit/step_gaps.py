"""Gaps between steps: which steps are missing, and which gaps are merely uneven."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

from degen.checkpoints.steps import stage_order

from .evidence import Facts
from .thresholds import EVEN_GAPS, GAPS_COMPARED, WIDE_GAP


def missing_steps(stepped: Sequence[Facts], expected: Collection[int] | None) -> Iterator[tuple[Facts, str]]:
    """Yield the revisions that are missing, each with the reason.

    Args:
        stepped: the revisions whose names give a step, in the order of training.
        expected: the steps that should be there. None if unknown: then a revision is missing where a stretch of evenly
            spaced steps has a hole.
    """
    stages: dict[str | None, list[Facts]] = defaultdict(list)
    for f in stepped:
        stages[f.stage].append(f)
    if expected is not None:
        stage, members = max(stages.items(), key=lambda item: stage_order(item[0]), default=(None, []))
        for step in sorted(set(expected) - {f.step for f in stepped}):
            name = _name(members[0], members[-1], step) if len(stages) == 1 else f"step{step}"
            yield Facts(name, step, stage), "this step is expected, and there is no revision of it"
        return
    for stage, members in stages.items():
        for before, after, stride in _holes(members):
            reason = (
                f"there is no revision of this step, between {before.revision} and {after.revision}, where there is "
                f"one every {stride:,} steps"
            )
            for step in range((before.step or 0) + stride, after.step or 0, stride):
                yield Facts(_name(before, after, step), step, stage), reason


def _holes(members: Sequence[Facts]) -> Iterator[tuple[Facts, Facts, int]]:
    """Yield the holes among evenly spaced steps: the revision before the hole, the one behind it, and the stride.

    A gap is a hole where it is a multiple, from two on, of the stride. The stride is the size of a gap next to it that
    at least two of the three gaps before it have, and two of the three behind it. So a gap is no hole where the stride
    changes for good, where steps are log-spaced, or near the ends; nor where it is wider than half of all steps.

    Args:
        members: the revisions of one stage of training, in order.
    """
    steps = [f.step or 0 for f in members]
    gaps = [b - a for a, b in pairwise(steps)]
    for j, gap in enumerate(gaps):
        left, right = gaps[max(0, j - GAPS_COMPARED) : j][::-1], gaps[j + 1 : j + 1 + GAPS_COMPARED]
        for stride in {*left[:1], *right[:1]}:
            even = min(left.count(stride), right.count(stride)) >= EVEN_GAPS and stride > 0
            if even and gap % stride == 0 and 1 < gap // stride <= 1 + len(steps) // 2:
                yield members[j], members[j + 1], stride


def odd_gaps(stepped: Sequence[Facts]) -> dict[str, str]:
    """Return notes on gaps that are at least twice as wide as the gap before and the gap behind.

    The steps in them may be left out on purpose, so that this is no fault.

    Args:
        stepped: the revisions whose names give a step, in the order of training.

    Returns:
        Name of the revision behind the gap -> the note.
    """
    notes = {}
    for four in zip(stepped, stepped[1:], stepped[2:], stepped[3:], strict=False):
        before, gap, after = (int(b.step or 0) - int(a.step or 0) for a, b in pairwise(four))
        if four[0].stage == four[3].stage and gap >= WIDE_GAP * max(before, after, 1):
            around = f"between gaps of {before:,} and {after:,}"
            notes[four[2].revision] = f"{gap:,} steps after {four[1].revision}, {around}"
    return notes


def _name(before: Facts, after: Facts, step: int) -> str:
    """Return the name that a missing revision should have, after the pattern of two others.

    Args:
        before: a revision before it.
        after: a revision behind it.
        step: its step.

    Returns:
        The name, without the parts that cannot be known, such as tokens; `step1000` where the two have no pattern.
    """
    numbers = (re.finditer(r"\d+", f.revision) for f in (before, after))
    for a, b in zip(*numbers, strict=False):
        head, tail = before.revision[: a.start()], before.revision[a.end() :]
        if (int(a[0]), int(b[0])) == (before.step, after.step) and head == after.revision[: b.start()]:
            plain = tail == after.revision[b.end() :] and not re.search(r"\d", tail)
            return head + str(step).zfill(len(a[0]) if a[0].startswith("0") else 1) + (tail if plain else "")
    return f"step{step}"
