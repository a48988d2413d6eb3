"""The models of least loss for their compute, and the best one for some compute, size or tokens, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from degen.stats.bootstrap import Draws

from .result import Row

BUDGETS = tuple(10.0**k for k in range(18, 27))  # FLOPs at which the frontier is shown
GIVEN = {"N": "parameters", "D": "tokens", "C": "flops"}


@dataclass(frozen=True)
class Frontier:
    """The models of least loss for their compute, under C = 6ND.

    Formula: N_opt = G·(C/6)^a, D_opt = (C/6)^b/G with a = β/(α + β), b = α/(α + β), G = (αA/βB)^(1/(α + β)).

    Source: Hoffmann et al. 2022, arXiv 2203.15556, equation 4.
    """

    a: Any
    b: Any
    G: Any

    def parameters(self, flops: Any) -> Any:
        """Return N_opt for C FLOPs."""
        return self.G * (flops / 6) ** self.a

    def tokens(self, flops: Any) -> Any:
        """Return D_opt for C FLOPs."""
        return (flops / 6) ** self.b / self.G

    def flops_of(self, parameters: Any) -> Any:
        """Return C for which N parameters are best."""
        return 6 * (parameters / self.G) ** (1 / self.a)

    def flops_for(self, tokens: Any) -> Any:
        """Return C for which D tokens are best."""
        return 6 * (tokens * self.G) ** (1 / self.b)


def best_model(frontier: Any, letter: str, given: float) -> dict[str, Any]:
    """Return the model of a frontier, or of many at once, for which C, N or D is given.

    Args:
        frontier: with `parameters`, `tokens`, `flops_of` and `flops_for`.
        letter: which of the three.
        given: its value.
    """
    flops = {"C": lambda c: c, "N": frontier.flops_of, "D": frontier.flops_for}[letter](given)
    n = given if letter == "N" else frontier.parameters(flops)
    d = given if letter == "D" else frontier.tokens(flops)
    return {"flops": flops, "parameters": n, "tokens": d, "tokens_per_parameter": d / n}


def best_row(frontier: Any, drawn: Any, draws: Draws, letter: str, given: float) -> tuple[Row, dict[str, Any]]:
    """Return the best model with an interval of all that was not given, and the best models of the draws.

    Args:
        frontier: as in `best_model`.
        drawn: of all draws at once; None without any.
        draws: what the intervals are from.
        letter: which of C, N and D is given.
        given: its value.
    """
    spread = best_model(drawn, letter, given) if drawn is not None else {}
    row: Row = {}
    for name, value in best_model(frontier, letter, given).items():
        row[name] = value
        if name != GIVEN[letter]:
            row |= interval_columns(name, draws.interval(float(value), spread.get(name)))
    return row, spread


def frontier_of(A: Any, B: Any, alpha: Any, beta: Any) -> Frontier:
    """Return the frontier of a law, or of many at once: each a number or an array."""
    total = alpha + beta
    return Frontier(beta / total, alpha / total, np.exp(np.log(alpha * A / (beta * B)) / total))


def interval_columns(name: str, interval: Mapping[str, float | None]) -> Row:
    """Return a value and the ends of its interval as columns `name`, `name_low` and `name_high`."""
    return {name: interval["value"], f"{name}_low": interval["low"], f"{name}_high": interval["high"]}
