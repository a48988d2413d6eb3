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
    """Yield the revisions that should be there, and why: those expected, or the holes in even stretches."""
    stages: dict[str | None, list[Facts]] = defaultdict(list)
    for f in stepped:
        stages[f.stage].append(f)
    if expected is not None:
        stage, members = max(stages.items(), key=lambda item: stage_order(item[0]), default=(None, []))
        for step in sorted(set(expected) - {f.step for f in stepped}):
            name = _name(members[0], members[-1], step) if len(stages) == 1 else f"step{step}"
            yield Facts(name, step, stage), "expected, and not there"
        return
    for stage, members in stages.items():
        for before, after, stride in _holes(members):
            reason = f"not there, between {before.revision} and {after.revision} in a stretch of every {stride:,} steps"
            for step in range((before.step or 0) + stride, after.step or 0, stride):
                yield Facts(_name(before, after, step), step, stage), reason


def _holes(members: Sequence[Facts]) -> Iterator[tuple[Facts, Facts, int]]:
    """Yield the holes in the even stretches of a stage, as the revisions on either side and the stride.

    A gap is a hole where it is a multiple of the stride, the stride being that of two of the three gaps on either side
    and of one next to it. So no hole is seen where the stride changes for good, where steps are log-spaced, or near the
    ends, and none wider than half of all the steps there are.
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
    """Return notes on gaps of at least twice both of their neighbours, perhaps left out on purpose, by revision."""
    notes = {}
    for four in zip(stepped, stepped[1:], stepped[2:], stepped[3:], strict=False):
        before, gap, after = (int(b.step or 0) - int(a.step or 0) for a, b in pairwise(four))
        if four[0].stage == four[3].stage and gap >= WIDE_GAP * max(before, after, 1):
            around = f"between gaps of {before:,} and {after:,}"
            notes[four[2].revision] = f"{gap:,} steps after {four[1].revision}, {around}"
    return notes


def _name(before: Facts, after: Facts, step: int) -> str:
    """Return the name of a revision after the pattern of two others, without what is unknown, such as tokens."""
    numbers = (re.finditer(r"\d+", f.revision) for f in (before, after))
    for a, b in zip(*numbers, strict=False):
        head, tail = before.revision[: a.start()], before.revision[a.end() :]
        if (int(a[0]), int(b[0])) == (before.step, after.step) and head == after.revision[: b.start()]:
            plain = tail == after.revision[b.end() :] and not re.search(r"\d", tail)
            return head + str(step).zfill(len(a[0]) if a[0].startswith("0") else 1) + (tail if plain else "")
    return f"step{step}"
