"""How many dimensions the next-token distributions of a text need, beside the heads."""

from __future__ import annotations

from collections.abc import Sequence

from degen.figures.figure import Figure
from degen.figures.w_error_curves import draw_ngrams
from degen.report.content import Block, Drawing, Paragraph, Section
from degen.report.run_data import ReportData

TEXT = (
    "What the best approximation of rank d leaves of the matrix of next-token distributions (W-error), and of each "
    "head. Dotted: the widths of known models, and the levels 0.5 and 0.1."
)


def build(data: ReportData) -> Sequence[Block]:
    """Return the figure of the text and the heads."""
    figures = draw(data)
    return [Paragraph(TEXT), *map(Drawing, figures)] if figures else []


def draw(data: ReportData) -> list[Figure]:
    """Return the figure of W-error by dimension; none where no text was measured."""
    if "ngram" not in data.tables:
        return []
    rows, _ = data.plain_rows("ngram")
    return [draw_ngrams(rows)] if rows else []


SECTION = Section("ngram", "Dimensions of the text", "ngram", build)
