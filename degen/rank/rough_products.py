"""Products in float32, which take half the time, and how far they may be off: enough to tell what needs float64."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from degen.arrays import Floats

Singles = np.ndarray[Any, np.dtype[np.float32]]

UNIT = 2.0**-24  # of float32: half the distance between 1 and the next number
LEAST = 1e-17  # a length whose squares float32 can add
MOST = 1e37  # a product above which sums may be no float32


def lengths_of(rows: Singles) -> Singles:
    """Return ‖a‖ of every row a, n."""
    with np.errstate(over="ignore"):  # infinite, and so is the error then
        return cast("Singles", np.sqrt(np.einsum("nk,nk->n", rows, rows)))


def product(rows: Singles, columns: Singles) -> Singles:
    """Return the product of two matrices, by torch, as what is around it: threads of another library would wait."""
    import torch

    return cast("Singles", (torch.from_numpy(rows) @ torch.from_numpy(columns)).numpy())


def rounding(terms: int) -> float:
    """Return γ = mu/(1 − mu), u = 2⁻²⁴ and m some more than the terms: how far a sum in float32 is off in any order.

    That is as a share of the sum of what is added, each without its sign.

    Source: Higham 2002, Accuracy and Stability of Numerical Algorithms, 3.1.
    """
    share = (terms + 8) * UNIT
    return share / (1 - share)


def product_error(rows: Floats | Singles | float, columns: Floats, terms: int) -> Floats:
    """Return how far a·b in float32 may be from a·b, both rounded to float32 before.

    Formula: |fl(a·b) − a·b| ≤ γ‖a‖‖b‖, and some more where lengths are so small that squares of them are rounded to 0.

    Args:
        rows: ‖a‖, in float32 as `lengths_of` returns them.
        columns: ‖b‖, of the same shape or one that broadcasts.
        terms: d, numbers of a.

    Returns:
        Infinite where a·b may be no float32.

    Source: Higham 2002, Accuracy and Stability of Numerical Algorithms, 3.1.
    """
    longest = (np.asarray(rows, dtype=np.float64) + LEAST) * (columns + LEAST)
    with np.errstate(invalid="ignore"):
        error: Floats = np.where(longest < MOST, rounding(terms) * longest, np.inf)
    return error
