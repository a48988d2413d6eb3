"""Fit one of the scaling laws to points, as `degen scaling fit` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.stats.bootstrap import Bootstrap

from . import hoffmann, optimum
from .data_range import mark_beyond_data
from .envelope import fit_envelope
from .hoffmann import HoffmannFit, fit_hoffmann
from .isoflop import fit_isoflop
from .kaplan import KaplanFit, fit_kaplan, quantities_of
from .kaplan_forms import FORMS
from .optimum import OptimumFit
from .points import Points
from .result import FitResult, check_requests
from .sources import SourceColumn, find_source_column

LawName = Literal["hoffmann", "envelope", "isoflop", "kaplan"]
LAWS: tuple[LawName, ...] = ("hoffmann", "envelope", "isoflop", "kaplan")
AnyFit = HoffmannFit | KaplanFit | OptimumFit


@dataclass(frozen=True)
class FitOptions:
    """The law to fit, and the points and predictions it is fitted for.

    Attributes:
        law: `hoffmann`, `envelope`, `isoflop` or `kaplan`.
        fixed: values of parameters of `hoffmann` that are not fitted, by name.
        form: of `kaplan`: `N`, `D`, `C`, `ND` or `NS`; None for `N`.
        units: of compute in `kaplan`: `flops` or `pf-days`; None for FLOPs.
        without_highest: number of rows to leave out, those of the highest losses.
        final: whether to take only the last row of each model.
        predict: the known quantities of each model to predict, as `{"N": 7e10, "D": 1.4e12}`.
        bootstrap: of the intervals.
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
    """Refuse options that do not go together, before anything is read or fitted.

    Raises:
        DegenError: an option belongs to another law, or the law cannot make a prediction from the given quantities.
    """
    if options.fixed and options.law != "hoffmann":
        raise DegenError(f"--fix can only be used with --law hoffmann, not with {options.law}; leave it out")
    for option, value in (("--form", options.form), ("--units", options.units)):
        if value is not None and options.law != "kaplan":
            raise DegenError(
                f"{option} {value} can only be used with --law kaplan, not with {options.law}; leave it out"
            )
    if options.form is not None and options.form not in FORMS:
        raise DegenError(f"--form {options.form}: must be one of {', '.join(FORMS)}")
    if options.law == "kaplan":
        form = FORMS[options.form or "N"]
        check_requests(options.predict, [frozenset(form.variables)], f"L({', '.join(form.variables)})")
    else:
        allowed = hoffmann.REQUESTS if options.law == "hoffmann" else optimum.REQUESTS
        check_requests(options.predict, allowed, options.law)


def _needed_quantities(points: Points, options: FitOptions) -> list[str]:
    """Return the names of the quantities that a row must have so that the law can be fitted to it."""
    if options.law == "kaplan":
        return quantities_of(points, options.form or "N")
    return ["parameters", "tokens", *(["flops"] if options.law != "hoffmann" else []), "loss"]


def fit(points: Points, options: FitOptions) -> tuple[AnyFit, FitResult]:
    """Fit a law to points.

    Args:
        points: the models.
        options: the law, which of the points to use, and what to predict.

    Returns:
        The fit, and its result with the requested predictions.

    Raises:
        DegenError: the points do not determine the law, or an option belongs to another law.
    """
    check_options(options)
    if options.final:
        points = points.final()
    if options.without_highest:
        points = points.without_highest(options.without_highest)
    quantities = _needed_quantities(points, options)
    points = points.complete(*quantities)
    fitted: AnyFit
    if options.law == "hoffmann":
        fitted = fit_hoffmann(points, options.bootstrap, options.fixed)
    elif options.law == "envelope":
        fitted = fit_envelope(points, options.bootstrap)
    elif options.law == "isoflop":
        fitted = fit_isoflop(points, options.bootstrap)
    else:
        fitted = fit_kaplan(points, options.form or "N", options.bootstrap, options.units or "flops")
    warnings = []
    if points.is_series and options.law != "envelope" and options.form != "NS":
        warnings.append(
            "some models have several rows, and each row is fitted as if training had ended there; use --final to fit "
            "only the last row of each model"
        )
    if isinstance(fitted, KaplanFit):
        values: Mapping[str, Floats] = fitted.values
    else:
        values = {name: points.quantity(name) for name in ("flops", "parameters", "tokens")}
    source = _source_column(points, fitted)
    if source is not None:
        warnings.append(source.warning)
    result = mark_beyond_data(fitted.result(options.predict), values)
    labels = ["model"] if "model" in points.columns else []
    origins = {name: points.origin(name) for name in [*labels, *quantities]}
    return fitted, replace(result, warnings=[*warnings, *result.warnings], source=points.summary(origins))


def _source_column(points: Points, fitted: AnyFit) -> SourceColumn | None:
    """Return the column of text whose values are most likely sources of their own; see `find_source_column`."""
    log_loss = np.log(points.loss)
    if isinstance(fitted, KaplanFit):
        variables = np.log(np.stack(list(fitted.values.values()), axis=1))
        return find_source_column(points, variables, *fitted.linearised())
    variables = np.log(np.stack([points.parameters, points.tokens], axis=1))
    if isinstance(fitted, HoffmannFit):
        residuals = log_loss - np.log(fitted.law.loss(points.parameters, points.tokens))
        return find_source_column(points, variables, residuals, fitted.fit.jacobian)
    return find_source_column(points, variables, log_loss, None)
