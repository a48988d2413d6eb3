"""Approach 3 of Hoffmann et al.: L = E + A/N^α + B/D^β and its compute-optimal frontier, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.hints import some_names
from degen.laws.law import Fit, Law, fit_law
from degen.laws.law_search import NAMES
from degen.stats.bootstrap import Bootstrap, Draws, dirichlet, run_bootstrap
from degen.stats.power_law import check_part_ways

from .frontier import BUDGETS, Frontier, best_row, frontier_of, interval_columns
from .influence import Influence, find_influence
from .points import Points, check_enough
from .result import FitResult, Row, check_predicted, check_requests

MAX_LISTED = 5  # points that a warning names
FORMULA = "L = E + A/N^alpha + B/D^beta"
REQUESTS = [frozenset(letters) for letters in ({"N", "D"}, {"N", "C"}, {"D", "C"}, {"C"}, {"N"}, {"D"})]


@dataclass(frozen=True, eq=False)
class HoffmannFit:
    """A fitted law, with its bootstrap and the points that decide it.

    Attributes:
        points: the points that were fitted.
        fit: the fit.
        draws: the bootstrap, with A, B, E, alpha and beta of each draw; a fixed one is the same in all draws.
        influence: the points that should not decide the fit but do: outliers and decisive points.
        fixed: values of the parameters that were not fitted, by name.
    """

    points: Points
    fit: Fit
    draws: Draws
    influence: Influence
    fixed: Mapping[str, float]

    @property
    def law(self) -> Law:
        """The fitted law."""
        return self.fit.law

    @property
    def frontier(self) -> Frontier | None:
        """The compute-optimal frontier; None where a term of the law is 0, so that there is no optimum."""
        law = self.law
        if min(law.A, law.B, law.alpha, law.beta) <= 0:
            return None
        return frontier_of(law.A, law.B, law.alpha, law.beta)

    @property
    def resampled(self) -> Frontier | None:
        """The frontiers of all draws that have one, as one object with arrays; None without draws."""
        if self.frontier is None or not self.draws.estimates:
            return None
        A, B, _, alpha, beta = self._laws(valid=True)
        return frontier_of(A, B, alpha, beta)

    def parameters(self) -> dict[str, dict[str, float | None]]:
        """Return the intervals of A, B, E, alpha, beta, and of the frontier's a, b, G if it has one.

        Returns:
            Name -> `value`, `low` and `high`.
        """
        intervals = self.draws.intervals({name: getattr(self.law, name) for name in NAMES}, self.fixed)
        frontier, resampled = self.frontier, self.resampled
        if frontier is not None:
            for name in ("a", "b", "G"):
                values = np.atleast_1d(getattr(resampled, name)) if resampled is not None else None
                intervals[name] = self.draws.interval(float(getattr(frontier, name)), values)
        return intervals

    def optimum(self, letter: str, value: float) -> Row:
        """Return a row with the compute-optimal model that has a given C, N or D, its loss, and their intervals.

        Args:
            letter: the known quantity, `C`, `N` or `D`.
            value: the value of that quantity.

        Raises:
            DegenError: a term of the law is 0, so that no model is optimal.
        """
        frontier = self.frontier
        if frontier is None:
            raise DegenError(
                f"a law with {_format_law(self.law)} has no best model for a given compute, because a term is 0: do "
                "not fix a term at 0"
            )
        row, models = best_row(frontier, self.resampled, self.draws, letter, value)
        return row | self._loss(row["parameters"], row["tokens"], models)

    def predict(self, request: Mapping[str, float]) -> Row:
        """Return a row with the predicted loss of the model that has two of N, D and C, or the best model with one.

        The interval of the loss is that of the law, for the mean of many models; a single model varies around it.

        Args:
            request: the known quantities, as `{"N": 7e10, "D": 1.4e12}`.

        Raises:
            DegenError: the request has other quantities, or a prediction is too large or small for a number.
        """
        check_requests([request], REQUESTS, "the law")
        known = {letter: np.float64(value) for letter, value in request.items()}
        with np.errstate(all="ignore"):  # values out of the range of numbers are refused
            if len(known) == 1:
                return check_predicted(request, self.optimum(*next(iter(known.items()))))
            n = known["N"] if "N" in known else known["C"] / (6 * known["D"])
            d = known["D"] if "D" in known else known["C"] / (6 * n)
            row = {"flops": 6 * n * d, "parameters": n, "tokens": d, "tokens_per_parameter": d / n}
            return check_predicted(request, row | self._loss(n, d))

    def result(self, requests: Sequence[Mapping[str, float]] = ()) -> FitResult:
        """Return the parameters, rows, frontier and predictions, for print and JSON."""
        points, law = self.points, self.law
        fitted = law.loss(points.parameters, points.tokens)
        columns = zip(points.names, points.parameters, points.tokens, points.flops, points.loss, fitted, strict=True)
        decisive = set(self.influence.points)
        rows = [
            {"name": name, "parameters": float(n), "tokens": float(d), "flops": float(c), "loss": float(loss),
             "fitted": float(predicted), "residual": float(np.log(loss / predicted)), "carries_the_fit": i in decisive}
            for i, (name, n, d, c, loss, predicted) in enumerate(columns)
        ]  # fmt: skip
        return FitResult(
            law="hoffmann",
            formula=FORMULA,
            rests_on=f"{len(points)} points",
            parameters=self.parameters(),
            fixed=tuple(self.fixed),
            rows=rows,
            frontier=[self.optimum("C", flops) for flops in BUDGETS] if self.frontier is not None else [],
            predictions=[self.predict(request) for request in requests],
            warnings=self._warnings(),
            confidence=self.draws.confidence,
            no_interval=self.draws.failure_reason,
            more={
                "objective": {"name": "huber", "delta": self.fit.delta, "value": self.fit.value},
                "influence": {
                    "outliers": [points.names[i] for i in self.influence.outliers],
                    "decisive": [points.names[i] for i in self.influence.decisive],
                    "without": asdict(self.influence.without) if self.influence.without is not None else None,
                },
            },
        )

    def _warnings(self) -> list[str]:
        influence, names, loss = self.influence, self.points.names, self.points.loss
        lines = []
        if influence.outliers:
            count = "1 point lies" if len(influence.outliers) == 1 else f"{len(influence.outliers)} points lie"
            listed = some_names([f"{names[i]} (loss {loss[i]:.4g})" for i in influence.outliers], MAX_LISTED)
            lines.append(f"{count} farther from the law of the other points than noise explains: {listed}")
        number = len(influence.decisive)
        if number > MAX_LISTED:
            lines.append(
                f"the fit depends on single points: leaving out any one of {number} of the {len(names)} points changes "
                "it; add points, or fix parameters with --fix"
            )
        elif number:
            listed = some_names([names[i] for i in influence.decisive], MAX_LISTED)
            lines.append(f"the fit depends on single points; leaving out any one of these changes it: {listed}")
        if influence.points and influence.without is not None:
            laws = f"{_format_law(influence.without)}, rather than {_format_law(self.law)}"
            lines.append(f"without these points the fit is {laws}")
        return lines

    def _laws(self, valid: bool) -> list[Floats]:
        """Return five arrays, A, B, E, alpha and beta of the draws: of all, or if `valid` of those with a frontier."""
        laws = np.array([self.draws.estimates[name] for name in NAMES])
        return list(laws[:, (laws[3] > 0) & (laws[4] > 0)] if valid else laws)

    def _loss(self, n: float, d: float, models: Mapping[str, Any] | None = None) -> Row:
        """Return the columns `loss`, `loss_low` and `loss_high` of a model.

        Args:
            n: N of the model.
            d: D of the model.
            models: the best model of each draw, to compute each draw's loss at its own model; None to compute all at
                N and D.
        """
        losses = None
        if self.draws.estimates:
            A, B, E, alpha, beta = self._laws(valid=bool(models))
            sizes, data = (models["parameters"], models["tokens"]) if models else (n, d)
            losses = E + A * sizes**-alpha + B * data**-beta
        return interval_columns("loss", self.draws.interval(float(self.law.loss(n, d)), losses))


def fit_hoffmann(
    points: Points, bootstrap: Bootstrap, fixed: Mapping[str, float] | None = None, start: Law | None = None
) -> HoffmannFit:
    """Fit the parametric law to points: Huber's loss of log loss with δ = 1e-3, from the paper's grid of starts.

    Args:
        points: with parameters, tokens and losses.
        bootstrap: of the intervals: points weighted at random, each fit started from that of all points. A draw whose
            least error lies at E = 0 counts with E = 0.
        fixed: values of parameters that are not fitted, by name.
        start: a law to search from; None for the grid.

    Raises:
        DegenError: the points do not determine the free parameters.

    Source: Hoffmann et al. 2022, arXiv 2203.15556, approach 3.
    """
    points = points.complete("parameters", "tokens", "loss")
    fixed = dict(fixed or {})
    n, d, loss = points.parameters, points.tokens, points.loss
    free = [name for name in NAMES if name not in fixed]
    check_enough(points, free, "add points, or fix parameters with --fix")
    try:
        if {"A", "alpha"} & set(free) and {"B", "beta"} & set(free):
            check_part_ways(n, d, "size and tokens")
        fit = fit_law(n, d, loss, fixed=fixed, objective="huber", start=start)
    except DegenError as error:
        raise DegenError(f"{points.path}: {error}") from error

    for name, quantity in (("alpha", "size"), ("beta", "tokens")):
        if name in free and (value := getattr(fit.law, name)) <= 0:
            raise DegenError(
                f"{points.path}: the loss does not fall with growing {quantity} ({name} = {value:.3g}): check the "
                "losses"
            )

    def refit(draw: np.random.Generator) -> Mapping[str, float]:
        weights = dirichlet(draw, len(points))
        try:
            return asdict(fit_law(n, d, loss, fixed=fixed, objective="huber", start=fit.law, weights=weights).law)
        except DegenError:
            if "E" not in free:
                raise
        # the least error lies at the end of E's range: a draw like any other, and leaving it out would cut the interval
        start, without = replace(fit.law, E=0.0), {**fixed, "E": 0.0}
        return asdict(fit_law(n, d, loss, fixed=without, objective="huber", start=start, weights=weights).law)

    draws = run_bootstrap(bootstrap, refit, points=len(points), free=len(fit.free))
    return HoffmannFit(points, fit, draws, find_influence(fit, n, d, loss, fixed), fixed)


def _format_law(law: Law) -> str:
    return ", ".join(f"{name} = {getattr(law, name):.4g}" for name in NAMES)
