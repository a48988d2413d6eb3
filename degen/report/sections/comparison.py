"""Runs side by side: differences of the first run's models from those of the others at equal steps or tokens."""

from __future__ import annotations

from collections.abc import Sequence

from degen.errors import DegenError
from degen.figures.training_curves import training_curves
from degen.report.content import Block, Drawing, Heading, Items, Paragraph, Section, TableBlock
from degen.report.run_data import ReportData, run_names
from degen.report.words import number, plural
from degen.run_comparison import Comparison, compare_runs
from degen.tables import Row

TEXT = (
    "Differences are those of the named run from the first one, with 90 % intervals over documents; losses on the same "
    "windows are compared window by window."
)
COLUMNS = {
    "model": "model", "metric": "metric", "at": "at", "first": "first run", "second": "other run",
    "difference": "difference", "low": "from", "high": "to", "verdict": "other run is",
}  # fmt: skip
VERDICTS = {
    "model": "model", "metric": "metric", "first_verdict": "first run", "first_onset_step": "onset",
    "second_verdict": "other run", "second_onset_step": "its onset",
}  # fmt: skip


def build(data: ReportData) -> Sequence[Block]:
    """Return the differences of each run but the first from the first: at the end, over training, of verdicts."""
    if len(data.runs) < 2:
        return []
    names = run_names([run.run for run in data.runs])
    blocks: list[Block] = [Paragraph(TEXT)]
    for i, (run, name) in enumerate(zip(data.runs[1:], names[1:], strict=True)):
        blocks.append(Heading(f"{name} against {names[0]}"))
        try:
            comparison = compare_runs(data.runs[0].run, run.run)
        except DegenError as error:
            blocks.append(Paragraph(str(error)))
            continue
        blocks += _differences(comparison, i + 1)
    return blocks


def _differences(comparison: Comparison, index: int) -> list[Block]:
    """Return the blocks of one pair of runs."""
    last = [{**row, "at": row[comparison.unit], "model": _pair(row)} for row in comparison.rows if row["is_last"]]
    blocks: list[Block] = [TableBlock("At the last checkpoint in common", COLUMNS, last, f"differences-{index}")]
    differing = [{**row, "model": _pair(row)} for row in comparison.verdicts if row["differ"]]
    if differing:
        blocks.append(TableBlock("Verdicts that differ", VERDICTS, differing, f"verdicts-{index}"))
    elif comparison.verdicts:
        blocks.append(Paragraph(f"The verdicts agree, {plural(len(comparison.verdicts), 'verdict')}."))
    for metric in dict.fromkeys(row["metric"] for row in comparison.rows):
        rows = [
            {
                "model": _pair(row), "revision": "", "step": row["step"], "tokens": row["tokens"],
                "value": row["difference"], "low": row["low"], "high": row["high"],
            }
            for row in comparison.rows
            if row["metric"] == metric and row["step"] is not None
        ]  # fmt: skip
        if len(rows) > 1:
            words = metric.replace("_", " ")
            models = list(dict.fromkeys(row["model"] for row in rows))
            description = (
                f"Difference in {words} over training, {number(rows[-1]['value'])} at the end of {models[-1]}."
            )
            name = f"difference-{index}-{metric}"
            blocks.append(
                Drawing(training_curves(name, f"Difference in {words}", words, rows, [], models, description))
            )
    if comparison.left_out:
        blocks.append(Items([f"Not compared: {line}." for line in comparison.left_out]))
    return blocks


def _pair(row: Row) -> str:
    return str(row["model"]) if row["model"] == row["other_model"] else f"{row['model']}, {row['other_model']}"


SECTION = Section("comparison", "Side by side", "checkpoints", build)
