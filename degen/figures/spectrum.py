"""The singular values of the LM head, a line for each of some checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

from degen.tables import Row

from .figure import VALUES, Figure, specification
from .packages import import_altair
from .style import HEIGHT, SEQUENTIAL


def head_spectrum(name: str, title: str, rows: Sequence[Row], description: str) -> Figure:
    """Return the figure of the spectra of one model's head over training.

    Args:
        name: name of the file.
        title: heading.
        rows: `checkpoint`, the text in the legend, `rank`, 1 for the largest singular value, and `value`, the singular
            value over the largest; in the order of training.
        description: text alternative.
    """
    alt = import_altair()
    checkpoints = list(dict.fromkeys(row["checkpoint"] for row in rows))
    legend = alt.Legend(orient="top", title="step", symbolType="stroke")
    colour = alt.Color("checkpoint", type="ordinal", legend=legend)
    last = {"test": {"field": "checkpoint", "equal": checkpoints[-1]}, "value": [1, 0]}
    chart = (
        alt.Chart(alt.NamedData(VALUES))
        .mark_line(strokeWidth=1.8, aria=False)
        .encode(
            x=alt.X("rank", type="quantitative", title="singular value, by size").scale(type="log"),
            y=alt.Y("value", type="quantitative", title="σ / σ₁").scale(type="log"),
            # not to the pale end of the colours, which white paper swallows
            color=colour.scale(domain=checkpoints, scheme=alt.SchemeParams(name=SEQUENTIAL, extent=[0.85, 0.0])),
            strokeDash=alt.StrokeDashValue([4, 2], condition=last),
            tooltip=[
                alt.Tooltip("checkpoint", type="nominal"), alt.Tooltip("rank", type="quantitative"),
                alt.Tooltip("value", type="quantitative", format=".4~g", title="σ / σ₁"),
            ],
        )
        .properties(width="container", height=HEIGHT)
    )  # fmt: skip
    return Figure(name, title, description, specification(chart, description), {VALUES: rows})
