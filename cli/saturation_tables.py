"""The tables that `degen saturation` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import output

if TYPE_CHECKING:
    from degen.saturation.extrapolation import Extrapolation
    from degen.saturation.result import SaturationResult

CAUTION = "Metrics that turn together need not cause each other: the order of onsets is no cause."
OBJECTIVES = {"log": "least squares on log loss", "linear": "least squares on loss", "huber": "Huber on log loss"}


def print_saturation(result: SaturationResult) -> None:
    """Print the verdicts, which metrics turned together, and the loss law."""
    rows = []
    for v in result.verdicts:
        at = v.onset_steps
        onset = f"{at.step} ({at.low} … {at.high})" if at is not None else None
        line = output.sparkline(v.curve.for_plot())
        values = [v.best_step, v.best_value, v.final_value, v.p_value]
        rows.append([v.curve.model, v.curve.metric, line, v.verdict, *values, onset, v.reason])
    heads = ["model", "metric", "over training", "verdict", "best step", "best", "final", "p", "onset", "reason"]
    output.result_table(heads, rows)
    turned = [[row["model"], row["metric"], row["co_occurrence"]] for row in result.rows() if row["co_occurrence"]]
    if turned:
        output.result_table(["model", "the onset of", "lies"], turned)
        output.result(CAUTION)
    if result.extrapolation is not None:
        _print_law(result.extrapolation)


def _print_law(law: Extrapolation) -> None:
    rows = []
    for r in law.rows:
        final = _percent(r.final_gap, r.final_gap_low, r.final_gap_high)
        best = _percent(r.best_gap, r.best_gap_low, r.best_gap_high)
        rows.append([r.model, r.parameters, r.role, r.final_loss, r.predicted_final, final, r.best_loss, best])
    heads = ["model", "parameters", "role", "final loss", "expected", "above it", "best loss", "above its own"]
    output.result_table(heads, rows, title="The loss law of the larger models")
    parameters = ", ".join(_parameter(law, name) for name in law.parameters)
    output.result(f"L = A/N^alpha + B/D^beta + E by {OBJECTIVES[law.fit.objective]}: {parameters}")
    if law.mean_final_gap is not None and law.mean_best_gap is not None:
        output.result(
            f"The predicted models end {100 * law.mean_final_gap:.1f} % above it on average, "
            f"and were {100 * law.mean_best_gap:.1f} % above it at their best."
        )
    if law.no_interval is not None:
        output.result(f"No intervals: {law.no_interval}.")


def _percent(value: float | None, low: float | None, high: float | None) -> str | None:
    if value is None:
        return None
    interval = f" ({100 * low:.1f} … {100 * high:.1f})" if low is not None and high is not None else ""
    return f"{100 * value:.1f} %{interval}"


def _parameter(law: Extrapolation, name: str) -> str:
    """Return a parameter of the law as text, with its interval, or as fixed."""
    parameter = law.parameters[name]
    if name not in law.fit.free:
        return f"{name} = {parameter['value']:.5g} fixed"
    interval = f" ({parameter['low']:.4g} … {parameter['high']:.4g})" if parameter["low"] is not None else ""
    return f"{name} = {parameter['value']:.5g}{interval}"
