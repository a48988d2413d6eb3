"""TwoNN: the intrinsic dimension of the states, from the distances to their two nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

import numpy as np

from degen.arrays import Floats, Ints
from degen.errors import DegenError
from degen.probe import Site
from degen.states.chosen_rows import POSITIONS, Reservoir
from degen.states.reasons import joined, rounding_alone
from degen.states.shared_states import StateProbe
from degen.tables import Column, Metric, Row
from degen.text.windows import Sample

FEWEST = 3
MOST = 50_000
DISCARDED = 0.1  # of the largest ratios
CANDIDATES = 4  # neighbours by products, whose distances are then computed by differences
CLOSE = 0.01  # of the product of lengths: from a smaller squared distance rounding of products would be seen
AT_ONCE = 2_000_000  # distances of a block of rows, where there are more than 2,000 states


def nearest_two(states: Floats) -> tuple[Floats, Floats]:
    """Return the distances r₁ and r₂ of each state to its nearest and second nearest other one.

    Args:
        states: n × d, n of 3 or more.
    """
    h = states - states.mean(axis=0)
    squares, n = (h**2).sum(axis=1), len(h)
    found = np.empty((n, 2))
    rows_at_once = n if n <= POSITIONS else max(AT_ONCE // n, 1)  # all at once: a symmetric product takes half the time
    for start in range(0, n, rows_at_once):
        rows = slice(start, start + rows_at_once)
        apart = h[rows] @ h.T
        apart *= -2
        apart += squares[rows, None]
        apart += squares
        apart[np.arange(len(apart)), np.arange(start, start + len(apart))] = np.inf
        least = np.partition(apart, 1, axis=1)[:, :2]
        found[rows] = np.sqrt(least.clip(min=0))
        close = np.flatnonzero(least[:, 0] < CLOSE * np.sqrt(squares[rows] * squares.max()))
        found[close + start] = _nearest_by_differences(states, close + start, apart[close])
    return found[:, 0], found[:, 1]


def _nearest_by_differences(states: Floats, rows: Ints, apart: Floats) -> Floats:
    """Return the distances of some states to their two nearest ones, by differences of those that are nearest roughly.

    Args:
        states: n × d.
        rows: indices of those states, m.
        apart: their squared distances to all, by products, m × n.
    """
    count = min(CANDIDATES, len(states) - 1)
    near = np.argpartition(apart, count - 1, axis=1)[:, :count]
    exact = np.stack([np.linalg.norm(states[rows] - states[near[:, k]], axis=1) for k in range(count)], axis=1)
    nearest: Floats = np.sort(exact, axis=1)[:, :2]
    return nearest


def two_nn(states: Floats) -> float | None:
    """Return the intrinsic dimension d: the slope of −ln(1 − F(μ)) over ln μ through the origin, μ = r₂/r₁.

    F is the share of the states with a ratio up to μ; the largest tenth of the ratios is left out.

    Args:
        states: n × d, all different.

    Returns:
        Above 0; None for fewer than three states, or where all ratios are 1.

    Source: Facco et al. 2017, Estimating the intrinsic dimension of datasets by a minimal neighborhood information.
    """
    n = len(states)
    if n < FEWEST:
        return None
    nearest, second = nearest_two(states)
    ratios = np.sort(np.log(second / nearest))[: int(n * (1 - DISCARDED))]
    expected = -np.log1p(-np.arange(1, len(ratios) + 1) / n)
    return float(ratios @ expected / (ratios @ ratios)) if ratios.any() else None


@cache
def reservoir_of(positions: int) -> type[Reservoir]:
    """Return the class of the accumulator that keeps so many positions."""
    return Reservoir if positions == POSITIONS else type("Reservoir", (Reservoir,), {"limit": positions})


class TwoNN(StateProbe):
    """The intrinsic dimension of the states of every site, by their two nearest neighbours.

    Args:
        sample: the windows that will come.
        positions: how many positions to keep, at most.
    """

    measures = "intrinsic dimension of the states at every layer, by the distances to two nearest neighbours"
    accumulators: ClassVar[tuple[type[Reservoir], ...]] = (Reservoir,)
    cost = "distances of 2,000 states of every site at the end: 8·10⁶·d FLOPs; memory: 2,000 states a site and domain"
    metrics = (
        Metric(
            ("two_nn_dimension",),
            formula="slope of −ln(1 − F(μ)) over ln μ, μ = r₂/r₁, without the largest tenth, of 2,000 positions",
            source="Facco et al. 2017",
            range="0 to infinity, about the dimension of a manifold; too low for one of many dimensions",
            high="the states fill a manifold of many dimensions near each of them",
            low="they lie near curves or surfaces",
            clashes="effective ranks, which are of a linear hull; the maximum-likelihood TwoNN of dadapy",
        ),
    )
    columns = {
        "layers": (
            Column("two_nn_dimension", "float64", "dimensions",
                   "intrinsic dimension by two nearest neighbours, of the different states at 2,000 positions"),
        )
    }  # fmt: skip

    def __init__(self, sample: Sample, positions: int = POSITIONS) -> None:
        super().__init__(sample)
        self._reservoir = reservoir_of(positions)
        self.accumulators = (self._reservoir,)  # type: ignore[misc]  # those of this instance

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Check the option `positions`."""
        super().check({name: value for name, value in options.items() if name != "positions"})
        value = options.get("positions", POSITIONS)
        if not isinstance(value, int) or isinstance(value, bool) or not FEWEST <= value <= MOST:
            raise DegenError(f"probe two_nn: positions is {value!r}; must be a whole number of {FEWEST} to {MOST}")

    def layer_row(self, site: Site, domain: int | None = None) -> Row:
        """Return the columns of table `layers` for one site, of the states of all or of one domain."""
        reservoir = self.shared.get(self._reservoir)
        different, positions = reservoir.different_states(site, domain), len(reservoir.states(site, domain))
        if not np.isfinite(different).all():
            return {"reason": "its states are not finite, or too large for their squares"}
        value = two_nn(different)
        reasons: list[str | None] = []
        if len(different) < positions:
            reasons.append(f"two_nn_dimension of {len(different)} different states at {positions} positions")
        if value is None:
            fault = "fewer than three" if len(different) < FEWEST else "neighbours at equal distances"
            reasons.append(f"no two_nn_dimension: {fault}")
        elif len(different) < 10 * value:
            reasons.append(f"two_nn_dimension of {len(different)} states is too low: fewer than 10 for each dimension")
        if value is not None:
            reasons.append(rounding_alone(different.mean(axis=0), different.var(axis=0), self.unit(site)))
        return {"two_nn_dimension": value, "reason": joined(reasons)}
