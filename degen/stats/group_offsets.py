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


def compare_offsets(residuals: Floats, design: Floats, groups: Ints, cells: Ints | None = None) -> GroupOffsets | None:
    """Test whether groups of points lie at one height about a linear fit, or one that is linear near its optimum.

    Formula: F = [(RSS₀ − RSS₁)/q]/[RSS₁/(n − k − q)], RSS₀ of the residuals on the design alone, RSS₁ with an offset of
    each group beside it; q is the rank that the offsets add. They sum to 0 over the points, so that a misfit of all
    groups alike is none of a group.

    Args:
        residuals: r, shape (n,).
        design: derivatives of the fit by its k parameters, n × k.
        groups: the group of each point, numbered from 0, shape (n,).
        cells: of each point the number of a set of points that are compared with each other alone, numbered from 0, as
            if the design had a column for each cell, shape (n,); None to compare all.

    Returns:
        The result; None where the points are too few, or the design tells the groups apart already.

    Source: Scheffé 1959, The Analysis of Variance, section 2.5.
    """
    from scipy.stats import f as fisher

    one = cells if cells is not None else np.zeros(len(groups), dtype=np.int64)
    absorbed = int(one.max()) + 1 if cells is not None else 0
    dummies = (groups[:, None] == np.arange(groups.max() + 1)).astype(np.float64)
    dummies = _from_means(dummies, one)
    if cells is not None:
        residuals, design = _from_means(residuals[:, None], cells)[:, 0], _from_means(design, cells)
    basis = _basis(design)
    free = dummies - basis @ (basis.T @ dummies)
    offsets_basis = _basis(free, float(np.linalg.norm(dummies, axis=0).max()))
    q, freedom = offsets_basis.shape[1], len(residuals) - absorbed - basis.shape[1] - offsets_basis.shape[1]
    if not q or freedom < 1:
        return None
    left = residuals - basis @ (basis.T @ residuals)
    explained = offsets_basis @ (offsets_basis.T @ left)
    inside, outside = float(explained @ explained), float(np.sum((left - explained) ** 2))
    ratio = (inside / q) / max(outside / freedom, 1e-300)
    offsets, *_ = np.linalg.lstsq(free, left, rcond=1e-9)
    return GroupOffsets(float(fisher.sf(ratio, q, freedom)), float(np.ptp(offsets)))


def _from_means(columns: Floats, cells: Ints) -> Floats:
    """Return the differences of the values of each column, n × k, from their mean within each cell."""
    sums = np.zeros((int(cells.max()) + 1, columns.shape[1]))
    np.add.at(sums, cells, columns)
    return columns - (sums / np.bincount(cells)[:, None])[cells]


def _basis(columns: Floats, scale: float | None = None) -> Floats:
    """Return an orthonormal basis of the span of some columns, leaving out what is rounding.

    Args:
        columns: n × k.
        scale: size of the columns before a part of them was taken away; None for that of the largest.
    """
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    largest = scale if scale is not None else float(size.max(initial=0.0))
    return np.asarray(left[:, size > 1e-9 * max(largest, 1e-300)])
