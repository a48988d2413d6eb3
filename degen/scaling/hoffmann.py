"""Approach 3 of Hoffmann et al.: L = E + A/N^α + B/D^β, its frontier, and how sure both are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.laws.law import Fit, Law, fit_law
from degen.laws.law_search import NAMES
from degen.stats.bootstrap import Bootstrap, Draws, pairs, run_bootstrap
from degen.stats.power_law import check_part_ways

from .frontier import BUDGETS, Frontier, best_row, frontier_of, interval_columns
from .influence import Influence, find_influence
from .points import Points, check_enough
from .result import FitResult, Row, check_predicted, check_requests

FORMULA = "L = E + A/N^alpha + B/D^beta"
REQUESTS = [frozenset(w) for w in ({"N", "D"}, {"N", "C"}, {"D", "C"}, {"C"}, {"N"}, {"D"})]


@dataclass(frozen=True, eq=False)
class HoffmannFit:
    """The law that was fitted, and what surrounds it.

    Attributes:
        points: those that were fitted.
        fit: the fit.
        draws: the bootstrap; A, B, E, alpha, beta of each.
        influence: the points that carry the fit.
        fixed: parameters that were not fitted.
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
        """The compute-optimal frontier; None where the law has no such thing, a term being fixed at 0."""
        law = self.law
        if min(law.A, law.B, law.alpha, law.beta) <= 0:
            return None
        return frontier_of(law.A, law.B, law.alpha, law.beta)

    @property
    def drawn(self) -> Frontier | None:
        """The frontiers of all draws at once, those alone that have one."""
        if self.frontier is None or not self.draws.estimates:
            return None
        A, B, _, alpha, beta = self._laws()
        there = (alpha > 0) & (beta > 0)
        return frontier_of(A[there], B[there], alpha[there], beta[there])

    def parameters(self) -> dict[str, dict[str, float | None]]:
        """Return value, low and high of A, B, E, alpha, beta, and of the frontier's a, b, G."""
        found = self.draws.intervals({name: getattr(self.law, name) for name in NAMES}, self.fixed)
        frontier, drawn = self.frontier, self.drawn
        if frontier is not None:
            for name in ("a", "b", "G"):
                spread = getattr(drawn, name) if drawn is not None else None
                if spread is not None and np.ndim(spread) == 0:  # what it is made of is fixed
                    spread = np.full(1, float(spread))
                found[name] = self.draws.interval(float(getattr(frontier, name)), spread)
        return found

    def optimum(self, letter: str, given: float) -> Row:
        """Return the best model for C FLOPs, or that has N parameters or D tokens; what is not given with its interval.

        Raises:
            DegenError: the law has no frontier.
        """
        best = self.frontier
        if best is None:
            raise DegenError(
                f"a law with {_format_law(self.law)} has no best model for its compute: free what is fixed at 0"
            )
        row, spread = best_row(best, self.drawn, self.draws, letter, given)
        return row | self._loss(row["parameters"], row["tokens"], spread)

    def predict(self, request: Mapping[str, float]) -> Row:
        """Predict a model: of two of N, D and C its loss; of one of them the best model that has it.

        The interval is that of the law, where many models would lie on average; a single one varies around it.

        Raises:
            DegenError: nothing the law predicts from.
        """
        check_requests([request], REQUESTS, "the law")
        given = {letter: np.float64(value) for letter, value in request.items()}
        with np.errstate(all="ignore"):  # what leaves the range of numbers is refused
            if len(given) == 1:
                return check_predicted(request, self.optimum(*next(iter(given.items()))))
            n = given["N"] if "N" in given else given["C"] / (6 * given["D"])
            d = given["D"] if "D" in given else given["C"] / (6 * n)
            row = {"flops": 6 * n * d, "parameters": n, "tokens": d, "tokens_per_parameter": d / n}
            return check_predicted(request, row | self._loss(n, d))

    def result(self, requests: Sequence[Mapping[str, float]] = ()) -> FitResult:
        """Return all of it, for print and JSON."""
        points, law = self.points, self.law
        fitted = law.loss(points.parameters, points.tokens)
        columns = zip(points.names, points.parameters, points.tokens, points.flops, points.loss, fitted, strict=True)
        carrying = set(self.influence.points)
        rows = [
            {"name": name, "parameters": float(n), "tokens": float(d), "flops": float(c), "loss": float(loss),
             "fitted": float(predicted), "residual": float(np.log(loss / predicted)), "carries_the_fit": i in carrying}
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
        found, names = self.influence, self.points.names
        lines = []
        if found.outliers:
            listed = ", ".join(f"{names[i]} (loss {self.points.loss[i]:.4g})" for i in found.outliers)
            many = "points lie" if len(found.outliers) > 1 else "point lies"
            lines.append(
                f"{len(found.outliers)} {many} too far from the law of the others to be of its noise: {listed}"
            )
        if found.decisive:
            listed = ", ".join(names[i] for i in found.decisive)
            lines.append(f"few points carry the fit; without any one of these it is another: {listed}")
        if found.points and found.without is not None:
            lines.append(f"without them the fit is {_format_law(found.without)}, rather than {_format_law(self.law)}")
        return lines

    def _laws(self) -> list[Floats]:
        """Return a, B, E, alpha, beta of every draw; constant where fixed."""
        return [self.draws.estimates[name] for name in NAMES]

    def _loss(self, n: float, d: float, best: Mapping[str, Any] | None = None) -> Row:
        """Return the loss of a model with its interval; of the draws' own best models where there are any."""
        values = None
        if self.draws.estimates:
            A, B, E, alpha, beta = self._laws()
            sizes: Any = n
            data: Any = d
            if best:
                there = (alpha > 0) & (beta > 0)
                A, B, E, alpha, beta = (x[there] for x in (A, B, E, alpha, beta))
                sizes, data = best["parameters"], best["tokens"]
            values = E + A * sizes**-alpha + B * data**-beta
        return interval_columns("loss", self.draws.interval(float(self.law.loss(n, d)), values))


def fit_hoffmann(
    points: Points, bootstrap: Bootstrap, fixed: Mapping[str, float] | None = None, start: Law | None = None
) -> HoffmannFit:
    """Fit the parametric law to points: Huber's loss of log loss with δ = 1e-3, from the paper's grid.

    Args:
        points: with parameters, tokens and losses.
        bootstrap: how the intervals are drawn: points with replacement, each fit started from that of all points.
        fixed: parameters that keep a given value, by name.
        start: a law from which alone to search; None for the grid.

    Raises:
        DegenError: the points do not determine the free parameters.

    Source: Hoffmann et al. 2022, arXiv 2203.15556, approach 3.
    """
    points = points.complete("parameters", "tokens", "loss")
    chosen = dict(fixed or {})
    n, d, loss = points.parameters, points.tokens, points.loss
    free = [name for name in NAMES if name not in chosen]
    check_enough(points, free, "add points or --fix some")
    try:
        if {"A", "alpha"} & set(free) and {"B", "beta"} & set(free):
            check_part_ways(n, d, "size and tokens")
        fit = fit_law(n, d, loss, fixed=chosen, objective="huber", start=start)
    except DegenError as error:
        raise DegenError(f"{points.path}: {error}") from error

    for name, what in (("alpha", "size"), ("beta", "tokens")):
        if name in free and (value := getattr(fit.law, name)) <= 0:
            raise DegenError(
                f"{points.path}: loss does not fall with {what} ({name} = {value:.3g}); look at the points"
            )

    def refit(draw: np.random.Generator) -> Mapping[str, float]:
        at = pairs(draw, len(points))
        return asdict(fit_law(n[at], d[at], loss[at], fixed=chosen, objective="huber", start=fit.law).law)

    draws = run_bootstrap(bootstrap, refit, points=len(points), free=len(fit.free))
    return HoffmannFit(points, fit, draws, find_influence(fit, n, d, loss, chosen), chosen)


def _format_law(law: Law) -> str:
    return ", ".join(f"{name} = {getattr(law, name):.4g}" for name in NAMES)
