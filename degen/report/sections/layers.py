"""Anisotropy by depth and step, a heat map for each model."""

from __future__ import annotations

from collections.abc import Sequence

from degen.figures.figure import Figure
from degen.figures.layer_map import layer_map
from degen.report.checkpoint_names import checkpoint_names
from degen.report.content import Block, Drawing, Paragraph, Section
from degen.report.run_data import ReportData
from degen.report.words import number
from degen.tables import Row, file_name

METRIC = "anisotropy"
TEXT = (
    "Mean cosine between hidden states at every depth: 0 is no common direction, 1 means that all states point the "
    "same way. The lowest row is what enters the first block; the head input is what the LM head sees."
)


def build(data: ReportData) -> Sequence[Block]:
    """Return a heat map for each model with states."""
    figures = draw(data)
    return [Paragraph(TEXT), *map(Drawing, figures)] if figures else []


def draw(data: ReportData) -> list[Figure]:
    """Return the heat map of each model whose layers were measured."""
    if "layers" not in data.tables:
        return []
    names = checkpoint_names(data)
    by_model: dict[str, list[Row]] = {}
    for row in data.rows("layers", ("layer", "site", METRIC), lambda row: row["status"] != "failed"):
        cell = {
            "checkpoint": names[row["model"], row["revision"]], "layer": _layer(row), "value": row[METRIC],
        }  # fmt: skip
        by_model.setdefault(row["model"], []).append(cell)
    return [_figure(model, rows) for model, rows in by_model.items() if any(row["value"] is not None for row in rows)]


def _layer(row: Row) -> str:
    """Return the text before the row of a layer and site."""
    return str(row["layer"]) if row["site"] == "block" else f"{row['layer']} {row['site'].replace('_', ' ')}"


def _in_words(layer: str) -> str:
    """Return the name of a row for a sentence: `layer 2`, `the head input`."""
    index, _, site = layer.partition(" ")
    return f"the {site}" if site else f"layer {index}"


def _figure(model: str, rows: Sequence[Row]) -> Figure:
    last = [row for row in rows if row["checkpoint"] == rows[-1]["checkpoint"] and row["value"] is not None]
    end = ""
    if last:
        highest = max(last, key=lambda row: row["value"])
        end = f" At the end it is highest at {_in_words(highest['layer'])}, {number(highest['value'])}."
    description = f"Anisotropy of {model} by layer, from bottom to top, and step, from left to right.{end}"
    return layer_map(f"layers-{file_name(model)}", f"Anisotropy by depth: {model}", METRIC, rows, description)


SECTION = Section("layers", "By depth", "layers", build)
