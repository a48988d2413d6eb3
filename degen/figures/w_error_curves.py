"""W-error of next-token distributions and of heads against dimension, beside the widths of known models."""

from __future__ import annotations

import math
from collections.abc import Sequence

from degen.ngram.known_widths import KNOWN_WIDTHS
from degen.ngram.result import HALF, TENTH
from degen.tables import Row

from .figure import VALUES, Figure, specification
from .packages import import_altair
from .style import HEIGHT, ONLY_VISIBLE, by_model, visible_models

WIDTHS, LEVELS = "widths", "levels"
ROOM = 0.03  # share of the axis that a name on its side takes


def w_error_curves(name: str, title: str, rows: Sequence[Row], description: str) -> Figure:
    """Return the figure of the curves, with a dotted line for the width of each known model and at 0.5 and 0.1.

    Args:
        name: name of the file.
        title: heading.
        rows: `model`, the label of the curve, `dimension`, `value`, `low` and `high`, which are null where it is exact.
        description: text alternative.
    """
    alt = import_altair()
    models = list(dict.fromkeys(row["model"] for row in rows))
    longest = max(row["dimension"] for row in rows)
    x = alt.X("dimension", type="quantitative", title="dimension d")
    x = x.scale(type="log", domain=[1, max(longest, 2)], nice=False).axis(format="~s", tickCount=6)
    y = alt.Y("value", type="quantitative", title="W-error at rank d").scale(domain=[0, 1])
    values = alt.Chart(alt.NamedData(VALUES)).transform_filter(ONLY_VISIBLE)
    dotted = {"strokeDash": [1, 3], "color": "#777", "aria": False}
    widths = _known_widths(longest)
    layers = [alt.Chart(alt.NamedData(LEVELS)).mark_rule(**dotted).encode(y="value:Q")]
    if widths:
        known = alt.Chart(alt.NamedData(WIDTHS)).encode(x=x)
        text = {"angle": 270, "align": "left", "baseline": "bottom", "dx": 3, "dy": -1, "fontSize": 8, "color": "#555"}
        layers += [
            known.mark_rule(**dotted),
            known.transform_filter("datum.label")
            .mark_text(**text, aria=False)
            .encode(text="label:N", y=alt.value(alt.expr("height"))),
        ]
    if any(row["low"] is not None for row in rows):
        low = alt.Y("low", type="quantitative", title=y.title)
        colour = by_model(models)["color"]
        layers.append(values.mark_area(opacity=0.2, aria=False).encode(x=x, y=low, y2="high", color=colour))
    tooltip = [
        alt.Tooltip("model", type="nominal"), alt.Tooltip("dimension", type="quantitative"),
        alt.Tooltip("value", type="quantitative", format=".4~g", title="W-error"),
    ]  # fmt: skip
    lines = values.mark_line(strokeWidth=2).encode(x=x, y=y, tooltip=tooltip, **by_model(models, markers=False))
    layers.append(lines.add_params(visible_models(models)))
    chart = alt.layer(*layers).properties(width="container", height=HEIGHT)
    tables = {VALUES: rows, LEVELS: [{"value": HALF}, {"value": TENTH}], WIDTHS: widths}
    return Figure(name, title, description, specification(chart, description), tables, models)


def _known_widths(longest: int) -> list[Row]:
    """Return the widths of known models up to a dimension, with the name of one where there is room for it."""
    rows: list[Row] = []
    free = 0.0  # the place on a logarithmic axis, from which on a name does not lie on the one before
    for width, models in KNOWN_WIDTHS.items():
        if width <= longest:
            place = math.log(width) / math.log(longest)
            rows.append({"dimension": width, "label": models[0] if place >= free else ""})
            free = place + ROOM if place >= free else free
    return rows


def table_curves(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of the figure from those of table `ngram`: of the text, then of the heads, each once."""
    found: dict[tuple[str, object], Row] = {}
    for row in rows:
        label = f"{row['corpus']}, {row['tokenizer']}, order {row['order']}"
        point = {"value": row["w_error"], "low": row["w_error_low"], "high": row["w_error_high"]}
        found.setdefault((label, row["dimension"]), {"model": label, "dimension": row["dimension"], **point})
    for row in rows:
        if row["head_w_error"] is not None and row["dimension"] <= row["head_size"]:
            label = f"head of {row['model']}@{row['head_revision']}"
            point = {"value": row["head_w_error"], "low": None, "high": None}
            found.setdefault((label, row["dimension"]), {"model": label, "dimension": row["dimension"], **point})
    return [row for row in found.values() if row["value"] is not None]


def draw_ngrams(rows: Sequence[Row]) -> Figure:
    """Return the figure of the rows of table `ngram`: of the text, and of the heads that it is compared with."""
    curves = table_curves(rows)
    count = len({row["model"] for row in curves})
    description = f"W-error by dimension of {count} matrices of next-token distributions and heads, falling from 1."
    return w_error_curves("ngram", "Dimensions that the text needs", curves, description)
