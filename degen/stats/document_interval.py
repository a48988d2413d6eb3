"""One-sided intervals of a statistic of documents that may be skewed: Student's t, widened by an unseen document."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats

from .quantiles import one_sided

# An unseen document lies as far out as the farthest one of that side, plus MIN_REACH times what that side reaches
# farther than the other; with fewer than REACH / MIN_REACH documents, REACH / documents times.
MIN_REACH, REACH = 2.0, 40.0
LARGEST_COSINE = 1 - 1e-12  # beyond which Fisher's z is cut off


@dataclass(frozen=True)
class JackknifeRange:
    """How far single documents move a statistic.

    Attributes:
        lowest: the statistic without the document that raises it most.
        highest: the statistic without the document that lowers it most.
        center: an estimate of the statistic with less bias, in the same unit; None to use the statistic itself.
    """

    lowest: float
    highest: float
    center: float | None = None


@dataclass(frozen=True)
class DocumentInterval:
    """The ends of the one-sided intervals to either side.

    Attributes:
        low: lower end.
        high: upper end.
        normal_low: lower end by Student's t alone, as if documents were normally distributed; at least `low`.
        normal_high: upper end as well; at most `high`.
    """

    low: float
    high: float
    normal_low: float
    normal_high: float


def jackknife_range(leave_one_out: Floats, center: float | None = None) -> JackknifeRange | None:
    """Return the extremes of a statistic with one document left out.

    Args:
        leave_one_out: the statistic without each of the W documents.
        center: see `JackknifeRange`.

    Returns:
        The extremes; None with fewer than two documents, or where a value is NaN or infinite.
    """
    if len(leave_one_out) < 2 or not np.isfinite(leave_one_out).all():
        return None
    return JackknifeRange(float(leave_one_out.min()), float(leave_one_out.max()), center)


def document_interval(
    value: float,
    error: float,
    confidence: float,
    freedom: int | None = None,
    spread: JackknifeRange | None = None,
    cosine: bool = False,
) -> DocumentInterval:
    """Return the one-sided intervals of a statistic, to either side.

    Formula: Student's t gives c ± t·e, c the centre of `spread`, else the value θ. That misses too often where the
    documents are skewed: one in eighty may move θ, and a sample without it shows less error and another value. So one
    more document is added, as far out as might not have been seen. With W documents, of which document w moves θ by
    about (W − 1)(θ − θ₍w₎)/W, a = (W − 1)(max θ₍w₎ − θ) is the reach of the lower side and b = (W − 1)(θ − min θ₍w₎)
    that of the upper; the added one has p = −a − k·max(0, a − b), k = max(2, 40/W). Mean and variance with it,
    m = p/(W + 1) and s² = (W(W − 1)e² + p² − (W + 1)m²)/(W(W + 1)), give the lower end c + m − t·s, where that is
    below c − t·e; the upper end by symmetry. A cosine is taken through Fisher's z = artanh θ, e/(1 − c²).

    Args:
        value: θ.
        error: its delete-one-document jackknife standard error e, 0 or more.
        confidence: of each side alone, at least 0.5 and below 1.
        freedom: W − 1; None if the number of documents is unknown, for the normal quantile and no added document.
        spread: the extremes of θ₍w₎; None if unknown.
        cosine: whether the statistic is a mean cosine, within ±1.

    Source: `python bench/gate_documents.py` for the rates; Fisher 1915 for z.
    """
    if error == 0:
        return DocumentInterval(value, value, value, value)
    if cosine and abs(value) < 1:
        return _through_z(value, error, confidence, freedom, spread)
    t = one_sided(confidence, freedom)
    center = value if spread is None or spread.center is None else spread.center
    low, high = center - t * error, center + t * error
    if spread is None or freedom is None:
        return DocumentInterval(low, high, low, high)
    below, above = freedom * (spread.highest - value), freedom * (value - spread.lowest)
    documents = freedom + 1
    return DocumentInterval(
        low=min(low, center - _reach(below, above, error, documents, t)),
        high=max(high, center + _reach(above, below, error, documents, t)),
        normal_low=low,
        normal_high=high,
    )


def _through_z(
    value: float, error: float, confidence: float, freedom: int | None, spread: JackknifeRange | None
) -> DocumentInterval:
    center = value if spread is None or spread.center is None or abs(spread.center) >= 1 else spread.center
    on_z = None
    if spread is not None:
        on_z = JackknifeRange(_z(spread.lowest), _z(spread.highest), _z(center))
    interval = document_interval(_z(value), error / (1 - center**2), confidence, freedom, on_z)
    return DocumentInterval(*map(math.tanh, (interval.low, interval.high, interval.normal_low, interval.normal_high)))


def _z(cosine: float) -> float:
    return math.atanh(min(max(cosine, -LARGEST_COSINE), LARGEST_COSINE))


def _reach(own: float, other: float, error: float, documents: int, t: float) -> float:
    """Return the distance from the centre to the end of a side, with one more document on it.

    Args:
        own: how far the farthest document of this side is out.
        other: the same of the other side.
        error: standard error without that document.
        documents: W, without it.
        t: the quantile.
    """
    far = own + max(MIN_REACH, REACH / documents) * max(0.0, own - other)
    shift = far / (documents + 1)
    squares = documents * (documents - 1) * error**2 + far**2 - (documents + 1) * shift**2
    return shift + t * math.sqrt(max(squares, 0.0) / (documents * (documents + 1)))
