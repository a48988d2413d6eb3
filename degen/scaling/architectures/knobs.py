"""The knobs of a model's shape that a table varies: layers, width, feed-forward, heads, key width, experts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.scaling.column_names import column_of
from degen.scaling.points import Points
from degen.scaling.quantities import LAYERS, WIDTH

# Knob -> the names of its column. The short ones are those of Scale Efficiently, arXiv 2109.10686.
KNOBS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "layers": LAYERS,
        "d_model": WIDTH,
        "d_ff": ("d_ff", "ff", "intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner", "feed_forward"),
        "heads": ("heads", "nh", "n_heads", "num_heads", "n_head", "num_attention_heads"),
        "d_kv": ("d_kv", "kv", "head_dim", "d_head", "kv_size", "key_width"),
        "experts": ("experts", "ne", "n_experts", "num_experts", "num_local_experts"),
    }
)
SAME = 1e-9  # logarithms that differ by less are one value


@dataclass(frozen=True, eq=False)
class Knob:
    """A knob of the shape.

    Attributes:
        name: of `KNOBS`, or the column that the user named.
        column: the column that it is read from.
        logs: natural logarithm of its value in each row, NaN where unknown.
    """

    name: str
    column: str
    logs: Floats


def find_knobs(points: Points, columns: Sequence[str] = ()) -> list[Knob]:
    """Return the knobs of which the table has a column, whether they vary or not.

    Args:
        points: the models.
        columns: further columns that are knobs.

    Raises:
        DegenError: a named column does not exist, or a value is no number or not above 0. A model of no experts is one
            of 1, dense.
    """
    names = points.table.column_names
    found = {name: column for name, aliases in KNOBS.items() if (column := column_of(aliases, names)) is not None}
    found |= {column: column for column in columns if column not in found.values()}
    return [_read(points, name, column) for name, column in found.items()]


def _read(points: Points, name: str, column: str) -> Knob:
    values = points.numbers(column)
    if name == "experts":
        values = np.where(values == 0, 1.0, values)
    for row in np.flatnonzero(values <= 0):
        raise DegenError(
            f"{points.path}: {points.names[row]} has {column} {values[row]:g}, which must be above 0; correct the row "
            "or leave it out"
        )
    known = np.isfinite(values)
    return Knob(name, column, np.where(known, np.log(np.where(known, values, 1.0)), np.nan))


def varies(logs: Floats) -> bool:
    """Return whether the known ones of some logarithms differ."""
    known = logs[np.isfinite(logs)]
    return len(known) > 0 and float(np.ptp(known)) > SAME
