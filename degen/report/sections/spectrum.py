"""The singular values of the LM head over training, a figure for each model."""

from __future__ import annotations

from collections.abc import Sequence

from degen.figures.figure import Figure
from degen.figures.spectrum import head_spectrum
from degen.report.checkpoint_names import checkpoint_names, thin
from degen.report.content import Block, Drawing, Paragraph, Section
from degen.report.run_data import ReportData
from degen.report.words import number, plural
from degen.tables import Row, file_name

MOST_LINES, MOST_POINTS = 8, 80  # checkpoints of a figure; singular values of a line
TEXT = (
    "Singular values of the LM head, each over the largest. A flat line uses all dimensions alike; one that falls at "
    "once leaves the head with few. The last checkpoint is the solid line."
)


def build(data: ReportData) -> Sequence[Block]:
    """Return a figure for each model whose head was measured."""
    figures = draw(data)
    return [Paragraph(TEXT), *map(Drawing, figures)] if figures else []


def draw(data: ReportData) -> list[Figure]:
    """Return the figure of each model whose head was measured."""
    if "spectrum" not in data.tables:
        return []
    names = checkpoint_names(data)
    figures = []
    for run in data.runs:
        for model, label in run.labels.items():
            own = [row for row in run.parts.rows if row["model"] == model and row["status"] != "failed"]
            rows: list[Row] = []
            for row in thin(own, MOST_LINES):
                part = run.parts.part("spectrum", model, row["revision"], ("index", "singular_value"))
                if part is not None and len(part):
                    rows += _line(names[label, row["revision"]], part.to_pylist())
            if rows:
                figures.append(_figure(label, rows, len(own)))
    return figures


def _line(checkpoint: str, part: Sequence[Row]) -> list[Row]:
    """Return the line of a checkpoint: its singular values over the largest, fewer and fewer towards the small ones."""
    known = {row["index"]: row["singular_value"] for row in part if row["singular_value"]}
    largest = known.get(0)
    if not largest:
        return []
    count = max(known) + 1
    ranks = {round(count ** (i / (MOST_POINTS - 1))) for i in range(MOST_POINTS)} | {count}
    return [
        {"checkpoint": checkpoint, "rank": rank, "value": known[rank - 1] / largest}
        for rank in sorted(ranks)
        if rank - 1 in known
    ]


def _figure(model: str, rows: Sequence[Row], checkpoints: int) -> Figure:
    lines = list(dict.fromkeys(row["checkpoint"] for row in rows))
    last = [row for row in rows if row["checkpoint"] == lines[-1]]
    middle = last[len(last) // 2]
    description = (
        f"Singular values of the head of {model} by size, at {len(lines)} of {plural(checkpoints, 'checkpoint')}, both "
        f"axes logarithmic. At the last one the {middle['rank']}th is {number(middle['value'])} of the largest."
    )
    return head_spectrum(f"spectrum-{file_name(model)}", f"Spectrum of the head: {model}", rows, description)


SECTION = Section("spectrum", "Spectrum of the head", "spectrum", build)
