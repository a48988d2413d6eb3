"""The LM head at restricted rank: loss above the full head, W-error, and the bottleneck rank over training."""

from __future__ import annotations

from collections.abc import Sequence

from degen.figures.figure import Figure
from degen.figures.rank_curves import GAP_AXIS, GAP_TITLE, gap_interval, rank_curves
from degen.figures.training_curves import training_curves
from degen.report.content import Block, Drawing, Paragraph, Section
from degen.report.run_data import ReportData
from degen.report.words import number, together
from degen.tables import Row

TEXT = (
    "What the last checkpoint of each model loses when its head is replaced by one of lower rank, and the lowest rank "
    "that loses nothing that matters (the bottleneck rank). Bars are 95 % intervals over documents."
)


def build(data: ReportData) -> Sequence[Block]:
    """Return the curves of the last checkpoints, and the bottleneck rank over training."""
    figures = draw(data)
    return [Paragraph(TEXT), *map(Drawing, figures)] if figures else []


def draw(data: ReportData) -> list[Figure]:
    """Return the figures of the ranks; none where none was measured."""
    rows = last_rows(data, "loss_gap", "loss_gap_se", "w_error")
    gaps = [
        {**keys_of(row), "value": row["loss_gap"], **gap_interval(row)} for row in rows if row["loss_gap"] is not None
    ]
    errors = [
        {**keys_of(row), "value": row["w_error"], "low": None, "high": None}
        for row in rows
        if row["w_error"] is not None
    ]
    figures = []
    if gaps:
        title, axis = GAP_TITLE, GAP_AXIS
        words = _in_words(title, gaps)
        among = _among(data, gaps)
        figures.append(rank_curves("ranks", title, axis, gaps, _models(gaps), words, gaps=True, among=among))
    if errors:
        title, axis = "W-error of the head", "W-error ‖W − AB‖ / ‖W‖"
        words = _in_words(title, errors)
        among = _among(data, errors)
        figures.append(rank_curves("w-error", title, axis, errors, _models(errors), words, gaps=False, among=among))
    figures += _bottleneck(data)
    return figures


def last_rows(data: ReportData, *columns: str) -> list[Row]:
    """Return the rows of table `ranks` of the last checkpoint of each model; none where there is no such table.

    Args:
        data: the runs.
        columns: to read beside `rank` and `method`. Where there are several methods, the method is in the label.
    """
    if "ranks" not in data.tables:
        return []
    rows = data.rows("ranks", ("rank", "method", *columns))
    last = {row["model"]: row["revision"] for row in rows}
    rows = [row for row in rows if row["revision"] == last[row["model"]]]
    several = len({row["method"] for row in rows}) > 1
    return [{**row, "model": f"{row['model']}, {row['method']}"} if several else row for row in rows]


def _bottleneck(data: ReportData) -> list[Figure]:
    """Return the figure of the bottleneck rank over training; none where no checkpoint has one."""
    rows = [
        {
            "model": row["model"], "revision": row["revision"], "step": row["step"], "tokens": row["tokens_seen"],
            "value": row["bottleneck_rank"], "low": row["bottleneck_rank_low"], "high": row["bottleneck_rank_high"],
        }
        for row in data.checkpoints
        if row.get("bottleneck_rank") is not None and row["step"] is not None
    ]  # fmt: skip
    if not rows:
        return []
    models = _models(rows)
    title = "Bottleneck rank"
    description = f"Bottleneck rank of the head over training of {together(models)}, with 95 % intervals."
    axis = "bottleneck rank (dimensions)"
    return [
        training_curves("bottleneck-rank", title, axis, rows, [], models, description, log_y=True, among=data.models)
    ]


def keys_of(row: Row) -> Row:
    """Return the columns that tell the rows of a figure apart."""
    return {name: row[name] for name in ("model", "revision", "method", "rank")}


def _among(data: ReportData, rows: Sequence[Row]) -> Sequence[str]:
    """Return all models of the page, whose colours the curves take; none where curves have methods in their labels."""
    return data.models if set(_models(rows)) <= set(data.models) else ()


def _models(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["model"] for row in rows))


def _in_words(title: str, rows: Sequence[Row]) -> str:
    texts = []
    for model in _models(rows)[:6]:
        own = sorted((row for row in rows if row["model"] == model), key=lambda row: row["rank"])
        ends = " and ".join(f"{number(row['value'])} at rank {row['rank']}" for row in (own[0], own[-1]))
        texts.append(f"{model}: {ends}.")
    return f"{title} against the rank of the head, on a logarithmic axis. {' '.join(texts)}"


SECTION = Section("ranks", "The head at restricted rank", "ranks", build)
