"""A table as lines of text, whole on one line where there is room, else with the rest of a row on lines beneath it.

No word and no number is ever broken: a line is cut at spaces alone. A single word longer than the width stays whole.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Literal

GAPS = (3, 2, 1)  # spaces between two columns, from roomy to narrow
INDENT = 4  # of what stands beneath a row
MOST = 0.5  # the share of the rows from which on a value that went beneath them stands in front of the table instead

Part = Literal["head", "rule", "cell"]
Paint = Callable[[str, Part], str]
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # takes no room


def plain(text: str, part: Part) -> str:
    """Return a text without colour."""
    return text


def lay_out(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool], width: int | None,
    paint: Paint = plain,
) -> list[str]:  # fmt: skip
    """Return the lines of a table: its heads, a rule, and its rows.

    A table that is too wide is changed step by step until it fits: `reason` goes beneath its row, the gaps shrink, what
    is the same in every row goes in front of the table, and heads of several words become several lines. Where all that
    is not enough, the last columns go beneath their row one by one, each value behind the name of its column.

    Args:
        columns: the heads.
        rows: the cells of each row.
        numeric: of each column, whether it is aligned to the right.
        width: characters of a line; None for any number.
        paint: called with a cell, a head or the rule and which of them it is, returns it in colour.
    """
    table = _Layout(columns, rows, numeric, width, paint)
    table.fit()
    return table.lines()


def wrap(text: str, width: int | None, indent: str = "", hanging: str | None = None) -> str:
    """Return text with its lines cut at spaces, so that each has at most `width` characters.

    Args:
        text: of one or several lines.
        width: characters of a line; None for any number.
        indent: in front of the first piece of each line.
        hanging: in front of the others; None for the same.
    """
    if width is None:
        return text
    return "\n".join(
        textwrap.fill(
            line, max(width, 1), initial_indent=indent, subsequent_indent=indent if hanging is None else hanging,
            break_long_words=False, break_on_hyphens=False, replace_whitespace=False, drop_whitespace=True,
        ) if len(indent) + cells(line) > width else indent + line
        for line in text.split("\n")
    )  # fmt: skip


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes; characters of East Asia take two."""
    from rich.cells import cell_len

    return max((cell_len(_COLOUR.sub("", line)) for line in text.split("\n")), default=0)


