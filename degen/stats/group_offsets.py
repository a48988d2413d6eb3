"""Whether groups of points lie at different heights about a fit, by an F test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats, Ints


@dataclass(frozen=True)
class GroupOffsets:
    """How far apart groups lie about a fit.

    Attributes:
        p_value: of the F test that all lie at one height.
        spread: between the highest group and the lowest, in the unit of the residuals.
    """

    p_value: float
    spread: float


def compare_offsets(residuals: Floats, design: Floats, groups: Ints) -> GroupOffsets | None:
    """Test whether groups of points lie at one height about a linear fit, or one that is linear near its optimum.

    Formula: F = [(RSS₀ − RSS₁)/q]/[RSS₁/(n − k − q)], RSS₀ of the residuals on the design alone, RSS₁ with an offset of
    each group beside it; q is the rank that the offsets add. They sum to 0 over the points, so that a misfit of all
    groups alike is none of a group.

    Args:
        residuals: r, shape (n,).
        design: derivatives of the fit by its k parameters, n × k.
        groups: the group of each point, numbered from 0, shape (n,).

    Returns:
        The result; None where the points are too few, or the design tells the groups apart already.

    Source: Scheffé 1959, The Analysis of Variance, section 2.5.
    """
    from scipy.stats import f as fisher

    basis = _basis(design)
    dummies = (groups[:, None] == np.arange(groups.max() + 1)).astype(np.float64)
    dummies -= dummies.mean(axis=0)
    free = dummies - basis @ (basis.T @ dummies)
    offsets_basis = _basis(free, float(np.linalg.norm(dummies, axis=0).max()))
    q, freedom = offsets_basis.shape[1], len(residuals) - basis.shape[1] - offsets_basis.shape[1]
    if not q or freedom < 1:
        return None
    left = residuals - basis @ (basis.T @ residuals)
    explained = offsets_basis @ (offsets_basis.T @ left)
    inside, outside = float(explained @ explained), float(np.sum((left - explained) ** 2))
    ratio = (inside / q) / max(outside / freedom, 1e-300)
    offsets, *_ = np.linalg.lstsq(free, left, rcond=1e-9)
    return GroupOffsets(float(fisher.sf(ratio, q, freedom)), float(np.ptp(offsets)))


def _basis(columns: Floats, scale: float | None = None) -> Floats:
    """Return an orthonormal basis of the span of some columns, leaving out what is rounding.

    Args:
        columns: n × k.
        scale: size of the columns before a part of them was taken away; None for that of the largest.
    """
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    largest = scale if scale is not None else float(size.max(initial=0.0))
    return np.asarray(left[:, size > 1e-9 * max(largest, 1e-300)])
