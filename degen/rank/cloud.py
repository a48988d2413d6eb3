"""The rows of the LM head as points: those nearest to their mean, and the one that is furthest in a direction.

What can be told from float32 is: rows that a bound of its rounding leaves in doubt are looked at in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats, Ints
from degen.model.lm_head import Head

from .head_factor import head_factor
from .linear_algebra import MIN_SINGULAR
from .rough_products import Singles, lengths_of, product, product_error, rounding

if TYPE_CHECKING:
    import torch

PAIRS = 8  # rows in doubt for every direction; of more of them all rows are looked at


@dataclass(frozen=True)
class Block:
    """Some consecutive rows a of a cloud, each w or (w, b).

    Attributes:
        first: how many rows lie before them.
        stored: w, n × d, as they are stored.
        bias: b, n; None where it takes no part.
    """

    first: int
    stored: torch.Tensor
    bias: Floats | None

    def __len__(self) -> int:
        return len(self.stored)

    def exact(self, at: Ints | None = None) -> Floats:
        """Return a in float64, of some rows or of all."""
        import torch

        rows = self.stored if at is None else self.stored[torch.from_numpy(at)]
        own: Floats = rows.double().numpy()
        if self.bias is None:
            return own
        bias = self.bias if at is None else self.bias[at]
        return np.concatenate([own, bias[:, None]], axis=1)

    def rough(self) -> Singles:
        """Return all a in float32."""
        own: Singles = self.stored.float().numpy()
        if self.bias is None:
            return own
        with np.errstate(over="ignore"):
            return np.concatenate([own, self.bias[:, None].astype(np.float32)], axis=1)


@dataclass(frozen=True)
class Cloud:
    """The rows of a head as points: what can be the argmax stays the same when all are shifted or mapped linearly.

    Attributes:
        head: whose used rows they are.
        mean: of all a, k.
        whiten: A, k × m: z = (a − mean)A has the covariance I (a bias, the last column, is only scaled).
        biases: those of the rows, where they differ, V; their x must not be negative.
    """

    head: Head
    mean: Floats
    whiten: Floats
    biases: Floats | None

    @property
    def bias(self) -> bool:
        """Whether the last column of a and z is a bias."""
        return self.biases is not None

    def blocks(self) -> Iterator[Block]:
        """Yield all rows in order, a block at a time."""
        first = 0
        for _, _, stored in self.head.stored_blocks():
            last = first + len(stored)
            yield Block(first, stored, None if self.biases is None else self.biases[first:last])
            first = last


@dataclass(frozen=True)
class Points:
    """Some rows of a cloud.

    Attributes:
        rows: i, their indices, n.
        stored: a_i as they are stored, n × k: differences of these are exactly zero for equal rows.
        points: z_i, n × m.
        distances: from the mean by Mahalanobis, a bias left out.
    """

    rows: Ints
    stored: Floats
    points: Floats
    distances: Floats


def cloud_of(head: Head) -> Cloud | None:
    """Return the used rows of a head as a cloud, without directions in which they do not differ; None if all are equal.

    Raises:
        NotFiniteError: a row or the bias holds NaN or infinity.
    """
    factor, bias = head_factor(head), head.bias
    if factor is None:
        return None
    values, vectors = factor.centred_directions
    kept = values > MIN_SINGULAR * max(float(values.max()), 1e-300)
    whiten: Floats = vectors.numpy()[:, kept] * (math.sqrt(factor.rows) / values[kept])
    mean = factor.mean.numpy()
    spread = 0.0 if bias is None else float(bias.std())
    if bias is not None and spread > 0:
        whiten = np.pad(whiten, ((0, 1), (0, 1)))
        whiten[-1, -1] = 1 / spread
        mean = np.append(mean, bias.mean())
    return Cloud(head, mean, whiten, bias if spread > 0 else None) if whiten.shape[1] else None


def nearest(cloud: Cloud, count: int) -> Points:
    """Return the rows nearest to the mean, in order of their distance."""
    width, points = cloud.whiten.shape
    found = Points(np.zeros(0, dtype=np.int64), np.zeros((0, width)), np.zeros((0, points)), np.zeros(0))
    shift, lengths = cloud.mean @ cloud.whiten, _RoughLengths(cloud)
    for block in cloud.blocks():
        limit = float(found.distances[-1]) if len(found.rows) == count else math.inf
        at = lengths.among_nearest(block, count, limit)
        stored = block.exact(at)
        own = stored @ cloud.whiten - shift
        states = own[:, : -1 if cloud.bias else None]
        rows = block.first + (np.arange(len(block)) if at is None else at)
        distances = np.concatenate([found.distances, np.sqrt(np.einsum("nk,nk->n", states, states))])
        kept = np.argsort(distances, kind="stable")[:count]
        found = Points(
            np.concatenate([found.rows, rows])[kept],
            np.concatenate([found.stored, stored])[kept],
            np.concatenate([found.points, own])[kept],
            distances[kept],
        )
    return found


class _RoughLengths:
    """The lengths ‖z‖ of the rows of a cloud in float32, a bias left out, and how far they may be off."""

    def __init__(self, cloud: Cloud) -> None:
        states = slice(-1 if cloud.bias else None)
        whiten, mean = cloud.whiten[states, states], cloud.mean[states]
        with np.errstate(over="ignore"):
            self._whiten, self._shift = whiten.astype(np.float32), (mean @ whiten).astype(np.float32)
        self._mean, self._size = float(np.linalg.norm(mean)), float(np.linalg.norm(whiten))
        self._of_use = True

    def among_nearest(self, block: Block, count: int, limit: float) -> Ints | None:
        """Return the rows of a block that may be among the nearest; None for all.

        Of z = aA − μA every number is off by up to γ(‖a‖ + ‖μ‖)‖A_k‖, so that ‖z‖ is by up to γ(‖a‖ + ‖μ‖)‖A‖_F.

        Args:
            block: some rows.
            count: how many are asked for.
            limit: the distance of the furthest of so many before this block; infinite where there were fewer.
        """
        if not self._of_use or not len(block):
            return None
        rows = block.stored.float().numpy()
        with np.errstate(all="ignore"):
            points = product(rows, self._whiten)
            points -= self._shift
            lengths = lengths_of(points).astype(np.float64)
            error = product_error(
                lengths_of(rows).astype(np.float64) + self._mean, np.asarray(self._size), rows.shape[1]
            )
            error += rounding(len(self._shift)) * lengths
            highest = lengths + error
        if not np.isfinite(highest).all():
            self._of_use = False
            return None
        if len(highest) > count:
            limit = min(limit, float(np.partition(highest, count - 1)[count - 1]))
        at = np.flatnonzero(lengths - error <= limit)
        self._of_use = 2 * len(at) < len(block)
        return at


def best_others(cloud: Cloud, rows: Ints, directions: Floats) -> Floats:
    """Return for every direction x of a row i the row a_j, j ≠ i, with the largest z_j·x, in one pass over all rows.

    Args:
        cloud: all rows.
        rows: i, one for each direction.
        directions: x, one a row.
    """
    score, vectors = np.full(len(rows), -np.inf), np.zeros((len(rows), len(cloud.whiten)))
    mapped: Floats = cloud.whiten @ directions.T
    lengths = np.sqrt(np.einsum("km,km->m", mapped, mapped))
    with np.errstate(over="ignore"):
        rough = mapped.astype(np.float32)
    for block in cloud.blocks():
        if not len(block):
            continue
        inside = np.flatnonzero((rows >= block.first) & (rows < block.first + len(block)))
        own = rows[inside] - block.first, inside
        pairs = _in_doubt(block, rough, lengths, score, own)
        if pairs is None:
            stored = block.exact()
            dots = stored @ mapped
            dots[own] = -np.inf
            at, columns = dots.argmax(axis=0), np.arange(len(rows))
            here, best = dots[at, columns], stored[at]
        else:
            stored = block.exact(pairs[0])
            dots = np.einsum("pk,pk->p", stored, mapped.T[pairs[1]])
            order = np.lexsort((-dots, pairs[1]))
            columns, first = np.unique(pairs[1][order], return_index=True)
            here, best = dots[order[first]], stored[order[first]]
        better = here > score[columns]
        score[columns[better]], vectors[columns[better]] = here[better], best[better]
    return vectors


def _in_doubt(
    block: Block, mapped: Singles, lengths: Floats, score: Floats, own: tuple[Ints, Ints]
) -> tuple[Ints, Ints] | None:
    """Return the rows j of a block and the directions in which they may be the furthest so far; None for all of them.

    Args:
        block: some rows a.
        mapped: the directions, k × m.
        lengths: of the directions, m.
        score: the largest a·x before this block, m.
        own: rows and directions that take no part.
    """
    rows = block.rough()
    error = product_error(float(lengths_of(rows).max()), lengths, len(mapped))
    if not np.isfinite(error).all():
        return None
    dots = product(rows, mapped)
    dots[own] = -np.inf
    lowest = np.maximum(score, dots.max(axis=0) - error) - error
    with np.errstate(over="ignore"):
        bound = np.nextafter(lowest.astype(np.float32), np.float32(-np.inf))
    bound = np.maximum(bound, np.finfo(np.float32).min)  # above what takes no part
    chosen = dots >= bound
    if np.count_nonzero(chosen) > PAIRS * len(lengths):
        return None
    at, columns = np.nonzero(chosen)
    return at, columns
