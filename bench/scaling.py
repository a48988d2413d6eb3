"""How often each scaling law, fitted to data made from its published constants, finds them inside its intervals.

PYTHONPATH=.:tests python bench/scaling.py [tables] [law...]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from made_points import KAPLAN, LAWS, cloud, curves, holds, kaplan, profiles, square

from degen.laws.law import Law
from degen.scaling.envelope import fit_envelope
from degen.scaling.hoffmann import fit_hoffmann
from degen.scaling.isoflop import fit_isoflop
from degen.scaling.kaplan import fit_kaplan
from degen.scaling.points import Points
from degen.stats.bootstrap import Bootstrap

NOISE = 0.01
SMALL_NOISE = 0.003  # of the 16 points of `hoffmann16`, four sizes with four numbers of tokens each
Intervals = dict[str, Any]


def exponents(law: Law) -> dict[str, float]:
    total = law.alpha + law.beta
    return {"a": law.beta / total, "b": law.alpha / total}


def experiments() -> Iterator[tuple[str, dict[str, float], Callable[[int], Intervals]]]:
    for form, constants in KAPLAN.items():
        yield f"kaplan {form}", constants, lambda s, f=form: kaplan_intervals(f, s)  # type: ignore[misc]
    for name, law in LAWS.items():
        yield f"isoflop {name}", exponents(law), lambda s, w=law: optimum_intervals(fit_isoflop, profiles(w, s), s)  # type: ignore[misc]
        yield f"hoffmann {name}", vars(law), lambda s, w=law: hoffmann_intervals(w, cloud(w, s, NOISE), s)  # type: ignore[misc]
        yield f"hoffmann16 {name}", vars(law), lambda s, w=law: hoffmann_intervals(w, square(w, s, SMALL_NOISE), s)  # type: ignore[misc]
        yield f"envelope {name}", exponents(law), lambda s, w=law: optimum_intervals(fit_envelope, curves(w, s), s)  # type: ignore[misc]


def kaplan_intervals(form: str, seed: int) -> Intervals:
    fit = fit_kaplan(kaplan(form, seed, NOISE), form, Bootstrap(seed=seed), "pf-days")
    return fit.draws.intervals(fit.constants)


def optimum_intervals(fit_with: Any, points: Any, seed: int) -> Intervals:
    fit = fit_with(points, Bootstrap(seed=seed))
    return dict(fit.draws.intervals(fit.constants))


def hoffmann_intervals(law: Law, points: Points, seed: int) -> Intervals:
    # the search starts at the truth, not from the grid: what the grid finds is tested elsewhere
    return fit_hoffmann(points, Bootstrap(seed=seed), start=law).parameters()


def main(draws: int, names: list[str]) -> None:
    print(f"{draws} tables of each law with {NOISE:.0%} noise, 100 bootstrap draws each, confidence 0.9")
    print(f"{'law':22} {'inside the interval, of ' + str(draws):60} value ± spread")
    for name, truth, intervals in experiments():
        if names and not any(word in name for word in names):
            continue
        began = time.perf_counter()
        intervals_of_draws = [intervals(seed) for seed in range(draws)]
        inside = {x: sum(holds(drawn, truth)[x] for drawn in intervals_of_draws) for x in truth}
        first = next(iter(truth))
        values = [drawn[first]["value"] for drawn in intervals_of_draws]
        counts = "  ".join(f"{x} {count}" for x, count in inside.items())
        spread = f"{first} {np.mean(values):.4g} ± {np.std(values):.2g}, true {truth[first]:.4g}"
        print(f"{name:22} {counts:60} {spread}  ({time.perf_counter() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, sys.argv[2:])
