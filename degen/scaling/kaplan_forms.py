"""The five forms of Kaplan et al. and how each is fitted: least squares on log loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.laws.law import Law, fit_law
from degen.stats.power_law import fit_power

Constants = dict[str, float]


@dataclass(frozen=True)
class Form:
    """One of the laws.

    Attributes:
        name: `N`, `D`, `C`, `ND` or `NS`.
        formula: as text.
        variables: letters of its variables, in order.
        constants: names of its parameters.
        loss: returns L from the constants and the values of the variables.
        fit: returns the constants from the values of the variables, the losses, and constants to start from or None.
    """

    name: str
    formula: str
    variables: tuple[str, ...]
    constants: tuple[str, ...]
    loss: Callable[[Mapping[str, Any], tuple[Any, ...]], Any]
    fit: Callable[[tuple[Floats, ...], Floats, Mapping[str, float] | None], Constants]


def _single(letter: str, quantity: str) -> Form:
    """Return the form L(X) = (X_c/X)^α_X of one variable."""
    scale, power = f"{letter}_c", f"alpha_{letter}"

    def loss(constants: Mapping[str, Any], values: tuple[Any, ...]) -> Any:
        return (constants[scale] / values[0]) ** constants[power]

    def fit(values: tuple[Floats, ...], losses: Floats, _start: Mapping[str, float] | None) -> Constants:
        line = fit_power(values[0], losses, quantity)
        if line.exponent >= 0:
            raise DegenError(
                f"the loss does not fall with growing {quantity}, so that L({letter}) cannot be fitted: check the "
                "losses in the table"
            )
        return {power: -line.exponent, scale: _finite(-line.log_coefficient / line.exponent, scale)}

    return Form(letter, f"L = ({scale}/{letter})^{power}", (letter,), (power, scale), loss, fit)


def _loss_nd(constants: Mapping[str, Any], values: tuple[Any, ...]) -> Any:
    ratio = constants["alpha_N"] / constants["alpha_D"]
    size, data = (constants["N_c"] / values[0]) ** ratio, constants["D_c"] / values[1]
    return (size + data) ** constants["alpha_D"]


def _fit_nd(values: tuple[Floats, ...], losses: Floats, start: Mapping[str, float] | None) -> Constants:
    """Fit L(N, D) by Levenberg and Marquardt in (u, v, ρ, α_D), ln L = α_D·ln(exp(u − ρ·x) + exp(v − y)).

    x and y are ln N and ln D about their means, ρ = α_N/α_D; N_c = exp(u/ρ) and D_c = exp(v) about the means.
    """
    from scipy.optimize import least_squares

    middle = [float(np.log(x).mean()) for x in values]
    x, y = (np.log(column) - mean for column, mean in zip(values, middle, strict=True))
    target = np.log(losses)

    def log_sum(p: Floats) -> tuple[Floats, Floats]:
        terms = np.stack([p[0] - p[2] * x, p[1] - y])
        total = np.logaddexp(*terms)
        return total, np.exp(terms - total)

    def residuals(p: Floats) -> Floats:
        return np.asarray(p[3] * log_sum(p)[0] - target)

    def jacobian(p: Floats) -> Floats:
        total, (size, data) = log_sum(p)
        return np.stack([p[3] * size, p[3] * data, -p[3] * size * x, total], axis=1)

    starts = []
    if start is not None:
        ratio = start["alpha_N"] / start["alpha_D"]
        u, v = ratio * (math.log(start["N_c"]) - middle[0]), math.log(start["D_c"]) - middle[1]
        starts = [[u, v, ratio, start["alpha_D"]]]
    else:
        for power in (0.05, 0.1, 0.2, 0.4):
            level = float(target.mean()) / power - math.log(2)  # both terms equal at the means
            starts += [[level, level, ratio, power] for ratio in (0.3, 0.7, 1.0, 2.0)]
    with np.errstate(all="ignore"):
        fits = [
            least_squares(residuals, s, jac=jacobian, method="lm", xtol=1e-12, ftol=1e-12, max_nfev=500) for s in starts
        ]
    best = min(fits, key=lambda fit: fit.cost if np.isfinite(fit.cost) else math.inf)
    _check_identifiable(best.jac)
    u, v, ratio, power = (float(p) for p in best.x)
    if not (ratio > 0 and power > 0):
        raise DegenError("the fitted L(N, D) rises as size or data grow: check the losses in the table")
    scale = {"N_c": _finite(u / ratio + middle[0], "N_c"), "D_c": _finite(v + middle[1], "D_c")}
    return {"alpha_N": ratio * power, "alpha_D": power, **scale}


def _loss_ns(constants: Mapping[str, Any], values: tuple[Any, ...]) -> Any:
    size, steps = values
    return (constants["N_c"] / size) ** constants["alpha_N"] + (constants["S_c"] / steps) ** constants["alpha_S"]


def _fit_ns(values: tuple[Floats, ...], losses: Floats, start: Mapping[str, float] | None) -> Constants:
    """Fit L(N, S), the law A/N^α + B/D^β + E with steps for D, E = 0, A = N_c^α_N and B = S_c^α_S."""
    law_start = None
    if start is not None:
        A, B = (start[f"{letter}_c"] ** start[f"alpha_{letter}"] for letter in "NS")
        law_start = Law(A=A, B=B, E=0.0, alpha=start["alpha_N"], beta=start["alpha_S"])
    try:
        law = fit_law(values[0], values[1], losses, fixed={"E": 0.0}, objective="log", start=law_start).law
    except DegenError as error:
        raise DegenError(
            "these points do not determine L(N, S): add models of other sizes or numbers of steps"
        ) from error
    if law.alpha <= 0 or law.beta <= 0:
        raise DegenError("the fitted L(N, S) rises as size or steps grow: check the losses in the table")
    scale = {"N_c": _finite(math.log(law.A) / law.alpha, "N_c"), "S_c": _finite(math.log(law.B) / law.beta, "S_c")}
    return {"alpha_N": law.alpha, "alpha_S": law.beta, **scale}


def _check_identifiable(jacobian: Floats) -> None:
    """Refuse points that do not determine the parameters of L(N, D)."""
    length = np.maximum(np.linalg.norm(jacobian, axis=0), 1e-300)
    if not np.isfinite(jacobian).all() or np.linalg.svd(jacobian / length, compute_uv=False)[-1] < 1e-7:
        raise DegenError("these points do not determine L(N, D): add models of other sizes or numbers of tokens")


def _finite(logarithm: float, name: str) -> float:
    """Return the constant called `name` from its logarithm.

    Raises:
        DegenError: the constant is too large or too small for a number.
    """
    if not abs(logarithm) < 700:
        raise DegenError(
            f"the constant {name} would be exp({logarithm:.4g}), because the loss hardly falls over these points; add "
            "points over a wider range"
        )
    return math.exp(logarithm)


FORMS: dict[str, Form] = {
    "N": _single("N", "size"),
    "D": _single("D", "data"),
    "C": _single("C", "compute"),
    "ND": Form(
        "ND", "L = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D", ("N", "D"), ("alpha_N", "alpha_D", "N_c", "D_c"),
        _loss_nd, _fit_nd,
    ),
    "NS": Form(
        "NS", "L = (N_c/N)^alpha_N + (S_c/S)^alpha_S", ("N", "S"), ("alpha_N", "alpha_S", "N_c", "S_c"), _loss_ns,
        _fit_ns,
    ),
}  # fmt: skip
