"""Judge every revision of a series: is it what it claims, or a copy, a wrong shard, a jump off the path, missing?

The facts come from `degen.audit.collect`. Two kinds of evidence are used, shard by shard:

*Identity.* Shards with equal hashes are the same weights. Of the steps that hold them one is genuine, or none.

*Continuity.* Training moves along a path, so a step lies no farther from its neighbours than these from each other;
see `degen.audit.continuity` and `degen.audit.thresholds`.

What cannot be found: a wrong shard from so near in training that its path ratio stays below 2, unless its hash tells;
foreign weights at an end of the series that lie equally far from everything; four or more similar wrong steps in a row
that are no copies of each other; which of adjacent copies is the genuine one (one is chosen, and the reason says that
the others fit as well); anything by continuity in a series of three; what differs by less than bfloat16 rounds or in
too few values. And one kind of genuine step would be taken for wrong: one saved at a much higher learning rate
than the steps on both sides of it, as where checkpoints that were annealed stand between some that were not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from degen.checkpoints.steps import stage_order

from .compare import Comparison
from .evidence import Facts, Finding, Shapes, count
from .initialisation import foreign_start, initial_findings
from .step_gaps import missing_steps, odd_gaps


@dataclass(frozen=True)
class RevisionVerdict:
    """The verdict on one revision.

    Attributes:
        revision: its name; of a missing one the name it should have, as far as it can be inferred.
        step: the step that the name gives; None where it gives none.
        verdict: `ok`, `duplicate`, `equals_final`, `wrong_shard`, `discontinuous`, `not_finite`, `unused_weights`,
            `different_shape`, `untrained`, `other_initialisation`, `missing`, or why its files could not be read.
        reason: one sentence that explains the verdict; None where it is `ok`.
        note: a remark that is no fault; None where there is none.
    """

    revision: str
    step: int | None
    verdict: str
    reason: str | None = None
    note: str | None = None


def judge(
    facts: Sequence[Facts], expected: Collection[int] | None = None, final: Facts | None = None
) -> list[RevisionVerdict]:
    """Judge every revision of a series, and name those that are missing.

    Args:
        facts: of all revisions, in any order.
        expected: the steps that should be there; each that no revision has is missing. Where None, only a hole among
            evenly spaced steps counts.
        final: the revision that holds the final weights, such as `main`; None for the last step.

    Returns:
        One verdict per revision, the gravest that applies: files that cannot be read, then not finite, another shape,
        a copy, a wrong shard, a jump. They are ordered by stage and step, missing revisions among them; revisions
        whose names give no step come last.
    """
    ordered = sorted(facts, key=_order)
    stepped = [f for f in ordered if f.step is not None]
    usual = _usual_shapes(ordered)
    findings = {f.revision: finding for f in ordered if (finding := _own_finding(f, usual))}
    sound = [f for f in stepped if f.revision not in findings]
    comparison = Comparison(sound, stepped[-1] if stepped else None, final)
    findings |= comparison.findings()
    findings |= initial_findings(sound, [f for f in ordered if f.step is None and f.revision not in findings])
    findings |= foreign_start(stepped, findings) if stepped else {}
    gaps = {} if expected is not None else odd_gaps(stepped)
    judged = []
    for f in ordered:
        verdict, reason = findings.get(f.revision, ("ok", None))
        notes = [*f.notes, comparison.note_of_equals(f) if verdict == "ok" else None, gaps.get(f.revision)]
        note = "; ".join(n for n in notes if n) or None
        judged.append((_order(f), RevisionVerdict(f.revision, f.step, verdict, reason, note)))
    for hole, reason in missing_steps(stepped, expected):
        judged.append((_order(hole), RevisionVerdict(hole.revision, hole.step, "missing", reason)))
    return [verdict for _, verdict in sorted(judged, key=lambda pair: pair[0])]


def _order(facts: Facts) -> tuple[bool, tuple[int, ...], int, str]:
    return facts.step is None, stage_order(facts.stage), facts.step or 0, facts.revision


def _own_finding(facts: Facts, usual: Shapes | None) -> Finding | None:
    """Return verdict and reason for what is wrong with a revision by itself, before its weights are compared.

    Args:
        facts: the revision.
        usual: name of the tensor -> its shape in most revisions; None if unknown.

    Returns:
        None where nothing is wrong.
    """
    if facts.fault is not None:
        return facts.fault
    if facts.not_finite is not None:
        return "not_finite", facts.not_finite
    for shard, values in sorted(facts.samples.items()):
        if odd := int(np.count_nonzero(~np.isfinite(values))):
            return "not_finite", f"{shard} holds NaN or infinity in {odd} of {values.size} values read"
    if facts.unused is not None:
        return "unused_weights", facts.unused
    if usual is not None and facts.shapes is not None and (differs := _difference(facts.shapes, usual)):
        return "different_shape", differs
    return None


def _usual_shapes(facts: Iterable[Facts]) -> Shapes | None:
    """Return name -> shape of the tensors that more than half of the revisions have exactly alike.

    Revisions of which no header was read do not count. None where no more than half are alike.
    """
    read = [f.shapes for f in facts if f.shapes is not None and f.fault is None]
    counts = Counter(frozenset((name, tuple(shape)) for name, shape in shapes.items()) for shapes in read)
    for tensors, times in counts.most_common(1):
        if 2 * times > len(read):
            return dict(tensors)
    return None


def _difference(shapes: Shapes, usual: Shapes) -> str | None:
    """Return a sentence on the first tensor that differs from the usual ones, and on how many more differ.

    Args:
        shapes: name of the tensor -> its shape, in this revision.
        usual: the same in most revisions.

    Returns:
        None where no tensor differs.
    """
    differences = [
        f"{name} is {_format_shape(shapes[name])}, in most revisions {_format_shape(usual[name])}"
        for name in sorted(shapes.keys() & usual.keys())
        if tuple(shapes[name]) != tuple(usual[name])
    ]
    differences += [f"{name} is missing; most revisions have it" for name in sorted(usual.keys() - shapes.keys())]
    differences += [f"{name} is there; most revisions lack it" for name in sorted(shapes.keys() - usual.keys())]
    if len(differences) < 2:
        return differences[0] if differences else None
    return f"{differences[0]}; {count(len(differences) - 1, 'more tensor')} differ{'s' * (len(differences) == 2)}"


def _format_shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) or "a single value"
