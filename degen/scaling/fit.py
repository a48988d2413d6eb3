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
from .result import Answer, check_wishes

LawName = Literal["hoffmann", "envelope", "isoflop", "kaplan"]
LAWS: tuple[LawName, ...] = ("hoffmann", "envelope", "isoflop", "kaplan")
AnyFit = HoffmannFit | KaplanFit | OptimumFit


@dataclass(frozen=True)
class Wanted:
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


def check_wanted(wanted: Wanted) -> None:
    """Say what is wrong with a wish before anything is read or fitted.

    Raises:
        DegenError: an option that is of another law, or a prediction that the law cannot make.
    """
    if wanted.fixed and wanted.law != "hoffmann":
        raise DegenError(f"--fix is for --law hoffmann; {wanted.law} has no parameters to fix")
    for option, value in (("--form", wanted.form), ("--units", wanted.units)):
        if value is not None and wanted.law != "kaplan":
            raise DegenError(f"{option} {value} is for --law kaplan, not {wanted.law}")
    if wanted.form is not None and wanted.form not in FORMS:
        raise DegenError(f"--form {wanted.form}: not one of {', '.join(FORMS)}")
    if wanted.law == "kaplan":
        form = FORMS[wanted.form or "N"]
        check_wishes(wanted.predict, [frozenset(form.variables)], f"L({', '.join(form.variables)})")
    else:
        ways = hoffmann.WISHES if wanted.law == "hoffmann" else optimum.WISHES
        check_wishes(wanted.predict, ways, wanted.law)


def needed(points: Points, wanted: Wanted) -> list[str]:
    """The quantities that a fit takes of each point."""
    if wanted.law == "kaplan":
        return quantities_of(points, wanted.form or "N")
    return ["parameters", "tokens", *(["flops"] if wanted.law != "hoffmann" else []), "loss"]


def fit(points: Points, wanted: Wanted) -> tuple[AnyFit, Answer]:
    """Fit a law to points.

    Returns:
        The fit, and its answer with the predictions asked for.

    Raises:
        DegenError: the points do not determine the law, or something was asked for that it has not.
    """
    check_wanted(wanted)
    if wanted.final:
        points = points.final()
    if wanted.without_highest:
        points = points.without_highest(wanted.without_highest)
    rows = len(points)
    points = points.complete(*needed(points, wanted))
    found: AnyFit
    if wanted.law == "hoffmann":
        found = fit_hoffmann(points, wanted.bootstrap, wanted.fixed)
    elif wanted.law == "envelope":
        found = fit_envelope(points, wanted.bootstrap)
    elif wanted.law == "isoflop":
        found = fit_isoflop(points, wanted.bootstrap)
    else:
        found = fit_kaplan(points, wanted.form or "N", wanted.bootstrap, wanted.units or "flops")
    answer = found.answer(wanted.predict)
    if len(points) < rows:
        said = f"rows left out as {', '.join(needed(points, wanted))} are not all known there: {rows - len(points)}"
        answer = replace(answer, warnings=[said, *answer.warnings])
    if wanted.law != "kaplan" and (doubt := small_sizes(points)):
        answer = replace(answer, warnings=[*doubt, *answer.warnings])
    if points.is_series and wanted.law != "envelope" and wanted.form != "NS":
        said = (
            "models have several rows each, and all are fitted as if training had ended there; --final takes the last "
            "of each"
        )
        answer = replace(answer, warnings=[said, *answer.warnings])
    return found, answer
