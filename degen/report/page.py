"""The page: sections laid into one HTML file with its styles, scripts and numbers inside."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from degen.figures.packages import import_converter, import_templates
from degen.figures.style import COLOURS, SHAPES
from degen.printable import printable
from degen.runs.run import Run
from degen.tables import Row
from degen.version import __version__

from .content import MAX_TABLE, Drawing, Section, TableBlock
from .registry import sections_of
from .run_data import ReportData, run_names
from .words import number, plural

LONG = 40  # characters of a cell that may be broken anywhere
MANY_MARKS = 3_000  # rows from which on a figure is drawn as pixels: so many elements of SVG would be slow


def build_page(runs: Sequence[Run], warn: Callable[[str], None] = lambda line: None) -> str:
    """Return the page of one run or several.

    Args:
        runs: the runs, at least one.
        warn: called with each line of warning.

    Raises:
        DegenError: a package is missing, or a run has no checkpoint or a damaged part.
    """
    environment = _environment()
    data = ReportData(runs, warn)
    sections = [(section, blocks) for section in sections_of(data) if (blocks := section.build(data))]
    drawn = [block.figure for _, blocks in sections for block in blocks if isinstance(block, Drawing)]
    names = run_names(runs)
    scripts = [_vega(), _resource("page.js")]
    return str(
        environment.get_template("page.html").render(
            title=f"degen report: {', '.join(names)}",
            summary=f"{plural(len(data.models), 'model')}, {plural(len(data.checkpoints), 'checkpoint')}.",
            version=__version__,
            sections=[(section, _with_ids(section, blocks)) for section, blocks in sections],
            models=[
                {"label": model, "colour": COLOURS[i % len(COLOURS)], "shape": SHAPES[i % len(SHAPES)]}
                for i, model in enumerate(data.models)
            ],
            has_tokens=any(row.get("tokens_seen") for row in data.checkpoints),
            over_training=any(figure.over_training for figure in drawn),
            style=_resource("page.css"),
            scripts=scripts,
            hashes=[f"'sha256-{_hash(script)}'" for script in scripts],
        )
    )  # fmt: skip


def _with_ids(section: Section, blocks: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the blocks of a section as the template takes them, each with an id of its own."""
    shown = []
    for i, block in enumerate(blocks):
        entry: dict[str, Any] = {"kind": block.kind, "block": block, "id": f"{section.name}-{i + 1}"}
        if isinstance(block, Drawing):
            entry |= _figure_entry(block, entry["id"])
        elif isinstance(block, TableBlock):
            entry["table"] = None if not block.is_small else _cells(block.columns, block.rows)
            entry["csv"] = csv_text(list(block.columns), block.rows)
        shown.append(entry)
    return shown


def _figure_entry(drawing: Drawing, identity: str) -> dict[str, Any]:
    """Return what the template needs of a figure: its specification and its tables, as CSV and, if small, as cells."""
    figure = drawing.figure
    tables = []
    for name, rows in figure.tables.items():
        columns = columns_of(rows)
        small = len(columns) * len(rows) <= MAX_TABLE
        tables.append({
            "name": name, "id": f"{identity}-{name}", "rows": len(rows), "columns": columns,
            "cells": _cells({c: c for c in columns}, rows) if small else None,
            "csv": csv_text(columns, rows), "types": _types(columns, rows),
        })  # fmt: skip
    renderer = "canvas" if len(next(iter(figure.tables.values()))) > MANY_MARKS else "svg"
    return {"figure": figure, "tables": tables, "spec": escape_script(json.dumps(figure.spec)), "renderer": renderer}


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Return the columns that have a value in some row, in the order of the first."""
    return [key for row in rows[:1] for key in row if any(r[key] is not None for r in rows)]


def csv_text(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """Return rows as CSV, numbers with six significant digits, null as nothing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[_plain(row.get(column)) for column in columns] for row in rows])
    return text.getvalue()


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return printable(str(value)) if isinstance(value, str) else str(value)


def _types(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """Return how each column of a CSV is read back, as JSON: number or string."""
    kinds = {column: "string" if any(isinstance(row[column], str) for row in rows) else "number" for column in columns}
    return json.dumps(kinds)


def _cells(columns: Mapping[str, str], rows: Sequence[Row]) -> list[list[tuple[str, str]]]:
    """Return the cells of a table as text, each with its class of style: `number`, `long` or none."""
    return [[_cell(row.get(column)) for column in columns] for row in rows]


def _cell(value: Any) -> tuple[str, str]:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        text = "" if value is None else printable(str(value))
        return text, "long" if len(text) > LONG else ""
    return (number(value) if isinstance(value, float) else f"{value:,}"), "number"


def escape_script(text: str) -> str:
    """Return JSON that no HTML parser takes for the end of its script element, or for the start of a comment."""
    return re.sub(r"[<>&\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text)


def _environment() -> Any:
    """Return the templates, which escape every text that is put into them.

    Raises:
        DegenError: jinja2 is not installed.
    """
    jinja2 = import_templates()
    loader = jinja2.FunctionLoader(_resource)
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _resource(name: str) -> str:
    return files("degen.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _vega() -> str:
    """Return Vega, Vega-Lite and vega-embed as one script, which sets `window.vegaEmbed`."""
    return str(import_converter().javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _hash(script: str) -> str:
    """Return the hash by which the page's policy knows a script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
