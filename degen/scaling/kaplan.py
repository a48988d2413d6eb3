"""The laws of Kaplan et al.: L(N), L(D), L(C), L(N, D) and L(N, S), without an irreducible loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.stats.bootstrap import Bootstrap, Draws, pairs, run_bootstrap
from degen.stats.power_law import check_part_ways

from .frontier import interval_columns
from .kaplan_forms import FORMS, Form
from .points import Points, check_enough
from .quantities import PF_DAY
from .result import FitResult, Row, check_predicted, check_requests

UNITS = ("flops", "pf-days")
_STEP = 1e-5  # share by which a constant is changed for a derivative


@dataclass(frozen=True, eq=False)
class KaplanFit:
    """A fit of one of the laws.

    Attributes:
        points: the points that were fitted.
        form: the law.
        units: the unit of compute in the constants, `flops` or `pf-days`.
        constants: the fitted parameters, by name.
        values: letter of a variable -> its values at all points.
        draws: the bootstrap: the constants of each draw.
        all_parameters: whether N counts all parameters, because the table has no count without embeddings.
    """

    points: Points
    form: Form
    units: str
    constants: Mapping[str, float]
    values: Mapping[str, Floats]
    draws: Draws
    all_parameters: bool

    def predict(self, request: Mapping[str, float]) -> Row:
        """Return a row with the predicted loss of a model and its interval.

        Args:
            request: the law's variables by letter, as `{"N": 1e9}`; compute in the law's units.

        Raises:
            DegenError: the request has other quantities, or the prediction is too large or small for a number.
        """
        check_requests([request], [frozenset(self.form.variables)], f"L({', '.join(self.form.variables)})")
        known = tuple(np.float64(request[letter]) for letter in self.form.variables)
        with np.errstate(all="ignore"):  # values out of the range of numbers are refused below
            loss = float(self.form.loss(self.constants, known))
            losses = self.form.loss(self.draws.estimates, known) if self.draws.estimates else None
            row = {**request, **interval_columns("loss", self.draws.interval(loss, losses))}
        return check_predicted(request, row)

    def linearised(self) -> tuple[Floats, Floats]:
        """Return ln L − ln L̂ of the points, shape (n,), and ∂ ln L̂/∂ ln θ of the constants, n × k."""
        variables = tuple(self.values[x] for x in self.form.variables)

        def log_loss(constants: Mapping[str, float]) -> Floats:
            return np.asarray(np.log(self.form.loss(constants, variables)))

        columns = [
            (
                log_loss({**self.constants, name: value * (1 + _STEP)})
                - log_loss({**self.constants, name: value * (1 - _STEP)})
            )
            / (2 * _STEP)
            for name, value in self.constants.items()
        ]
        return np.log(self.points.loss) - log_loss(self.constants), np.stack(columns, axis=1)

    def result(self, requests: Sequence[Mapping[str, float]] = ()) -> FitResult:
        """Return the parameters, rows and predictions, for print and JSON."""
        fitted = self.form.loss(self.constants, tuple(self.values[x] for x in self.form.variables))
        rows = [
            {"name": name}
            | {letter: float(values[i]) for letter, values in self.values.items()}
            | {"loss": float(loss), "fitted": float(predicted), "residual": float(np.log(loss / predicted))}
            for i, (name, loss, predicted) in enumerate(zip(self.points.names, self.points.loss, fitted, strict=True))
        ]
        warnings = []
        if self.all_parameters and "N" in self.form.variables:
            warnings.append(
                "N counts all parameters, because the table has no column parameters_non_embedding; these laws are "
                "meant for that count"
            )
        return FitResult(
            law="kaplan",
            formula=self.form.formula,
            rests_on=f"{len(self.points)} points",
            parameters=self.draws.intervals(self.constants),
            rows=rows,
            predictions=[self.predict(request) for request in requests],
            warnings=warnings,
            confidence=self.draws.confidence,
            no_interval=self.draws.failure_reason,
            more={"form": self.form.name, "units": self.units},
        )


def quantities_of(points: Points, form: str) -> list[str]:
    """Return the names of the quantities that a form needs: one for each of its variables in order, then `loss`.

    For N it is `parameters_non_embedding`, or `parameters` where the table has no values of the former.
    """
    size = "parameters_non_embedding"
    if not points.has(size) or (points.has("parameters") and np.isnan(points.quantity(size)).all()):
        size = "parameters"
    names = {"N": size, "D": "tokens", "C": "flops", "S": "steps"}
    return [*(names[letter] for letter in FORMS[form].variables), "loss"]


def fit_kaplan(points: Points, form: str, bootstrap: Bootstrap, units: str = "flops") -> KaplanFit:
    """Fit one of the laws by least squares on log loss.

    Formula: L(X) = (X_c/X)^α_X for N, D or C; L(N, D) = [(N_c/N)^(α_N/α_D) + D_c/D]^α_D;
    L(N, S) = (N_c/N)^α_N + (S_c/S)^α_S. N non-embedding parameters, D tokens, C compute, S steps.

    Args:
        points: with losses and the variables of the form.
        form: `N`, `D`, `C`, `ND` or `NS`.
        bootstrap: of the intervals: points drawn with replacement.
        units: of compute, `flops` or `pf-days` (8.64e19 FLOPs).

    Raises:
        DegenError: the form or the unit is unknown, or the points do not determine the parameters.

    Source: Kaplan et al. 2020, arXiv 2001.08361, equations 1.1 to 1.6.
    """
    if form not in FORMS:
        raise DegenError(f"--form {form}: must be one of {', '.join(FORMS)}")
    if units not in UNITS:
        raise DegenError(f"--units {units}: must be one of {', '.join(UNITS)}")
    law = FORMS[form]
    *names, loss_name = quantities_of(points, form)
    points = points.complete(*names, loss_name)
    values = {letter: points.quantity(name) for letter, name in zip(law.variables, names, strict=True)}
    if "C" in values:
        values["C"] = values["C"] / (PF_DAY if units == "pf-days" else 1.0)
    check_enough(points, law.constants, "add points")
    if form == "C" and points.has("parameters") and len(set(points.parameters.tolist())) == 1:
        raise DegenError(
            f"{points.path}: all models have the same size, but L(C) is the loss of the best size at each compute: add "
            "models of other sizes"
        )
    variables, loss = tuple(values.values()), points.loss
    try:
        if len(variables) == 2:
            check_part_ways(*variables, "size and tokens" if form == "ND" else "size and steps")
        constants = law.fit(variables, loss, None)
    except DegenError as error:
        raise DegenError(f"{points.path}: {error}") from error

    def refit(draw: np.random.Generator) -> Mapping[str, float]:
        drawn = pairs(draw, len(points))
        return law.fit(tuple(x[drawn] for x in variables), loss[drawn], constants)

    draws = run_bootstrap(bootstrap, refit, points=len(points), free=len(law.constants))
    return KaplanFit(points, law, units, constants, values, draws, "parameters" in names)
