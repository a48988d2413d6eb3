"""Loss, anisotropy of the last layer and singular entropy of the head over training."""

from __future__ import annotations

from collections.abc import Sequence

from degen.figures.figure import Figure
from degen.figures.training_curves import training_curves
from degen.metrics.curve import Curve, Point
from degen.printable import printable
from degen.report.content import Block, Drawing, Paragraph, Section
from degen.report.run_data import ReportData
from degen.report.words import number, steps, together
from degen.stats.document_interval import document_interval
from degen.tables import Row

ONE_SIDED = 0.975  # confidence of either end of a 95 % interval
# metric -> heading, name on the axis
SHOWN = {
    "loss": ("Loss", "loss (nats/token)"),
    "anisotropy": ("Anisotropy of the last layer", "anisotropy (mean cosine)"),
    "singular_entropy": ("Singular entropy of the head", "singular entropy (nats)"),
}
INTERVALS = (
    "Pale bands around curves are 95 % intervals over documents, where a metric has them. A dashed vertical line marks "
    "the onset of saturation, the pale stripe around it the 90 % interval of that onset."
)


def build(data: ReportData) -> Sequence[Block]:
    """Return a figure for each metric that was measured."""
    figures = [figure for metric in SHOWN if (figure := draw(data, metric)) is not None]
    return [Paragraph(INTERVALS), *map(Drawing, figures)] if figures else []


def draw(data: ReportData, metric: str) -> Figure | None:
    """Return the figure of a metric over training; None where no checkpoint has it."""
    curves = data.curves(metric)
    rows = [row for curve in curves for row in curve_rows(curve)]
    if not rows:
        return None
    title, axis = SHOWN[metric]
    onsets = [_onset(judged.row) for judged in data.judged if judged.row["metric"] == metric]
    onsets = [onset for onset in onsets if onset["step"] is not None]
    description = f"{title} over training of {together([c.model for c in curves])}. {_in_words(curves, onsets)}"
    models = [model for model in data.models if any(curve.model == model for curve in curves)]
    return training_curves(metric, title, axis, rows, onsets, models, description, among=data.models)


def curve_rows(curve: Curve) -> list[Row]:
    """Return the rows of a curve for a figure, with 95 % intervals; points without a step or value are left out."""
    return [
        {
            "model": curve.model, "revision": printable(point.revision or ""), "step": point.step,
            "tokens": point.tokens, "value": point.value, **_interval(point, curve.bare_metric),
        }
        for point in curve.points
        if point.value is not None and point.step is not None
    ]  # fmt: skip


def _interval(point: Point, metric: str) -> Row:
    if point.error is None or point.value is None:
        return {"low": None, "high": None}
    interval = document_interval(
        point.value, point.error, ONE_SIDED, point.freedom, point.spread, cosine="anisotropy" in metric
    )
    return {"low": interval.low, "high": interval.high}


def _onset(row: Row) -> Row:
    """Return the onset of a verdict, from a row of table `saturation`."""
    return {
        "model": row["model"], "step": row["onset_step"], "step_low": row["onset_low"], "step_high": row["onset_high"],
        "tokens": row["onset_tokens"], "tokens_low": row["onset_tokens_low"], "tokens_high": row["onset_tokens_high"],
    }  # fmt: skip


def _in_words(curves: Sequence[Curve], onsets: Sequence[Row]) -> str:
    """Return the first and last value of each curve, and the onsets."""
    texts = []
    for curve in curves[:6]:
        known = [point for point in curve.points if point.value is not None]
        texts.append(f"{curve.model}: from {number(known[0].value)} to {number(known[-1].value)}.")
    texts += [f"{onset['model']} got worse from step {steps(onset['step'])} on." for onset in onsets[:6]]
    return " ".join(texts)


SECTION = Section("training", "Over training", "checkpoints", build)
