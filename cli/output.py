"""Output: the result on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

BLOCKS = "▁▂▃▄▅▆▇█"


def say_what_can_be_said() -> None:
    """Print `?` for what a terminal's encoding cannot say, such as a sparkline in ASCII, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def stderr() -> Console:
    """The console for everything that is not the result."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def error(message: str) -> None:
    """A mistake, in one line."""
    print(f"error: {message}", file=sys.stderr)


def warn(message: str) -> None:
    """Something the user should know before it is too late."""
    print(f"warning: {message}", file=sys.stderr)


def result(text: str) -> None:
    """The result as text."""
    print(text)


def result_json(document: Mapping[str, Any]) -> None:
    """The result as one JSON document; NaN and infinity become null, which JSON can say."""
    unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    print(json.dumps(_sayable(document), indent=2, ensure_ascii=not unicode))


def _sayable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _sayable(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_sayable(v) for v in value]
    return value


def result_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """The result as a table; as wide as it needs to be where nobody looks at a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(columns):
        numbers = all(isinstance(row[i], int | float | None) for row in rows)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 200)
    console.print(table)


def cell(value: Any) -> str:
    """A value as a reader wants it: four significant digits, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.2e}"
    return str(value)


def sparkline(values: Sequence[float | None], width: int = 60) -> str:
    """Values as blocks of eight heights, lowest to highest; a gap where one is missing.

    A range under 1 % of the values themselves is drawn that low: noise should not look like a collapse.
    """
    if len(values) > width:
        values = [values[round(i * (len(values) - 1) / (width - 1))] for i in range(width)]
    there = [v for v in values if v is not None and math.isfinite(v)]
    if not there:
        return ""
    low, high = min(there), max(there)
    span = max(high - low, 0.01 * max(abs(high), abs(low)))
    top = len(BLOCKS) - 1

    def block(value: float | None) -> str:
        if value is None or not math.isfinite(value):
            return " "
        return BLOCKS[round((value - low) / span * top)] if span > 0 else BLOCKS[0]

    return "".join(map(block, values))
