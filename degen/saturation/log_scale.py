"""Verdicts on curves that are judged on their logarithm, in the unit of the metric."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from degen.arrays import Floats
from degen.metrics.curve import Curve

from .verdict import Verdict, judge


def judge_in_scale(curve: Curve, level: float = 0.05, confidence: float = 0.9, after: float = 0.05) -> Verdict:
    """Return the verdict on a curve, on its logarithm where that is what the metric is judged on; see `judge`.

    The logarithm of a perplexity is a loss, and the two have one verdict. Values, gap and noise are in the metric's own
    unit: with the best value b, the final one x, and gap g and noise s of the logarithm, the gap is x·|1 − exp(∓g)|,
    the upper sign where lower is better, and the noise b·(exp s − 1).
    """
    if not curve.logarithmic:
        return judge(curve, level, confidence, after)
    verdict = judge(curve.logarithm(), level, confidence, after)
    if verdict.best_value is None or verdict.final_value is None:
        plain = judge(curve, level, confidence, after)  # its reason has values in the metric's own unit
        return plain if plain.best_value is None else replace(verdict, curve=curve)
    best = _nearest(curve.values, math.exp(verdict.best_value))
    final = _nearest(curve.values, math.exp(verdict.final_value))
    sign = 1 if curve.better == "min" else -1
    return replace(
        verdict,
        curve=curve,
        reason=f"on its logarithm: {verdict.reason}",
        best_value=best,
        final_value=final,
        gap=None if verdict.gap is None else final * abs(math.expm1(-sign * verdict.gap)),
        noise=None if verdict.noise is None else best * math.expm1(verdict.noise),
    )


def _nearest(values: Floats, value: float) -> float:
    """Return the one of `values` that is nearest to `value`, which went through a logarithm and back."""
    return float(values[np.nanargmin(np.abs(values - value))])
