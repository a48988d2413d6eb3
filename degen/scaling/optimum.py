"""Power laws of the best size and number of tokens in compute, the result of approaches 1 and 2 of Hoffmann et al."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.stats.bootstrap import Draws
from degen.stats.power_law import fit_power

from .frontier import BUDGETS, Frontier, best_row
from .result import FitResult, Row, check_predicted, check_requests

FORMULA = "N_opt = k_N·C^a, D_opt = k_D·C^b"
REQUESTS = [frozenset("C"), frozenset("N"), frozenset("D")]


def optimum_constants(flops: Floats, sizes: Floats, tokens: Floats) -> dict[str, float]:
    """Return a, b, k_N and k_D, fitted to the best models of some budgets by least squares on logarithms.

    Args:
        flops: C of each budget.
        sizes: N_opt of each budget.
        tokens: D_opt of each budget.

    Raises:
        DegenError: all budgets have one C.
    """
    size, data = fit_power(flops, sizes, "compute"), fit_power(flops, tokens, "compute")
    return {
        "a": size.exponent,
        "b": data.exponent,
        "k_N": float(np.exp(size.log_coefficient)),
        "k_D": float(np.exp(data.log_coefficient)),
    }


@dataclass(frozen=True, eq=False)
class PlotSeries:
    """A training curve over C, or a budget over N, as a figure shows it.

    Attributes:
        name: of the curve or budget.
        x: C or N of the measured losses.
        loss: the measured losses, L.
        line: C or N, and L, of the fitted line.
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
        rests_on: the number of budgets that were fitted, as text.
        rows: a row for each budget, with its best model.
        constants: a, b, k_N and k_D, by name.
        draws: the bootstrap: the constants of each draw.
        warnings: lines of warning.
        plot_series: the curves or parabolas, for the figure.
    """

    law: str
    rests_on: str
    rows: Sequence[Row]
    constants: Mapping[str, float]
    draws: Draws
    warnings: Sequence[str]
    plot_series: Sequence[PlotSeries]

    def predict(self, request: Mapping[str, float]) -> Row:
        """Return a row with the compute-optimal model that has a given C, N or D, with intervals.

        Args:
            request: the known quantity, as `{"C": 1e21}`.

        Raises:
            DegenError: the request is not exactly one of C, N and D, or a prediction is out of the range of numbers.
        """
        check_requests([request], REQUESTS, "the power law")
        ((letter, value),) = request.items()
        resampled = Frontier(**self.draws.estimates) if self.draws.estimates else None
        with np.errstate(all="ignore"):  # values out of the range of numbers are refused below
            row, _ = best_row(Frontier(**self.constants), resampled, self.draws, letter, np.float64(value))
        return check_predicted(request, row)

    def result(self, requests: Sequence[Mapping[str, float]] = ()) -> FitResult:
        """Return the parameters, rows, frontier and predictions, for print and JSON."""
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
    """Refuse a fit in which the best size falls as compute grows.

    Args:
        constants: a, b, k_N and k_D, by name.
        path: the table, for the error.
    """
    if constants["a"] <= 0:
        raise DegenError(
            f"{path}: the best size falls as compute grows (a = {constants['a']:.3g}); check the losses in the table"
        )
