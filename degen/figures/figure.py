"""A figure: a Vega-Lite specification, the tables it draws, and the words that stand for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from degen.tables import Row

from .style import CONFIG

if TYPE_CHECKING:
    import altair

VALUES = "values"  # name of the table that most figures draw


@dataclass(frozen=True)
class Figure:
    """A figure without its numbers, and the tables that hold them.

    Attributes:
        name: name of the file it is written to, without ending: letters, digits, `-` and `_`.
        title: heading.
        description: text alternative in a sentence or two: what is drawn against what, and what can be seen.
        spec: the Vega-Lite specification, whose data are named as in `tables`.
        tables: rows by name of the data; the first is the one that a reader wants to see.
        models: labels of the models that its legend shows, which a click hides; empty where it shows none.
        over_training: whether its horizontal axis is the field `step`, which `tokens` may replace.
    """

    name: str
    title: str
    description: str
    spec: Mapping[str, Any]
    tables: Mapping[str, Sequence[Row]]
    models: Sequence[str] = field(default=())
    over_training: bool = False

    def with_data(self) -> dict[str, Any]:
        """Return the specification with its numbers inside, as `vl-convert` or the online editor take it."""
        datasets = {name: [_json_safe(row) for row in rows] for name, rows in self.tables.items()}
        return {**self.spec, "datasets": datasets}


def specification(chart: altair.TopLevelMixin, description: str) -> dict[str, Any]:
    """Return the Vega-Lite specification of a chart, without altair's own sizes and random names."""
    spec: dict[str, Any] = chart.to_dict(validate=False)  # the tests do; it takes longer than all else
    spec["config"] = CONFIG
    spec["description"] = description
    return spec


def _json_safe(row: Row) -> Row:
    """Return a row whose infinite values and NaN, which JSON lacks, are null."""
    return {
        key: None if isinstance(v, float) and (v != v or v in (_INFINITY, -_INFINITY)) else v for key, v in row.items()
    }


_INFINITY = float("inf")
