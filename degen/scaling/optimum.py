"""Power laws of the best size and the best number of tokens in compute, as approaches 1 and 2 give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.stats.bootstrap import Draws
from degen.stats.power_law import fit_power

from .frontier import BUDGETS, best_row
from .result import FitResult, Row, check_predicted, check_requests

FORMULA = "N_opt = k_N·C^a, D_opt = k_D·C^b"
REQUESTS = [frozenset("C"), frozenset("N"), frozenset("D")]


def optimum_constants(flops: Floats, sizes: Floats, tokens: Floats) -> dict[str, float]:
    """Fit a, b, k_N and k_D to the best models of some budgets, by least squares on logarithms.

    Raises:
        DegenError: the best size does not grow with compute, or there is but one budget.
    """
    size, data = fit_power(flops, sizes, "compute"), fit_power(flops, tokens, "compute")
    return {
        "a": size.exponent,
        "b": data.exponent,
        "k_N": float(np.exp(size.log_coefficient)),
        "k_D": float(np.exp(data.log_coefficient)),
    }


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a figure shows of a training curve, over C, or of a budget, over N.

    Attributes:
        name: of the curve or budget.
        x: C or N of what was measured.
        loss: L of it.
        line: C or N, and L, of the line through it.
    """

    name: str
    x: Floats
    loss: Floats
    line: tuple[Floats, Floats]


@dataclass(frozen=True, eq=False)
class OptimumFit:
    """The best models of some budgets, and the power laws through them.

    Attributes:
        law: `envelope` or `isoflop`.
        rests_on: what the rows are.
        rows: the budgets, with the best model of each.
        constants: a, b, k_N, k_D.
        draws: the bootstrap: the constants of each draw.
        warnings: what a reader should know.
        drawn: the curves or parabolas that a figure shows.
    """

    law: str
    rests_on: str
    rows: Sequence[Row]
    constants: Mapping[str, float]
    draws: Draws
    warnings: Sequence[str]
    drawn: Sequence[Drawn]

    def predict(self, request: Mapping[str, float]) -> Row:
        """Return the best model for C FLOPs, or the budget for which N parameters or D tokens are best.

        Raises:
            DegenError: something else was given.
        """
        check_requests([request], REQUESTS, "the power law")
        ((letter, given),) = request.items()
        with np.errstate(all="ignore"):  # what leaves the range of numbers is refused
            found = {name: np.asarray(values) for name, values in self.draws.estimates.items()}
            drawn = _Powers(found) if found else None
            row, _ = best_row(_Powers(self.constants), drawn, self.draws, letter, np.float64(given))
        return check_predicted(request, row)

    def result(self, requests: Sequence[Mapping[str, float]] = ()) -> FitResult:
        """Return all of it, for print and JSON."""
        return FitResult(
            law=self.law,
            formula=FORMULA,
            rests_on=self.rests_on,
            parameters=self.draws.intervals(self.constants),
            rows=self.rows,
            frontier=[self.predict({"C": flops}) for flops in BUDGETS],
            predictions=[self.predict(request) for request in requests],
            warnings=self.warnings,
            confidence=self.draws.confidence,
            no_interval=self.draws.failure_reason,
        )


def check_grows(constants: Mapping[str, float], path: Any) -> None:
    """Refuse a best size that shrinks with compute.

    Raises:
        DegenError: it does.
    """
    if constants["a"] <= 0:
        raise DegenError(f"{path}: the best size shrinks with compute (a = {constants['a']:.3g}); look at the losses")


@dataclass(frozen=True, eq=False)
class _Powers:
    """N_opt = k_N·C^a and D_opt = k_D·C^b, of one fit or of many at once."""

    constants: Mapping[str, Any]

    def parameters(self, flops: Any) -> Any:
        return self.constants["k_N"] * flops ** self.constants["a"]

    def tokens(self, flops: Any) -> Any:
        return self.constants["k_D"] * flops ** self.constants["b"]

    def flops_of(self, parameters: Any) -> Any:
        return (parameters / self.constants["k_N"]) ** (1 / self.constants["a"])

    def flops_for(self, tokens: Any) -> Any:
        return (tokens / self.constants["k_D"]) ** (1 / self.constants["b"])
