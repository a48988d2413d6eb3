"""The matrix of next-token distributions, made smaller without changing its singular values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from degen.arrays import Floats, Ints

from .counting import NextTokens


@dataclass(frozen=True)
class Parts:
    """A matrix split into what its singular values can be computed from one by one.

    Attributes:
        singular_values: those of the parts of one row or one column, each the norm of the part.
        blocks: the other parts, sparse; no two of them share a row or a column of the matrix.
    """

    singular_values: Floats
    blocks: list[Any]

    @property
    def smaller_side(self) -> int:
        """Rows or columns of the largest block, whichever are fewer; 0 without a block."""
        return max((min(block.shape) for block in self.blocks), default=0)


def next_token_matrix(counts: NextTokens, weighted: bool) -> Any:
    """Return the matrix W of contexts × vocabulary as a sparse array of scipy: p(token | context).

    Args:
        counts: of the tokens that follow each context.
        weighted: whether each row is multiplied by the square root of the context's count, so that the squared error
            of a row counts as often as its context occurs.
    """
    from scipy.sparse import csr_array

    of_context = np.bincount(counts.row, counts.count, minlength=counts.contexts)
    values = counts.count / of_context[counts.row]
    if weighted:
        values = values * np.sqrt(of_context[counts.row])
    return csr_array((values, (counts.row, counts.token)), shape=(counts.contexts, counts.vocabulary))


def split(counts: NextTokens, weighted: bool) -> Parts:
    """Return the parts of the matrix that `next_token_matrix` gives; their singular values together are its own.

    Equal distributions become one row, times the root of how many they are (or of the sum of their counts); the tokens
    that follow only one such row become one column; what is not linked by a common context or token is split.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    row, token, values = _merged_rows(counts, weighted)
    row, token, values = _merged_columns(row, token, values)
    rows, columns = int(row.max(initial=-1)) + 1, int(token.max(initial=-1)) + 1
    links = csr_array((np.ones(len(row)), (row, rows + token)), shape=(rows + columns, rows + columns))
    _, component = connected_components(links, directed=False)
    of_entry = component[row]
    order = np.argsort(of_entry, kind="stable")
    bounds = np.flatnonzero(np.diff(of_entry[order])) + 1
    single: list[float] = []
    blocks = []
    for entries in np.split(order, bounds) if len(order) else []:
        _, r = np.unique(row[entries], return_inverse=True)
        _, c = np.unique(token[entries], return_inverse=True)
        shape = int(r.max()) + 1, int(c.max()) + 1
        if min(shape) == 1:
            single.append(float(np.linalg.norm(values[entries])))
        else:
            blocks.append(csr_array((values[entries], (r, c)), shape=shape))
    return Parts(np.asarray(single, dtype=np.float64), blocks)


def _merged_rows(counts: NextTokens, weighted: bool) -> tuple[Ints, Ints, Floats]:
    """Return row, column and value of the entries, with equal distributions as one row and empty columns dropped."""
    of_context = np.bincount(counts.row, counts.count, minlength=counts.contexts)
    shares = counts.count / of_context[counts.row]
    _, column = np.unique(counts.token, return_inverse=True)
    starts = np.searchsorted(counts.row, np.arange(counts.contexts + 1))
    index: dict[bytes, int] = {}
    new_row, kept = np.empty(counts.contexts, dtype=np.int64), np.zeros(len(shares), dtype=bool)
    weights: list[float] = []
    for context in range(counts.contexts):
        entries = slice(starts[context], starts[context + 1])
        # c/n is the float64 nearest to the ratio, so equal distributions have equal bytes whatever their counts
        known = column[entries].tobytes() + shares[entries].tobytes()
        new_row[context] = index.setdefault(known, len(index))
        if new_row[context] == len(weights):
            weights.append(0.0)
            kept[entries] = True
        weights[new_row[context]] += of_context[context] if weighted else 1.0
    row = new_row[counts.row[kept]]
    return row, column[kept].astype(np.int64), shares[kept] * np.sqrt(np.asarray(weights))[row]


def _merged_columns(row: Ints, column: Ints, values: Floats) -> tuple[Ints, Ints, Floats]:
    """Return the entries with all columns whose one entry lies in the same row as one column, their norm its entry."""
    alone = np.bincount(column)[column] == 1
    squares = np.bincount(row[alone], values[alone] ** 2)
    merged = np.flatnonzero(squares)
    rest = np.unique(column[~alone], return_inverse=True)[1].astype(np.int64)
    columns = np.concatenate([rest, rest.max(initial=-1) + 1 + np.arange(len(merged))])
    return np.concatenate([row[~alone], merged]), columns, np.concatenate([values[~alone], np.sqrt(squares[merged])])
