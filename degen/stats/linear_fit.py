"""Straight lines by least squares: slope and value at any x, with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats

from .quantiles import two_sided

SAME = 1e-9  # x that differ by less, which are decimal logarithms, are one x
BEYOND = 1e-9  # an x so little outside a range counts as its end
LARGEST = 1e150  # its square is still a finite float
MIN_POINTS = 4  # different points of a line: three leave one degree of freedom for the noise


@dataclass(frozen=True)
class Line:
    """A straight line through n points, at least `MIN_POINTS`, y = a + b·x.

    Attributes:
        points: n.
        slope: b.
        centre: mean of x.
        height: mean of y, the value of the line at `centre`.
        spread: Σ (x − x̄)².
        variance: of a point around the line, RSS/(n − 2).
        r_squared: share of the variance of y that the line explains; None where y is the same everywhere.
        curvature_p: p-value of the term of x² beside the line (F-test); None for an exact line or points at two x.
    """

    points: int
    slope: float
    centre: float
    height: float
    spread: float
    variance: float
    r_squared: float | None
    curvature_p: float | None

    @property
    def freedom(self) -> int:
        """Degrees of freedom, n − 2."""
        return self.points - 2

    @property
    def intercept(self) -> float:
        """The value of the line at x = 0, a."""
        return self.at(0.0)

    @property
    def slope_se(self) -> float:
        """Standard error of the slope, s/√Σ(x − x̄)²."""
        return math.sqrt(self.variance / self.spread)

    def at(self, x: float) -> float:
        """Return the value of the line at x."""
        return self.height + self.slope * (x - self.centre)

    def variance_at(self, x: float) -> float:
        """Return the variance of the line at x, s²·(1/n + (x − x̄)²/Σ(x − x̄)²)."""
        return self.variance * (1 / self.points + (x - self.centre) ** 2 / self.spread)

    def slope_interval(self, confidence: float) -> tuple[float, float]:
        """Return the ends of the t-interval of the slope, low and high, with n − 2 degrees of freedom."""
        reach = two_sided(confidence, self.freedom) * self.slope_se
        return self.slope - reach, self.slope + reach

    def interval_at(self, x: float, confidence: float) -> tuple[float, float]:
        """Return the ends, low and high, of the t-interval of the line's value at x; a new point varies more."""
        reach = two_sided(confidence, self.freedom) * math.sqrt(self.variance_at(x))
        return self.at(x) - reach, self.at(x) + reach


def no_line(x: Floats, y: Floats) -> str | None:
    """Return the reason why no line can be fitted to the points (x, y); None where one can. Equal points count once."""
    different = len(set(zip(x.tolist(), y.tolist(), strict=True)))
    if different < MIN_POINTS:
        return f"{different} different point{'s' if different != 1 else ''} with both; a slope needs {MIN_POINTS}"
    largest = float(max(np.abs(x).max(), np.abs(y).max()))
    if largest > LARGEST:
        return f"values of up to {largest:.3g} are too large for a line"
    if np.ptp(x) < SAME:
        return f"all {different} points lie at one x; a slope needs two"
    return None


def fit_line(x: Floats, y: Floats) -> Line:
    """Return the line of least squares through n points.

    Formula: b = Σ(x − x̄)(y − ȳ) / Σ(x − x̄)².

    Args:
        x: shape (n,). The points must be such that `no_line` gives no reason against a line.
        y: shape (n,).
    """
    n, centre, height = len(x), float(x.mean()), float(y.mean())
    dx, dy = x - centre, y - height
    spread = float(dx @ dx)
    slope = float(dx @ dy) / spread
    rest = dy - slope * dx
    left, total = float(rest @ rest), float(dy @ dy)
    # what rounding leaves of equal values is no variance that a line could explain
    flat = total <= n * (1e-14 * max(1.0, float(np.abs(y).max()))) ** 2
    return Line(
        points=n,
        slope=slope,
        centre=centre,
        height=height,
        spread=spread,
        variance=left / (n - 2),
        r_squared=None if flat else 1 - left / total,
        curvature_p=None if flat or left <= 1e-20 * total else _curvature(dx, dy, left),
    )


def welch_quantile(one: Line, two: Line, at: float, confidence: float) -> float:
    """Return by how many standard errors the interval of the difference of two lines reaches to either side at one x.

    Formula: the quantile of Student's t with Welch's (v + w)² / (v²/f + w²/g) degrees of freedom; v, w are the lines'
    variances at x, which may differ, and f, g their degrees of freedom.

    Args:
        one: a line.
        two: another line.
        at: the x.
        confidence: of the two-sided interval, between 0 and 1.
    """
    v, w = one.variance_at(at), two.variance_at(at)
    scale = max(v, w) or 1.0
    parts = (v / scale) ** 2 / one.freedom + (w / scale) ** 2 / two.freedom
    freedom = ((v + w) / scale) ** 2 / parts if parts > 0 else one.freedom + two.freedom
    return two_sided(confidence, freedom)


def _curvature(dx: Floats, dy: Floats, left: float) -> float | None:
    """Return the p-value of a term of x² beside the line; None where the points lie at two x.

    Formula: F = (RSS₁ − RSS₂) / (RSS₂ / (n − 3)) on 1 and n − 3 degrees of freedom.

    Args:
        dx: x less its mean.
        dy: y less its mean.
        left: RSS₁, the sum of squares of the residuals from the line.
    """
    from scipy.special import fdtrc

    n = len(dx)
    design = np.stack([np.ones(n), dx, dx**2], axis=1) / [1, np.abs(dx).max(), np.abs(dx).max() ** 2]
    if np.linalg.matrix_rank(design) < 3:
        return None
    rest = dy - design @ np.linalg.lstsq(design, dy, rcond=None)[0]
    curved = float(rest @ rest)
    return float(fdtrc(1, n - 3, max(left - curved, 0.0) / (curved / (n - 3)))) if curved > 0 else 0.0
