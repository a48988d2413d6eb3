"""Where upstream and downstream disagree about a knob: it helps the one, and not the other."""

from __future__ import annotations

from dataclasses import dataclass

from degen.stats.quantiles import two_sided
from degen.tables import Row

from .knob_effects import CANNOT_TELL, KnobFit, why_not
from .knobs import Knob

SHARE = 0.5  # of the gain that the other knobs lead to expect, below which a knob counts as no help
SIGNIFICANCE = 0.05  # of all comparisons of a table together


@dataclass(frozen=True)
class _Gain:
    """By how much a quality improves with the logarithm of a knob, with the ends of its interval."""

    value: float
    low: float
    high: float


def find_disagreement(upstream: KnobFit, downstream: KnobFit, knob: Knob, tests: int = 1) -> Row:
    """Return whether a knob helps upstream quality and not a downstream one, or the reverse, at equal other knobs.

    The intervals are simultaneous over all comparisons of the table, at 95 % together. A knob helps where its interval
    lies on the better side of 0, and harms where it lies on the worse side. It is no help where its interval reaches 0
    and ends below half of what the other knobs lead to expect: ρ times the gain on the other side, ρ the ratio of the
    downstream to the upstream gains of the other knobs that help upstream.

    Args:
        upstream: upstream quality on all knobs.
        downstream: a downstream quality on all knobs.
        knob: the knob.
        tests: how many comparisons there are in the table.

    Returns:
        `verdict`: `they agree`, `no difference shown`, `cannot tell` with the reason, or what the knob does, as `helps
        upstream, harms downstream`; the gains in both, d ln q/d ln x with the sign changed where less is better.
    """
    row: Row = {"knob": knob.name, "upstream": upstream.quality.name, "downstream": downstream.quality.name}
    row |= {"verdict": CANNOT_TELL} | dict.fromkeys(("upstream_gain", "downstream_gain", "expected_ratio", "reason"))
    for fit in (upstream, downstream):
        if (reason := why_not(fit, knob)) is not None:
            return row | {"reason": reason}
    level = 1 - SIGNIFICANCE / max(tests, 1)
    up, down = _gain(upstream, knob, level), _gain(downstream, knob, level)
    ratio = _expected_ratio(upstream, downstream, knob, level)
    row |= {"upstream_gain": up.value, "downstream_gain": down.value, "expected_ratio": ratio}
    return row | {"verdict": _verdict(up, down, ratio)}


def _verdict(up: _Gain, down: _Gain, ratio: float | None) -> str:
    if up.low > 0 and down.high < 0:
        return "helps upstream, harms downstream"
    if up.high < 0 and down.low > 0:
        return "harms upstream, helps downstream"
    if ratio is not None and up.low > 0 >= down.low and down.high < SHARE * ratio * up.value:
        return "helps upstream, no help downstream"
    if ratio is not None and down.low > 0 >= up.low and ratio * up.high < SHARE * down.value:
        return "no help upstream, helps downstream"
    if (up.low > 0 and down.low > 0) or (up.high < 0 and down.high < 0):
        return "they agree"
    return "no difference shown"


def _gain(fit: KnobFit, knob: Knob, level: float) -> _Gain:
    assert fit.regression is not None  # `why_not` gave no reason
    column = fit.column(knob)
    value = fit.quality.sign * float(fit.regression.coefficients[column])
    reach = two_sided(level, fit.regression.freedom) * fit.regression.error(column)
    return _Gain(value, value - reach, value + reach)


def _expected_ratio(upstream: KnobFit, downstream: KnobFit, knob: Knob, level: float) -> float | None:
    """Return the downstream gain for an upstream gain of 1, over the other knobs; None where none of them helps."""
    both: list[tuple[float, float]] = []
    for other in upstream.knobs:
        if other.name == knob.name or why_not(upstream, other) is not None or why_not(downstream, other) is not None:
            continue
        up = _gain(upstream, other, level)
        if up.low > 0:
            both.append((up.value, _gain(downstream, other, level).value))
    total = sum(up**2 for up, _ in both)
    ratio = sum(up * down for up, down in both) / total if total else 0.0
    return ratio if ratio > 0 else None
