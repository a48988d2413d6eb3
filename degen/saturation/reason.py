"""The reason of a verdict in a sentence, with its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Findings:
    """What a reason is made of.

    Attributes:
        label: the verdict.
        side: on which side of the best a worse value lies, `above` or `below`.
        gap: of the final value to the best.
        floor: the least change that matters.
        p_value: how often a curve that never gets worse looks as bad, whichever checkpoint is left out.
        p_without: the same without the checkpoint that decides.
        support: how many checkpoints carry the verdict; None where none was found to.
        carrier: step of the one that decides; None where none does.
        carrier_makes_rise: whether that one makes the rise, or hides it.
        since: step, low and high of the onset that the rise would have; None where no single one makes it.
        strays: steps of checkpoints that stray alone from their neighbours, which are left out.
        strays_decide: whether the verdict would be another with them.
        excursion: how far the metric was from its best so far at most and the step, of a rise that came back.
        thinned: the other verdicts with every second checkpoint left out.
        group: checkpoints of which means are taken; 1 for none.
        missing: checkpoints without a value.
    """

    label: str
    side: str
    gap: float
    floor: float
    p_value: float
    p_without: float
    support: int | None = None
    carrier: int | None = None
    carrier_makes_rise: bool = False
    since: tuple[int, int, int] | None = None
    strays: Sequence[int] = ()
    strays_decide: bool = False
    excursion: tuple[float, int] | None = None
    thinned: Sequence[str] = field(default_factory=list)
    group: int = 1
    missing: int = 0


def explain(findings: Findings) -> str:
    """Return the reason of a verdict."""
    parts = [_main(findings)]
    if findings.carrier is not None:
        parts.append(f"rests on one checkpoint, step {findings.carrier}: {_without_it(findings)}")
    if findings.since is not None:
        step, low, high = findings.since
        parts.append(f"if it is a rise, since step {step} ({low} … {high})")
    if findings.strays:
        steps = ", ".join(str(step) for step in findings.strays[:3]) + (", …" if len(findings.strays) > 3 else "")
        if len(findings.strays) == 1:
            parts.append(f"one checkpoint, step {steps}, strays from its neighbours and is left out")
        else:
            parts.append(f"steps {steps} stray from their neighbours and are left out")
        if findings.strays_decide:
            parts.append("the verdict rests on that")
    if findings.thinned:
        parts.append(f"with every second checkpoint left out it would be {' or '.join(findings.thinned)}")
    if findings.group > 1:
        parts.append(f"judged by means of {findings.group} checkpoints")
    if findings.missing:
        parts.append(f"{findings.missing} checkpoint{'s' * (findings.missing > 1)} without a value left out")
    return "; ".join(parts)


def _without_it(findings: Findings) -> str:
    """Return what would be seen without the checkpoint that decides."""
    if not findings.carrier_makes_rise:
        return "without it there is a rise"
    percent = 100 * findings.p_without
    share = f"{percent:.0f}%" if percent >= 10 else f"{percent:.2g}%"
    return f"without it {share} of curves that never get worse look as bad"


def _main(findings: Findings) -> str:
    """Return where the metric ended, and why that gives the verdict."""
    ends = f"ends {findings.gap:.3g} {findings.side} its best" if findings.gap > 0 else "ends at its best"
    text = _ending(findings, ends)
    if findings.excursion is None:
        return text
    height, step = findings.excursion
    hump = f"was {height:.3g} {findings.side} its best at step {step}"
    return (
        f"{hump}, {text}" if findings.label == "recovered" else f"{text}; {hump.replace('its best', 'its best so far')}"
    )


def _ending(findings: Findings, ends: str) -> str:
    """Return where the metric ended, with the probability where it is undecided."""
    if findings.label in ("saturated", "recovered") or findings.gap == 0:
        return ends
    if findings.label == "not_saturated" and findings.gap < findings.floor:
        return f"{ends}, less than the {findings.floor:.3g} that matter"
    if findings.label == "not_saturated" and findings.strays:
        return ends
    if findings.carrier is None and findings.p_value < 0.05:
        return f"{ends}, after a rise that came back part of the way"
    if findings.carrier is not None:
        return ends
    return f"{ends}, as {findings.p_value:.0%} of curves that never get worse do by noise"
