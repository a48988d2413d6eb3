"""What a cheaper model that is as good takes of each model's cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from degen.tables import Row

from .packages import import_altair
from .panels import WIDTH
from .style import COLOURS

MAX_ROWS = 20  # models of a panel, those with the largest savings
ROW_HEIGHT = 18  # pixels of a model


def savings_panel(savings: Sequence[Row], cost: str, tables: dict[str, list[Row]]) -> Any:
    """Return the panel of one cost: the share of it that the cheapest model takes that is as good, a model each.

    Args:
        savings: rows of `find_savings`, of which those of `cost` are drawn, at most 20 with the least shares.
        cost: the column of cost.
        tables: takes the rows that are drawn.
    """
    alt = import_altair()
    rows = sorted((row for row in savings if row["cost"] == cost), key=lambda row: float(row["share"]))[:MAX_ROWS]
    key = f"savings of {cost}"
    names = ("model", "cheaper", "share", "probability")
    tables[key] = [{name: row[name] for name in names} | {"pair": _pair(row)} for row in rows]
    y = (
        alt.Y("pair", type="nominal", title=None)
        .scale(domain=[_pair(row) for row in rows])
        .axis(labelLimit=WIDTH, labelOverlap=False)
    )
    x = alt.X("share", type="quantitative", title=f"share of {cost}").scale(domain=[0, 1]).axis(format="~%")
    data = alt.Chart(alt.NamedData(key))
    bars = data.mark_bar(color=COLOURS[0]).encode(x=x, y=y)
    words = data.mark_text(align="left", dx=3, fontSize=9, aria=False).encode(
        x=x, y=y, text=alt.Text("share", type="quantitative", format=".0%")
    )
    return alt.layer(bars, words).properties(
        width=240, height=ROW_HEIGHT * max(2, len(rows)), title="as good for less: model, and the cheaper one"
    )


def _pair(row: Row) -> str:
    return f"{row['model']} ← {row['cheaper']}"
