"""Outcomes as text, the same on the terminal, in XML and on GitHub."""

from __future__ import annotations

from .judge import Outcome
from .metric_values import MetricValue


def format_location(value: MetricValue) -> str:
    """Return the model, checkpoint and place of a value as text, as `pythia step 3000, layer 6 head_input`."""
    at = f" step {value.step}" if value.step is not None else f" {value.revision}" if value.revision else ""
    return f"{value.model}{at}" + (f", {value.place}" if value.place else "")


def format_value(outcome: Outcome) -> str | None:
    """Return the value or difference that was compared, with its standard error if known, as text: `0.61 ± 0.004`.

    None where nothing could be compared.
    """
    measured = outcome.measured
    if outcome.rule.relation is None:
        value, error = measured.value, measured.error
    else:
        value, error = measured.difference, measured.difference_error
    if value is None:
        return None
    signed = f"{value:+.6g}" if outcome.rule.relation is not None and value else f"{value:.6g}"
    return signed if error is None else f"{signed} ± {error:.2g}"


def format_reference(value: MetricValue) -> str | None:
    """Return a value with its reference as text: `3.856 against 3.844 at step 2500`; None where either is missing."""
    if value.reference is None or value.value is None:
        return None
    at = f" at step {value.reference_step}" if value.reference_step is not None else ""
    return f"{value.value:.6g} against {value.reference:.6g}{at}"


def format_bound(outcome: Outcome) -> str | None:
    """Return the comparison with the bound as text: `< 0.6`; None where the bound depends on a missing reference."""
    return f"{outcome.rule.comparison} {outcome.bound:.6g}" if outcome.bound is not None else None


def describe(outcome: Outcome) -> str:
    """Return an outcome in one sentence, without its rule and location."""
    value, reference = format_value(outcome), format_reference(outcome.measured)
    if value is None:
        return outcome.reason or "not measured"
    bound = format_bound(outcome) or "no bound"
    subject = f"{value} ({reference})" if reference else value
    verb = {"passed": "passes", "failed": "fails", "undecidable": "is undecidable under"}[outcome.verdict]
    return f"{subject} {verb} {bound}" + (f"; {outcome.reason}" if outcome.reason else "")
