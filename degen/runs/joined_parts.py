"""The parts of a table joined while they are read: memory grows with the rows, and not with the number of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from degen.arrays import Ints
from degen.tables import Row

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 128  # parts; a table of one row takes a hundred times the memory of a row in a table of many
POSITION_COLUMNS = ("model", "revision", "stage", "step", "tokens_seen")  # that say when in training a row was measured


@dataclass
class JoinedParts:
    """The rows of parts, in the order in which the parts were added.

    Attributes:
        files: of the parts.
        counts: rows of each part.
        kinds: the columns of each part, as an index in `schemas`.
        schemas: the different columns that parts have in their files, whatever was read of them.
    """

    files: list[Path] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    schemas: list[pa.Schema] = field(default_factory=list)
    _joined: list[pa.Table] = field(default_factory=list, repr=False)
    _pending: list[pa.Table] = field(default_factory=list, repr=False)

    def add(self, file: Path, part: pa.Table, schema: pa.Schema) -> None:
        """Add a part.

        Args:
            file: of the part.
            part: what was read of it.
            schema: all columns that the file has.
        """
        kind = next((i for i, known in enumerate(self.schemas) if known.equals(schema)), len(self.schemas))
        if kind == len(self.schemas):
            self.schemas.append(schema)
        if self._pending and (kind != self.kinds[-1] or len(self._pending) == BATCH):
            self._join_pending()
        self.files.append(file)
        self.counts.append(len(part))
        self.kinds.append(kind)
        self._pending.append(part)

    def table(self, promote: Literal["default", "permissive"]) -> pa.Table:
        """Return all rows; a column that a part lacks is null there.

        Args:
            promote: as `pyarrow.concat_tables` takes it, where columns of parts have different types.

        Raises:
            pyarrow.ArrowException: there is no part, or they do not fit together.
        """
        import pyarrow as pa

        self._join_pending()
        self._joined = [pa.concat_tables(self._joined, promote_options=promote).combine_chunks()]
        return self._joined[0]

    def _join_pending(self) -> None:
        import pyarrow as pa

        if self._pending:
            self._joined.append(pa.concat_tables(self._pending).combine_chunks())
            self._pending = []

    def position_rows(self, table: pa.Table) -> list[Row]:
        """Return the columns of each row that say when in training it was measured, without those its part lacks.

        Args:
            table: from `table`.
        """
        rows: list[Row] = table.select([c for c in POSITION_COLUMNS if c in table.column_names]).to_pylist()
        lacking = [[c for c in POSITION_COLUMNS if c not in schema.names] for schema in self.schemas]
        start = 0
        for kind, count in zip(self.kinds, self.counts, strict=True):
            for row in rows[start : start + count] if lacking[kind] else ():
                for column in lacking[kind]:
                    row.pop(column, None)
            start += count
        return rows

    def starts(self) -> list[int]:
        """Return the index in `table` of the first row of each part."""
        starts, total = [], 0
        for count in self.counts:
            starts.append(total)
            total += count
        return starts


def sort_by_keys(
    table: pa.Table, keys: Sequence[str], rank: Callable[[tuple[str, ...]], tuple[int | str, ...]]
) -> pa.Table:
    """Return the rows of a table sorted by the rank of their keys; those of one rank in the order of the table.

    Args:
        table: the rows.
        keys: columns of text without nulls.
        rank: returns the rank of values of these columns; it is called once for each combination that occurs.
    """
    codes = np.zeros(len(table), dtype=np.int64)
    for key in keys:
        values, own = _encode(table[key])
        codes = codes * max(len(values), 1) + own
    found, first, codes = np.unique(codes, return_index=True, return_inverse=True)
    names = [tuple(table[key][row].as_py() for key in keys) for row in first.tolist()]
    ranks = [rank(name) for name in names]
    positions = {value: i for i, value in enumerate(sorted(set(ranks)))}
    order = np.argsort(np.array([positions[value] for value in ranks], dtype=np.int64)[codes], kind="stable")
    return table.take(_int64_array(order)) if len(found) > 1 else table


def take_parts(table: pa.Table, joined: JoinedParts, order: Sequence[int]) -> pa.Table:
    """Return the rows of all parts in another order of the parts, the columns in that of the first ones that have them.

    Args:
        table: from `joined.table`.
        joined: the parts.
        order: their indices.
    """
    starts = joined.starts()
    rows = [row for part in order for row in range(starts[part], starts[part] + joined.counts[part])]
    kinds = dict.fromkeys(joined.kinds[part] for part in order)
    names = dict.fromkeys(name for kind in kinds for name in joined.schemas[kind].names)
    return table.select(list(names)).take(_int64_array(np.array(rows, dtype=np.int64)))


def _encode(column: pa.ChunkedArray) -> tuple[list[str], Ints]:
    """Return the different values of a column of text, and the index of that of each row.

    By way of buffers: what else turns an Arrow array into one of NumPy loads pandas, which takes longer than all this.
    """
    import pyarrow as pa

    encoded = pa.concat_arrays(column.chunks).dictionary_encode()
    codes = np.frombuffer(encoded.indices.buffers()[1], dtype=np.int32)
    values: list[str] = encoded.dictionary.to_pylist()
    return values, codes[encoded.indices.offset :][: len(encoded)].astype(np.int64)


def _int64_array(numbers: Ints) -> pa.Array:
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers.astype(np.int64).tobytes())])