class _Layout:
    """Which columns of a table stand side by side, and which above it or beneath its rows."""

    def __init__(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool], width: int | None,
        paint: Paint,
    ) -> None:  # fmt: skip
        self.paint = paint
        self.columns, self.rows, self.numeric, self.width = columns, rows, numeric, width
        self.side_by_side = list(range(len(columns)))
        self.same: list[int] = []
        self.beneath: list[int] = []
        self.usual: dict[int, str] = {}  # of a column beneath: the value that goes in front, not beneath every row
        self.gap = GAPS[0]
        self.heads = list(columns)

    def fit(self) -> None:
        """Change the layout until it fits."""
        if not self._too_wide():
            return
        self._put_beneath([i for i in self.side_by_side if self.columns[i] == "reason"])
        self._shrink_gap(GAPS[:2])
        if self._too_wide() and len(self.rows) > 1:
            self.same = [i for i in self.side_by_side if len({row[i] for row in self.rows}) == 1]
            self.side_by_side = [i for i in self.side_by_side if i not in self.same] or self.side_by_side[:1]
        if self._too_wide():
            self.heads = [head.replace(" ", "\n") for head in self.columns]
        self._shrink_gap(GAPS)
        if self._too_wide():
            self.gap = GAPS[1]
        while self._too_wide() and len(self.side_by_side) > 1:
            last = self.side_by_side[-1]
            self._put_beneath([last])
            value, times = max(Counter(row[last] for row in self.rows).items(), key=itemgetter(1), default=("", 0))
            is_usual = times > max(MOST * len(self.rows), 2) and all(row[last] for row in self.rows)
            if is_usual and not self.numeric[last] and "\n" not in value:
                self.usual[last] = value
        if self.width is not None and self._too_wide():  # a single column, of cells of several words
            only, room = self.side_by_side[0], self.width - 1
            self.rows = [[wrap(text, room) if i == only else text for i, text in enumerate(row)] for row in self.rows]

    def _shrink_gap(self, gaps: Sequence[int]) -> None:
        """Take the widest gap with which the table fits; the narrowest if it fits with none."""
        for self.gap in gaps:
            if not self._too_wide():
                return

    def _put_beneath(self, moved: list[int]) -> None:
        self.side_by_side = [i for i in self.side_by_side if i not in moved] or self.side_by_side[:1]
        self.beneath = [i for i in moved if i not in self.side_by_side] + self.beneath

    def _widths(self) -> list[int]:
        return [max(cells(self.heads[i]), *(cells(row[i]) for row in self.rows), 0) for i in self.side_by_side]

    def _too_wide(self) -> bool:
        widths = self._widths()
        return self.width is not None and 1 + sum(widths) + self.gap * (len(widths) - 1) > self.width

    def lines(self) -> list[str]:
        """Return the lines of the table."""
        widths = self._widths()
        same = [f"{self.columns[i]}: {self.rows[0][i]}" for i in self.same if self.rows[0][i]]
        same += [f"{self.columns[i]}: {value} (but where a row says otherwise)" for i, value in self.usual.items()]
        lines = [wrap("   ".join(same), self.width, " ")] if same else []
        heads = [self.heads[i].split("\n") for i in self.side_by_side]
        tallest = max(map(len, heads), default=0)
        padded = [[""] * (tallest - len(head)) + head for head in heads]
        lines += [self._line([head[k] for head in padded], widths, "head") for k in range(tallest)]
        lines.append(" " + self.paint("─" * (sum(widths) + self.gap * max(len(widths) - 1, 0)), "rule"))
        for row in self.rows:
            lines += self._row(row, widths)
        return [line for text in lines for line in text.split("\n")]

    def _row(self, row: Sequence[str], widths: Sequence[int]) -> list[str]:
        parts = [row[i].split("\n") for i in self.side_by_side]
        tallest = max(map(len, parts), default=0)
        lines = [self._line([p[k] if k < len(p) else "" for p in parts], widths) for k in range(tallest)]
        named = [f"{self.columns[i]} {self.paint(row[i], 'cell')}" for i in self.beneath if self._is_named(row, i)]
        indent = " " * INDENT
        if any("\n" in text for text in named):
            lines += [wrap(text.replace("\n", "\n  "), self.width, indent, indent + "  ") for text in named]
        elif named:
            lines += self._packed(named, indent)
        lines += [wrap(row[i], self.width, indent) for i in self.beneath if row[i] and self.columns[i] == "reason"]
        return lines

    def _is_named(self, row: Sequence[str], i: int) -> bool:
        """Return whether a value beneath its row is printed there, behind the name of its column."""
        return bool(row[i]) and self.columns[i] != "reason" and row[i] != self.usual.get(i)

    def _packed(self, texts: Sequence[str], indent: str) -> list[str]:
        """Return texts on as few lines as they take, cut inside a text only where it is longer than a line."""
        lines = [indent + texts[0]]
        for text in texts[1:]:
            joined = f"{lines[-1]}   {text}"
            if self.width is None or cells(joined) <= self.width:
                lines[-1] = joined
            else:
                lines.append(indent + text)
        return [wrap(line.removeprefix(indent), self.width, indent, indent + "  ") for line in lines]

    def _line(self, texts: Sequence[str], widths: Sequence[int], part: Part = "cell") -> str:
        padded = []
        for i, text, width in zip(self.side_by_side, texts, widths, strict=True):
            space = " " * (width - cells(text))
            painted = self.paint(text, part)
            padded.append(space + painted if self.numeric[i] else painted + space)
        return (" " + (" " * self.gap).join(padded)).rstrip()
