"""How sure a fitted loss law is: intervals of its parameters, and of what it predicts."""

from __future__ import annotations

import math

from .law import Fit
from .law_search import NAMES

_WIDEST = 700.0  # reach in a logarithm beyond which its exponential is no float64


def parameter_intervals(fit: Fit, confidence: float) -> dict[str, dict[str, float | None]]:
    """Return value, low and high of every parameter of the law.

    Formula: θ ± t·sqrt(C_θθ), with C the covariance of θ and t Student's quantile at the fit's degrees of freedom; of
    A, B and E on their logarithms, so that no end is negative.

    Args:
        fit: what was fitted.
        confidence: of each interval by itself, between 0 and 1.

    Returns:
        By name; low and high of a fixed parameter equal its value, and are None without degrees of freedom.
    """
    covariance, quantile = fit.covariance, _quantile(fit, confidence)
    intervals: dict[str, dict[str, float | None]] = {}
    for name in NAMES:
        value = float(getattr(fit.law, name))
        low: float | None = value
        high: float | None = value
        if name in fit.free:
            low = high = None
            if quantile is not None and covariance is not None:
                at = fit.free.index(name)
                low, high = _around(name, value, quantile * math.sqrt(covariance[at, at]))
        intervals[name] = {"value": value, "low": low, "high": high}
    return intervals


def prediction_reach(fit: Fit, parameters: float, tokens: float, confidence: float) -> float | None:
    """Return how far ln L of a model that follows the law may lie from ln L̂, at most, with a given confidence.

    Formula: t·sqrt(s² + g'Cg), with s the standard deviation of a residual (over L̂ where the objective is `linear`),
    g = ∂ ln L̂/∂θ, C the covariance of θ and t Student's quantile at the fit's degrees of freedom.

    Args:
        fit: what was fitted; not to this model.
        parameters: N.
        tokens: T.
        confidence: between 0 and 1.

    Returns:
        Half of the interval's width in ln L; None without degrees of freedom.

    Source: Seber and Wild 1989, Nonlinear Regression, section 5.1.
    """
    covariance, scale, quantile = fit.covariance, fit.scale, _quantile(fit, confidence)
    if covariance is None or scale is None or quantile is None:
        return None
    noise = scale / float(fit.law.loss(parameters, tokens)) if fit.objective == "linear" else scale
    gradient = fit.log_gradient(parameters, tokens)[0]
    return min(quantile * math.sqrt(noise**2 + float(gradient @ covariance @ gradient)), _WIDEST)


def _around(name: str, value: float, reach: float) -> tuple[float, float]:
    if name in "ABE":
        return value * math.exp(-min(reach, _WIDEST)), value * math.exp(min(reach, _WIDEST))
    return value - reach, value + reach


def _quantile(fit: Fit, confidence: float) -> float | None:
    """Return Student's two-sided quantile; None without degrees of freedom."""
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, fit.freedom)) if fit.freedom else None
