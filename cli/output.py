"""Output: the result on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO

from degen.printable import escape_json, printable

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from rich.console import Console

    from degen.figures.figure import Figure
    from degen.readers.source_summary import SourceSummary

BLOCKS = "▁▂▃▄▅▆▇█"
SPARKLINE = 30  # the most blocks of a sparkline, and twice as many on a terminal of WIDE columns
WIDE = 160


def replace_unencodable() -> None:
    """Make stdout and stderr print `?` for characters that their encoding lacks, such as sparklines in ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def stderr() -> Console:
    """Return the console on stderr, for everything that is not the result."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def error(message: str) -> None:
    """Print an error message on stderr."""
    _print_marked("error", message, sys.stderr)


def warn(message: str) -> None:
    """Print a warning on stderr."""
    _print_marked("warning", message, sys.stderr)


def result_line(mark: str, message: str) -> None:
    """Print a line of the result behind a word such as `failed`, which has its colour on a terminal."""
    _print_marked(mark, message, sys.stdout)


def _print_marked(mark: str, message: str, stream: TextIO) -> None:
    from .colours import has_colour, paint

    text = fit(f"{mark}: {printable(message)}", stream)
    if has_colour(stream):
        text = paint(mark, "cell") + text.removeprefix(mark)
    print(text, file=stream)


def first_word(text: str) -> None:
    """Print a line on a terminal at once, while large packages are still being imported; nothing elsewhere."""
    if sys.stderr.isatty():
        print(fit(text, sys.stderr), file=sys.stderr, flush=True)


def note(message: str) -> None:
    """Print what is worth knowing."""
    print(fit(printable(message), sys.stderr), file=sys.stderr)


def note_source(source: SourceSummary) -> None:
    """Print what was understood of a table, a log or results; nothing of a run, whose columns are degen's own."""
    if source.kind != "run":
        note(source.line)


def write_figure(figure: Figure, file: Path) -> None:
    """Write a figure to a file, and say so.

    Raises:
        DegenError: it cannot be drawn or written.
    """
    from degen.figures.export import save_figure

    save_figure(figure, file)
    note(f"{file}: {figure.title}")


def write_rows(table: pa.Table, name: str, file: Path) -> None:
    """Write rows to a file, and say so.

    Args:
        table: the rows.
        name: of the table, in a `.duckdb` file.
        file: whose ending says the format.

    Raises:
        DegenError: it cannot be written.
    """
    from degen.runs.export import write_table

    write_table(table, name, file)
    note(f"{file}: {count(table.num_rows, 'row')} of {name}")


def count(number: int, noun: str) -> str:
    """Return a number with a noun in singular or plural, as in `1 row` and `2 rows`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def result(text: str) -> None:
    """Print the result as text of one or several lines."""
    print(fit("\n".join(map(printable, text.split("\n"))), sys.stdout))


def result_json(document: Mapping[str, Any]) -> None:
    """Print the result as one JSON document; NaN and infinity, which JSON lacks, become null."""
    unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    print(escape_json(json.dumps(_json_safe(document), indent=2, ensure_ascii=not unicode)))


def _json_safe(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _json_safe(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_safe(v) for v in value]
    return value


def result_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print the result as a table: within the width of a terminal, and with a line for each row elsewhere."""
    from .colours import has_colour, paint
    from .table_layout import lay_out, plain

    rows = [list(row) for row in rows]
    numeric = [all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(columns))]
    cells = [["\n".join(map(printable, format_cell(value).split("\n"))) for value in row] for row in rows]
    heads = [printable(column) for column in columns]
    painted = paint if has_colour(sys.stdout) else plain
    lines = lay_out(heads, cells, numeric, terminal_width(sys.stdout), painted)
    titles = [fit(printable(title), sys.stdout)] if title is not None else []
    print("\n".join(["", *(painted(line, "head") for line in titles), *lines, ""]))


def terminal_width(stream: TextIO) -> int | None:
    """Return the characters of a line, where a stream is a terminal; None for a file or a pipe, which have any."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def fit(text: str, stream: TextIO) -> str:
    """Return text cut at spaces to the width of a terminal; as it is for a file or a pipe."""
    from .table_layout import wrap

    return wrap(text, terminal_width(stream))


def format_cell(value: Any) -> str:
    """Return a value as text: four significant digits for a float, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.2e}"
    return str(value)


def format_interval(value: Any, low: Any, high: Any) -> str:
    """Return a value with its interval behind it, or alone where there is no interval."""
    interval = f" ({format_cell(low)} … {format_cell(high)})" if low is not None and high is not None else ""
    return f"{format_cell(value)}{interval}"


def sparkline(values: Sequence[float | None], width: int | None = None) -> str:
    """Return values as blocks of eight heights, with a gap where one is missing.

    Args:
        values: in the order of training.
        width: the most blocks; None for as many as suit the terminal, the same in every command.

    A range below 1 % of the largest magnitude is drawn flat, as noise should not look like a collapse.
    """
    if width is None:
        width = SPARKLINE if (terminal_width(sys.stdout) or 0) < WIDE else 2 * SPARKLINE
    if len(values) > width:
        values = [values[round(i * (len(values) - 1) / (width - 1))] for i in range(width)]
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = max(high - low, 0.01 * max(abs(high), abs(low)))
    top = len(BLOCKS) - 1

    def block(value: float | None) -> str:
        if value is None or not math.isfinite(value):
            return " "
        return BLOCKS[round((value - low) / span * top)] if span > 0 else BLOCKS[0]

    return "".join(map(block, values))
