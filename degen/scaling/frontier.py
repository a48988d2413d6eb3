"""The compute-optimal frontier, N_opt(C) and D_opt(C), and the best model for some compute, size or tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from degen.stats.bootstrap import Draws

from .result import Row

BUDGETS = tuple(10.0**k for k in range(18, 27))  # FLOPs at which the frontier is reported
_QUANTITIES = {"N": "parameters", "D": "tokens", "C": "flops"}


@dataclass(frozen=True)
class Frontier:
    """Power laws of the best size and number of tokens in compute: of one fit, or of many where the fields are arrays.

    Formula: N_opt = k_N·C^a, D_opt = k_D·C^b.
    """

    a: Any
    b: Any
    k_N: Any  # noqa: N815 (the letters that are reported)
    k_D: Any  # noqa: N815

    @property
    def G(self) -> Any:  # noqa: N802 (the paper's letter)
        """The constant of N_opt = G·(C/6)^a."""
        return self.k_N * 6**self.a

    def parameters(self, flops: Any) -> Any:
        """Return N_opt, the best number of parameters for C FLOPs."""
        return self.k_N * flops**self.a

    def tokens(self, flops: Any) -> Any:
        """Return D_opt, the best number of tokens for C FLOPs."""
        return self.k_D * flops**self.b

    def flops_of(self, parameters: Any) -> Any:
        """Return the compute C at which a model of N parameters, `parameters`, is the best."""
        return (parameters / self.k_N) ** (1 / self.a)

    def flops_for(self, tokens: Any) -> Any:
        """Return the compute C at which training on D tokens, `tokens`, is the best."""
        return (tokens / self.k_D) ** (1 / self.b)


def best_model(frontier: Frontier, letter: str, value: float) -> dict[str, Any]:
    """Return the model of a frontier that has a given C, N or D.

    Args:
        frontier: of one fit, or of many at once.
        letter: the known quantity, `C`, `N` or `D`.
        value: the value of that quantity.

    Returns:
        `flops`, `parameters`, `tokens` and `tokens_per_parameter` by name; arrays for a frontier of many fits.
    """
    flops = {"C": lambda c: c, "N": frontier.flops_of, "D": frontier.flops_for}[letter](value)
    n = value if letter == "N" else frontier.parameters(flops)
    d = value if letter == "D" else frontier.tokens(flops)
    return {"flops": flops, "parameters": n, "tokens": d, "tokens_per_parameter": d / n}


def best_row(
    frontier: Frontier, resampled: Frontier | None, draws: Draws, letter: str, value: float
) -> tuple[Row, dict[str, Any]]:
    """Return the model of a frontier that has a given C, N or D, with intervals.

    Args:
        frontier: of the fit.
        resampled: the frontiers of all draws at once; None without draws.
        draws: the bootstrap that the intervals come from.
        letter: the known quantity, `C`, `N` or `D`.
        value: the value of that quantity.

    Returns:
        A row with the quantities of the model, and `_low` and `_high` for those that are not known; and the best models
        of all draws, as from `best_model`.
    """
    models = best_model(resampled, letter, value) if resampled is not None else {}
    row: Row = {}
    for name, best in best_model(frontier, letter, value).items():
        row[name] = best
        if name != _QUANTITIES[letter]:
            row |= interval_columns(name, draws.interval(float(best), models.get(name)))
    return row, models


def frontier_of(A: Any, B: Any, alpha: Any, beta: Any) -> Frontier:
    """Return the frontier of L = A/N^α + B/D^β + E under C = 6ND, of one law or of many with arrays.

    Formula: N_opt = G·(C/6)^a, D_opt = (C/6)^b/G with a = β/(α + β), b = α/(α + β), G = (αA/βB)^(1/(α + β)).

    Source: Hoffmann et al. 2022, arXiv 2203.15556, equation 4.
    """
    a, b = beta / (alpha + beta), alpha / (alpha + beta)
    G = np.exp(np.log(alpha * A / (beta * B)) / (alpha + beta))
    return Frontier(a, b, G / 6**a, 1 / (G * 6**b))


def interval_columns(name: str, interval: Mapping[str, float | None]) -> Row:
    """Return the columns `name`, `name_low` and `name_high` from an interval with `value`, `low` and `high`."""
    return {name: interval["value"], f"{name}_low": interval["low"], f"{name}_high": interval["high"]}
