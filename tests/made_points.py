"""Points made from published laws, with as much noise as a test asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from degen.laws.law import HOFFMANN, Law
from degen.scaling.frontier import frontier_of
from degen.scaling.kaplan_forms import FORMS
from degen.scaling.points import Points

BESIROGLU = Law(A=482.01, B=2085.43, E=1.8172, alpha=0.3478, beta=0.3658)
LAWS = {"hoffmann": HOFFMANN, "besiroglu": BESIROGLU}
# arXiv 2001.08361: equations 1.1 to 1.3 (compute in PF-days) and tables 2 and 3
KAPLAN: dict[str, dict[str, float]] = {
    "N": {"alpha_N": 0.076, "N_c": 8.8e13},
    "D": {"alpha_D": 0.095, "D_c": 5.4e13},
    "C": {"alpha_C": 0.050, "C_c": 3.1e8},
    "ND": {"alpha_N": 0.076, "alpha_D": 0.103, "N_c": 6.4e13, "D_c": 1.8e13},
    "NS": {"alpha_N": 0.077, "alpha_S": 0.76, "N_c": 6.5e13, "S_c": 2.1e3},
}
_COLUMNS = {"N": "parameters_non_embedding", "D": "tokens", "C": "pf_days", "S": "steps"}
_RANGES = {"N": (1e5, 1.5e9), "D": (2e7, 2.3e10), "C": (1e-5, 1e2), "S": (1e3, 2.5e5)}


def points_of(**columns: Any) -> Points:
    table = pa.table(columns)
    names = {name: name for name in table.column_names}
    return Points(Path("made"), table, names, tuple(range(1, table.num_rows + 1)))


def noisy(loss: Any, noise: float, seed: int) -> Any:
    return loss * np.exp(np.random.default_rng(seed).normal(0, noise, len(loss)))


def cloud(law: Law, seed: int = 0, noise: float = 0.01, points: int = 60) -> Points:
    """Return models of any size and data, as of Chinchilla."""
    draw = np.random.default_rng(10_000 + seed)
    n = np.exp(draw.uniform(np.log(4e7), np.log(1e10), points))
    d = n * np.exp(draw.uniform(np.log(1), np.log(300), points))
    return points_of(parameters=n, tokens=d, loss=noisy(law.loss(n, d), noise, seed))


def square(law: Law, seed: int = 0, noise: float = 0.01) -> Points:
    """Return 16 models: four sizes with four numbers of tokens each."""
    n, d = np.repeat(np.geomspace(7e7, 1e9, 4), 4), np.tile(np.geomspace(1e9, 6e10, 4), 4)
    return points_of(parameters=n, tokens=d, loss=noisy(law.loss(n, d), noise, seed))


def curves(law: Law, seed: int = 0, noise: float = 0.01, models: int = 12, marks: int = 60) -> Points:
    """Return training curves from 1 to 200 tokens a parameter."""
    n = np.repeat(np.geomspace(1e8, 1e10, models), marks)
    d = n * np.tile(np.geomspace(1, 200, marks), models)
    return points_of(parameters=n, tokens=d, loss=noisy(law.loss(n, d), noise, seed))


def profiles(law: Law, seed: int = 0, noise: float = 0.01, sizes: int = 9, span: float = 10) -> Points:
    """Return nine budgets, each with sizes around the best of the middle one, shifted as the square root of compute."""
    budgets = np.array([6e18, 1e19, 3e19, 6e19, 1e20, 3e20, 6e20, 1e21, 3e21])
    middle = frontier_of(law.A, law.B, law.alpha, law.beta).parameters(1e20)
    n = np.concatenate([np.geomspace(1 / span, span, sizes) * middle * (c / 1e20) ** 0.5 for c in budgets])
    c = np.repeat(budgets, sizes)
    return points_of(parameters=n, flops=c, loss=noisy(law.loss(n, c / (6 * n)), noise, seed))


def kaplan(form: str, seed: int = 0, noise: float = 0.01, points: int = 40) -> Points:
    """Return models over the ranges of the paper."""
    draw = np.random.default_rng(20_000 + seed)
    law = FORMS[form]
    ends = {x: (float(np.log(low)), float(np.log(high))) for x, (low, high) in _RANGES.items()}
    at = {x: np.exp(draw.uniform(*ends[x], points)) for x in law.variables}
    loss = noisy(law.loss(KAPLAN[form], tuple(at.values())), noise, seed)
    return points_of(**{_COLUMNS[x]: values for x, values in at.items()}, loss=loss)


def holds(intervals: Any, truth: dict[str, float]) -> dict[str, bool]:
    """Return for each constant whether its interval holds the truth."""
    inside = {}
    for name, value in truth.items():
        low, high = intervals[name]["low"], intervals[name]["high"]
        inside[name] = low is not None and high is not None and low <= value <= high
    return inside
