"""`degen scaling fit`: the law that is asked for, fitted to the points that are meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from degen.errors import DegenError
from degen.stats.bootstrap import Bootstrap

from . import hoffmann, optimum
from .column_checks import small_sizes
from .envelope import fit_envelope
from .hoffmann import HoffmannFit, fit_hoffmann
from .isoflop import fit_isoflop
from .kaplan import KaplanFit, fit_kaplan, quantities_of
from .kaplan_forms import FORMS
from .optimum import OptimumFit
from .points import Points
from .result import FitResult, check_requests

LawName = Literal["hoffmann", "envelope", "isoflop", "kaplan"]
LAWS: tuple[LawName, ...] = ("hoffmann", "envelope", "isoflop", "kaplan")
AnyFit = HoffmannFit | KaplanFit | OptimumFit


@dataclass(frozen=True)
class FitOptions:
    """What is to be fitted.

    Attributes:
        law: `hoffmann`, `envelope`, `isoflop` or `kaplan`.
        fixed: parameters of `hoffmann` that keep a value.
        form: of `kaplan`: `N`, `D`, `C`, `ND` or `NS`; None for `N`.
        units: of compute in `kaplan`: `flops` or `pf-days`; None for FLOPs.
        without_highest: how many of the highest losses are left out.
        final: whether only the last row of each model counts.
        predict: what is given of each model that is to be predicted, as `{"N": 7e10, "D": 1.4e12}`.
        bootstrap: how the intervals are drawn.
    """

    law: LawName = "hoffmann"
    fixed: Mapping[str, float] = field(default_factory=dict)
    form: str | None = None
    units: str | None = None
    without_highest: int = 0
    final: bool = False
    predict: Sequence[Mapping[str, float]] = ()
    bootstrap: Bootstrap = field(default_factory=Bootstrap)


def check_options(options: FitOptions) -> None:
    """Refuse options that cannot be had, before anything is read or fitted.

    Raises:
        DegenError: an option that is of another law, or a prediction that the law cannot make.
    """
    if options.fixed and options.law != "hoffmann":
        raise DegenError(f"--fix is for --law hoffmann; {options.law} has no parameters to fix")
    for option, value in (("--form", options.form), ("--units", options.units)):
        if value is not None and options.law != "kaplan":
            raise DegenError(f"{option} {value} is for --law kaplan, not {options.law}")
    if options.form is not None and options.form not in FORMS:
        raise DegenError(f"--form {options.form}: not one of {', '.join(FORMS)}")
    if options.law == "kaplan":
        form = FORMS[options.form or "N"]
        check_requests(options.predict, [frozenset(form.variables)], f"L({', '.join(form.variables)})")
    else:
        ways = hoffmann.REQUESTS if options.law == "hoffmann" else optimum.REQUESTS
        check_requests(options.predict, ways, options.law)


def needed(points: Points, options: FitOptions) -> list[str]:
    """Return the quantities that a fit takes of each point."""
    if options.law == "kaplan":
        return quantities_of(points, options.form or "N")
    return ["parameters", "tokens", *(["flops"] if options.law != "hoffmann" else []), "loss"]


def fit(points: Points, options: FitOptions) -> tuple[AnyFit, FitResult]:
    """Fit a law to points.

    Returns:
        The fit, and its result with the predictions asked for.

    Raises:
        DegenError: the points do not determine the law, or something was asked for that it has not.
    """
    check_options(options)
    if options.final:
        points = points.final()
    if options.without_highest:
        points = points.without_highest(options.without_highest)
    rows = len(points)
    points = points.complete(*needed(points, options))
    found: AnyFit
    if options.law == "hoffmann":
        found = fit_hoffmann(points, options.bootstrap, options.fixed)
    elif options.law == "envelope":
        found = fit_envelope(points, options.bootstrap)
    elif options.law == "isoflop":
        found = fit_isoflop(points, options.bootstrap)
    else:
        found = fit_kaplan(points, options.form or "N", options.bootstrap, options.units or "flops")
    result = found.result(options.predict)
    if len(points) < rows:
        line = f"rows left out as {', '.join(needed(points, options))} are not all known there: {rows - len(points)}"
        result = replace(result, warnings=[line, *result.warnings])
    if options.law != "kaplan" and (lines := small_sizes(points)):
        result = replace(result, warnings=[*lines, *result.warnings])
    if points.is_series and options.law != "envelope" and options.form != "NS":
        line = (
            "models have several rows each, and all are fitted as if training had ended there; --final takes the last "
            "of each"
        )
        result = replace(result, warnings=[line, *result.warnings])
    return found, result
