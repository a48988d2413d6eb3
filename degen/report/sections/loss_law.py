"""How far the losses lie above the law of the larger models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from degen.figures.figure import Figure
from degen.figures.loss_law import KINDS, loss_law
from degen.report.content import Block, Drawing, Paragraph, Section
from degen.report.run_data import ReportData
from degen.report.words import number, plural
from degen.saturation.extrapolation import Extrapolation
from degen.tables import Row

TITLE = "Loss and the law of the larger models"
WITHOUT = (
    "No scaling law is fitted: it takes models of known size and tokens that are healthy and larger than every one "
    "that got worse. degen saturation RUN --larger NAME names some."
)


def build(data: ReportData) -> Sequence[Block]:
    """Return the law, its parameters and the gaps of each run, or why there are none."""
    figures = draw(data)
    if not figures:
        return [Paragraph(WITHOUT)] if data.judged else []
    blocks: list[Block] = []
    laws = [result.extrapolation for _, result in data.saturation if result.extrapolation is not None]
    for figure, law in zip(figures, laws, strict=True):
        blocks += [Paragraph(_in_words(law)), Drawing(figure)]
    return blocks


def draw(data: ReportData) -> list[Figure]:
    """Return a figure for each run with a law of the larger models."""
    figures = []
    for i, (run, result) in enumerate(data.saturation):
        if (law := result.extrapolation) is not None:
            name = "loss-law" if len(data.runs) == 1 else f"loss-law-{i + 1}"
            figures.append(draw_law(name, TITLE, law, run.labels))
    return figures


def draw_law(name: str, title: str, law: Extrapolation, labels: Mapping[str, str]) -> Figure:
    """Return the figure of a law and the models compared with it.

    Args:
        name: name of the file.
        title: heading.
        law: what was fitted.
        labels: model -> its label; a model that has none keeps its name.
    """
    rows: list[Row] = []
    for row in law.rows:
        keys = {"label": labels.get(row.model, row.model), "parameters": row.parameters}
        rows.append({**keys, "model": KINDS[0 if row.role == "fitted" else 1], "loss": row.final_loss})
        rows.append({**keys, "model": KINDS[2], "loss": row.best_loss})
    curve = [
        {
            "parameters": row.parameters, "loss": row.predicted_final,
            "low": None if row.final_gap_high is None else row.final_loss / (1 + row.final_gap_high),
            "high": None if row.final_gap_low is None else row.final_loss / (1 + row.final_gap_low),
        }
        for row in law.rows
    ]  # fmt: skip
    return loss_law(name, title, rows, curve, _in_words(law))


def _in_words(law: Extrapolation) -> str:
    """Return the fitted law and the gaps in words."""
    values = ", ".join(f"{name} = {number(p['value'])}" for name, p in law.parameters.items())
    fitted = plural(sum(row.role == "fitted" for row in law.rows), "larger model")
    text = f"L = A/N^alpha + B/D^beta + E fitted to the {fitted}: {values}."
    gaps = [row.final_gap for row in law.rows if row.role == "predicted"]
    if gaps:
        text += f" The others end {100 * float(np.mean(gaps)):.1f} % above it on average."
    return text


SECTION = Section("loss-law", "The loss law", "saturation", build)
