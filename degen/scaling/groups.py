"""Judge the rows of each source by themselves, as `--by COLUMN` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from degen.errors import DegenError
from degen.hints import did_you_mean
from degen.readers.columns import texts
from degen.readers.source_summary import SourceSummary
from degen.tables import Row

from .points import Points, Warn

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
MAX_GROUPS = 50  # more values name rows, not sources


@dataclass(frozen=True, eq=False)
class ByGroup(Generic[T]):
    """A result for each value of a column, or one for all rows.

    Attributes:
        column: the column; None where all rows were judged together.
        results: value of the column -> its result, in the order of the table; the value is empty without a column.
        failed: value of the column -> why it has no result.
        left_out: how many rows were left out of all groups alike and why, a phrase each.
    """

    column: str | None
    results: dict[str, T]
    failed: dict[str, str]
    left_out: tuple[str, ...] = ()

    @property
    def only(self) -> T:
        """The result for all rows, or that of the first value."""
        return next(iter(self.results.values()))

    def rows(self, rows_of: Callable[[T], Sequence[Row]]) -> list[Row]:
        """Return rows of all results, with the value of the column in front, and None where a row lacks a key."""
        parts = [(value, rows_of(result)) for value, result in self.results.items()]
        keys = dict.fromkeys(key for _, rows in parts for row in rows for key in row)
        head = [] if self.column is None else [self.column]
        _check_free(head, keys)
        return [{**dict.fromkeys(head, value), **dict.fromkeys(keys), **row} for value, rows in parts for row in rows]

    def table(self, table_of: Callable[[T], pa.Table]) -> pa.Table:
        """Return the tables of all results as one, with the value of the column in front."""
        import pyarrow as pa

        tables = []
        for value, result in self.results.items():
            table = table_of(result)
            if self.column is not None:
                _check_free([self.column], table.column_names)
                table = table.add_column(0, self.column, pa.array([value] * len(table), pa.string()))
            tables.append(table)
        return pa.concat_tables(tables, promote_options="permissive")

    def document(self, document_of: Callable[[T], Row], source_of: Callable[[T], SourceSummary | None]) -> Row:
        """Return the results for a JSON document.

        Without a column that is the document of the one result. With one it has `by`, a list `results` of the documents
        without their rows, each with its `value`; `failed`, with a `value` and `reason` each; the `rows` of all; and
        the `source`.

        Args:
            document_of: returns the document of a result, whose rows are `rows`.
            source_of: returns what was understood of the table of a result.
        """
        if self.column is None:
            return document_of(self.only)
        documents = {value: document_of(result) for value, result in self.results.items()}
        source = self.source(source_of)
        return {
            "by": self.column,
            "results": [
                {"value": value, **{key: part for key, part in document.items() if key != "rows"}}
                for value, document in documents.items()
            ],
            "failed": [{"value": value, "reason": reason} for value, reason in self.failed.items()],
            "source": source.as_dict() if source is not None else None,
            "rows": self.rows(lambda result: document_of(result)["rows"]),
        }

    def source(self, source_of: Callable[[T], SourceSummary | None]) -> SourceSummary | None:
        """Return what was understood of the table: of all results together."""
        sources = {value: source for value, result in self.results.items() if (source := source_of(result)) is not None}
        if not sources or self.column is None:
            return next(iter(sources.values()), None)
        first = next(iter(sources.values()))
        count = len(self.left_out)  # those of all groups stand in front
        own = [f"{value}: {phrase}" for value, source in sources.items() for phrase in source.left_out[count:]]
        models = tuple(dict.fromkeys(model for source in sources.values() for model in source.models))
        return replace(
            first,
            rows=sum(source.rows for source in sources.values()),
            columns={"group": self.column, **first.columns},
            models=models,
            left_out=(*self.left_out, *own),
        )


def judge_groups(points: Points, column: str | None, judge: Callable[[Points], T], warn: Warn) -> ByGroup[T]:
    """Return what `judge` says of the rows of each value of a column, or of all rows.

    Args:
        points: the rows.
        column: the column; None to judge all rows together.
        judge: returns the result of some rows, or raises a DegenError.
        warn: called with a line for each value whose rows cannot be judged.

    Raises:
        DegenError: the table has no such column, it has no value or more than `MAX_GROUPS`, or no value has a result.
    """
    if column is None:
        return ByGroup(None, {"": judge(points)}, {})
    results, failed = {}, {}
    parts = _split(points, column)
    left_out = next(iter(parts.values())).left_out
    for value, part in parts.items():
        try:
            results[value] = judge(part)
        except DegenError as error:
            failed[value] = str(error)
    if not results:
        value, reason = next(iter(failed.items()))
        raise DegenError(
            f"{column} = {value}: {reason}" + (f" ({len(failed)} values failed)" if len(failed) > 1 else "")
        )
    for value, reason in failed.items():
        warn(f"{column} = {value} has no result: {reason}")
    return ByGroup(column, results, failed, left_out)


def _split(points: Points, column: str) -> dict[str, Points]:
    """Return the rows of each value of a column, in the order of the table; see `judge_groups` for what it raises."""
    names = points.table.column_names
    if column not in names:
        raise DegenError(f"--by {column}: {points.path} has no column {column!r}; {did_you_mean(column, names)}")
    labels = [None if text is None or not text.strip() else text for text in texts(points.table, column)]
    points = points.take(np.array([label is not None for label in labels], dtype=bool), f"without {column}")
    kept = [label for label in labels if label is not None]
    values = list(dict.fromkeys(kept))
    if not values:
        raise DegenError(f"--by {column}: no row of {points.path} has a value in that column; name another")
    if len(values) > MAX_GROUPS:
        raise DegenError(
            f"--by {column}: the column has {len(values)} values, and at most {MAX_GROUPS} can be judged; name a "
            "column of sources, such as dataset or family"
        )
    return {value: points.take([i for i, label in enumerate(kept) if label == value]) for value in values}


def _check_free(names: Sequence[str], taken: Sequence[str] | dict[str, None]) -> None:
    """Refuse a column of sources that is called like a column of the result."""
    for name in names:
        if name in taken:
            raise DegenError(f"--by {name}: the result has a column of that name, too; rename the column in the table")
