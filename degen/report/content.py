"""What a section of the page is made of: paragraphs, figures and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from degen.figures.figure import Figure
from degen.tables import Row

if TYPE_CHECKING:
    from .run_data import ReportData

MAX_TABLE = 2_000  # values, up to which a table of the page is shown as one; a larger one is CSV


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text; a label in front is set in bold."""

    text: str
    label: str = ""
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Drawing:
    """A figure, with the table of its numbers behind it."""

    figure: Figure
    kind: ClassVar[str] = "figure"


@dataclass(frozen=True)
class TableBlock:
    """Rows of a table.

    Attributes:
        caption: heading of the table.
        columns: names of its columns, with their headings.
        rows: the rows.
        name: for the file that it is saved as.
        definitions: of columns, by name, with unit.
    """

    caption: str
    columns: Mapping[str, str]
    rows: Sequence[Row]
    name: str
    definitions: Mapping[str, str] = field(default_factory=dict)
    kind: ClassVar[str] = "table"

    @property
    def is_small(self) -> bool:
        """Whether the table is shown cell by cell."""
        return len(self.columns) * len(self.rows) <= MAX_TABLE


@dataclass(frozen=True)
class Heading:
    """A heading below that of the section."""

    text: str
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    texts: Sequence[str]
    kind: ClassVar[str] = "items"


@dataclass(frozen=True)
class Command:
    """A command to be typed."""

    text: str
    kind: ClassVar[str] = "command"


Block = Paragraph | Items | Drawing | TableBlock | Heading | Command


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        name: its anchor.
        title: its heading.
        table: the table of a run that it reads; empty for one that reads run.json alone.
        build: makes its blocks; none where there is nothing to say, and the page then goes without the section.
        also: other tables that it reads, and that have no section of their own.
    """

    name: str
    title: str
    table: str
    build: Callable[[ReportData], Sequence[Block]]
    also: tuple[str, ...] = ()


def table_of(rows: Sequence[Row], caption: str, name: str, definitions: Mapping[str, Any] | None = None) -> TableBlock:
    """Return the table of all columns that have a value in some row."""
    columns = {key: key for row in rows[:1] for key in row if any(r.get(key) is not None for r in rows)}
    return TableBlock(caption, columns, rows, name, dict(definitions or {}))
