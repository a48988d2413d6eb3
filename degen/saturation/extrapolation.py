"""Compare small models with the loss law of the larger ones: figure 1b of arXiv 2404.07647."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from degen.errors import DegenError
from degen.hints import did_you_mean
from degen.laws.law import HOFFMANN, Fit, Objective, fit_law
from degen.laws.law_intervals import parameter_intervals, prediction_reach
from degen.metrics.curve import Curve

from .final_and_best import FinalAndBest, read_final_and_best

_FIXED = {"B": HOFFMANN.B, "E": HOFFMANN.E, "beta": HOFFMANN.beta}


@dataclass(frozen=True)
class Row:
    """One model compared with the law. Losses are in nats per token, gaps are fractions L/L̂ − 1.

    Where the whole interval of a gap is above 0, the loss is higher than the law predicts by more than the error of the
    fit and the noise of a model explain.

    Attributes:
        model: its label.
        parameters: all parameters, N.
        tokens: training tokens of the final checkpoint, D.
        role: whether the law was fitted on it.
        final_loss: loss of the last checkpoint.
        predicted_final: the law's loss there.
        final_gap: gap of the last checkpoint; of a fitted model a residual.
        final_gap_low: lower end of its prediction interval; None for a fitted model, and without degrees of freedom.
        final_gap_high: upper end.
        best_step: step of the checkpoint of lowest loss, the first of equals.
        best_loss: its loss.
        predicted_best: the law's loss at the tokens of that checkpoint.
        best_gap: its gap.
        best_gap_low: lower end of its prediction interval, which does not allow for the choice of the best.
        best_gap_high: upper end.
    """

    model: str
    parameters: int
    tokens: float
    role: Literal["fitted", "predicted"]
    final_loss: float
    predicted_final: float
    final_gap: float
    final_gap_low: float | None
    final_gap_high: float | None
    best_step: int
    best_loss: float
    predicted_best: float
    best_gap: float
    best_gap_low: float | None
    best_gap_high: float | None


@dataclass(frozen=True, eq=False)
class Extrapolation:
    """The law of the larger models, and every model compared with it.

    Attributes:
        fit: the fit on the larger models.
        parameters: value, low and high of A, B, E, alpha and beta; of a fixed one all the same; low and high None
            without degrees of freedom.
        rows: in ascending order of size.
        mean_final_gap: over the predicted models; None where there are none.
        mean_best_gap: the same of their best checkpoints.
        confidence: of all intervals.
        left_out: models that could not be used, with the reason.
        no_interval: the reason why there are no intervals; None where there are.
    """

    fit: Fit
    parameters: dict[str, dict[str, float | None]]
    rows: list[Row]
    mean_final_gap: float | None
    mean_best_gap: float | None
    confidence: float
    left_out: list[tuple[str, str]]
    no_interval: str | None


def extrapolate(
    curves: Sequence[Curve],
    larger: Collection[str],
    *,
    fixed: Mapping[str, float] | None = None,
    objective: Objective = "log",
    confidence: float = 0.9,
) -> Extrapolation:
    """Fit the law on the final checkpoints of larger models and compare every model with it.

    Formula: gap = L/L̂ − 1; its interval (L/L̂)·exp(± reach) − 1, reach as in
    `degen.laws.law_intervals.prediction_reach`.

    Args:
        curves: of the loss in nats per token, one per model. Checkpoints without a finite loss or known tokens are
            ignored; a model whose last checkpoint lacks them is left out.
        larger: models to fit on.
        fixed: parameters of the law that are not fitted; B, E and beta of Hoffmann et al. by default, as in the paper.
        objective: the quantity that the fit minimises; see `fit_law`.
        confidence: of the intervals, between 0 and 1.

    Returns:
        The fit and a row per model.

    Raises:
        DegenError: an unknown model, no model to fit on, or what `fit_law` refuses.

    Source: Godey et al. 2024, arXiv 2404.07647, section 3 and figure 1b.
    """
    if not 0 < confidence < 1:
        raise DegenError(f"the confidence must lie between 0 and 1, not at {confidence:g}")
    names = [curve.model for curve in curves]
    for name in larger:
        if name not in names:
            raise DegenError(f"no model {name!r}; {did_you_mean(name, names)}")
    read = [(curve.model, read_final_and_best(curve)) for curve in curves]
    models = sorted((m for _, m in read if isinstance(m, FinalAndBest)), key=lambda m: (m.size, m.name))
    left_out = [(name, reason) for name, reason in read if isinstance(reason, str)]
    fitted = [m for m in models if m.name in larger]
    if not fitted:
        raise DegenError("no larger model with a known size, known tokens and a finite final loss: name some to fit on")
    sizes, tokens, losses = [m.size for m in fitted], [m.tokens for m in fitted], [m.loss for m in fitted]
    fit = fit_law(sizes, tokens, losses, fixed=_FIXED if fixed is None else fixed, objective=objective)
    rows = [_row(m, fit, confidence, m.name in larger) for m in models]
    predicted = [row for row in rows if row.role == "predicted"]
    return Extrapolation(
        fit=fit,
        parameters=parameter_intervals(fit, confidence),
        rows=rows,
        mean_final_gap=float(np.mean([row.final_gap for row in predicted])) if predicted else None,
        mean_best_gap=float(np.mean([row.best_gap for row in predicted])) if predicted else None,
        confidence=confidence,
        left_out=left_out,
        no_interval=_why_no_interval(fit),
    )


def _row(model: FinalAndBest, fit: Fit, confidence: float, in_fit: bool) -> Row:
    """Return a model compared with the law; a model that the law was fitted on has no prediction interval."""
    interval = None if in_fit else confidence
    return Row(
        model=model.name,
        parameters=model.size,
        tokens=model.tokens,
        role="fitted" if in_fit else "predicted",
        final_loss=model.loss,
        best_step=model.best_step,
        best_loss=model.best_loss,
        **_gap("final", fit, model.size, model.tokens, model.loss, interval),
        **_gap("best", fit, model.size, model.best_tokens, model.best_loss, interval),
    )


def _gap(name: str, fit: Fit, size: int, tokens: float, loss: float, confidence: float | None) -> dict[str, Any]:
    """Return the predicted loss, the gap L/L̂ − 1 and the ends of its prediction interval, as attributes of a row."""
    predicted = float(fit.law.loss(size, tokens))
    ratio = loss / predicted
    reach = None if confidence is None else prediction_reach(fit, size, tokens, confidence)
    return {
        f"predicted_{name}": predicted,
        f"{name}_gap": ratio - 1,
        f"{name}_gap_low": None if reach is None else ratio * math.exp(-reach) - 1,
        f"{name}_gap_high": None if reach is None else ratio * math.exp(reach) - 1,
    }


def _why_no_interval(fit: Fit) -> str | None:
    """Return the reason why a fit has no intervals; None where it has."""
    if fit.freedom:
        return None
    models = "1 model" if len(fit.residuals) == 1 else f"{len(fit.residuals)} models"
    return f"{models} for {len(fit.free)} fitted parameters leave nothing to tell the noise from: fit on more models"
