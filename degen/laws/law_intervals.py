"""Intervals of a fitted loss law: of its parameters, and of the loss it predicts."""

from __future__ import annotations

import math

from .law import Fit
from .law_search import NAMES

_MAX_REACH = 700.0  # half width in a logarithm beyond which its exponential overflows float64


def parameter_intervals(fit: Fit, confidence: float) -> dict[str, dict[str, float | None]]:
    """Return value, low and high of every parameter of the law.

    Formula: θ ± t·sqrt(C_θθ), with C the covariance of θ and t Student's quantile at the fit's degrees of freedom; of
    A, B and E on their logarithms, so that no end is negative.

    Args:
        fit: the fit.
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
                i = fit.free.index(name)
                reach = quantile * math.sqrt(covariance[i, i])
                factor = math.exp(min(reach, _MAX_REACH))
                low, high = (value / factor, value * factor) if name in "ABE" else (value - reach, value + reach)
        intervals[name] = {"value": value, "low": low, "high": high}
    return intervals


def prediction_reach(fit: Fit, parameters: float, tokens: float, confidence: float) -> float | None:
    """Return half the width of the interval of ln L of a further model that follows the law.

    Formula: t·sqrt(s² + g'Cg), with s the standard deviation of a residual (over L̂ where the objective is `linear`),
    g = ∂ ln L̂/∂θ, C the covariance of θ and t Student's quantile at the fit's degrees of freedom.

    Args:
        fit: the fit, of other models than this one.
        parameters: N.
        tokens: D.
        confidence: between 0 and 1.

    Returns:
        Half width in nats of ln L; None without degrees of freedom.

    Source: Seber and Wild 1989, Nonlinear Regression, section 5.1.
    """
    covariance, scale, quantile = fit.covariance, fit.scale, _quantile(fit, confidence)
    if covariance is None or scale is None or quantile is None:
        return None
    noise = scale / float(fit.law.loss(parameters, tokens)) if fit.objective == "linear" else scale
    gradient = fit.log_gradient(parameters, tokens)[0]
    return min(quantile * math.sqrt(noise**2 + float(gradient @ covariance @ gradient)), _MAX_REACH)


def _quantile(fit: Fit, confidence: float) -> float | None:
    """Return Student's two-sided quantile; None without degrees of freedom."""
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, fit.freedom)) if fit.freedom else None
