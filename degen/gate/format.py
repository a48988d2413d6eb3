"""Outcomes in words, the same on the terminal, in XML and on GitHub."""

from __future__ import annotations

from .judge import Outcome
from .metric_values import Figure


def place_of(figure: Figure) -> str:
    """Return where a figure was measured: `pythia step 3000, layer 6 head_input`."""
    at = f" step {figure.step}" if figure.step is not None else f" {figure.revision}" if figure.revision else ""
    return f"{figure.model}{at}" + (f", {figure.place}" if figure.place else "")


def format_value(outcome: Outcome) -> str | None:
    """Return what was held against the bound, with its standard error: `0.61 ± 0.004`; None where it is missing."""
    figure = outcome.figure
    if outcome.rule.relation is None:
        value, error = figure.value, figure.error
    else:
        value, error = figure.difference, figure.difference_error
    if value is None:
        return None
    signed = f"{value:+.6g}" if outcome.rule.relation is not None and value else f"{value:.6g}"
    return signed if error is None else f"{signed} ± {error:.2g}"


def format_reference(figure: Figure) -> str | None:
    """Return what a difference was taken from: `3.856 against 3.844 at step 2500`; None where there is no reference."""
    if figure.reference is None or figure.value is None:
        return None
    at = f" at step {figure.reference_step}" if figure.reference_step is not None else ""
    return f"{figure.value:.6g} against {figure.reference:.6g}{at}"


def describe(outcome: Outcome) -> str:
    """Return the outcome in one sentence, without its rule and place."""
    found, from_what = format_value(outcome), format_reference(outcome.figure)
    if found is None:
        return outcome.reason or "not measured"
    bound = f"{outcome.rule.comparison} {outcome.bound:.6g}" if outcome.bound is not None else "no bound"
    words = f"{found} ({from_what})" if from_what else found
    verb = {"passed": "passes", "failed": "fails", "undecidable": "is undecidable under"}[outcome.verdict]
    return f"{words} {verb} {bound}" + (f"; {outcome.reason}" if outcome.reason else "")
