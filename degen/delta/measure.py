"""Measure the updates of one adapter or fine-tune: the rows of table `delta`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from degen.arrays import Floats
from degen.errors import CheckpointError, one_line
from degen.tables import Row

from .against_base import compare_with_base
from .base_weights import BaseMismatchError
from .columns import COLUMNS
from .spectra import decompose
from .update import Update, Updates, block_of, part_of, taxonomy_of

OnModule = Callable[[str, int, int], None]  # the parameter that is read, how many are done, and how many there are


@dataclass
class DeltaMeasurement:
    """The measured updates of one adapter or fine-tune.

    Attributes:
        rows: of table `delta`, without the columns that name the checkpoint.
        spectra: singular values of ΔW by module.
        notes: remarks on the whole.
    """

    rows: list[Row]
    spectra: dict[str, Floats] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def spectrum_rows(self) -> list[Row]:
        """Return the rows of table `delta_spectrum`."""
        return [
            {"module": module, "index": i, "singular_value": float(value)}
            for module, values in self.spectra.items()
            for i, value in enumerate(values)
        ]


def measure_updates(
    updates: Updates, beside_base: bool = True, on_module: OnModule = lambda name, done, count: None
) -> DeltaMeasurement:
    """Return the figures of every changed parameter.

    Args:
        updates: of the adapter or fine-tune.
        beside_base: whether updates are compared with the weights that they change, which takes most of the time.
        on_module: called before each parameter.

    Raises:
        CheckpointError: the update of every parameter fails; the error is that of the first.
        BaseMismatchError: the base is not the one that the adapter was trained on.
    """
    measured, errors = DeltaMeasurement([], notes=list(updates.notes)), []
    for done, name in enumerate(updates.names):
        on_module(name, done, len(updates.names))
        row: Row = dict.fromkeys(column.name for column in COLUMNS)
        row |= {"module": name.removesuffix(".weight"), "block": block_of(name), "part": part_of(name)}
        row |= {"kind": updates.kind, "taxonomy": taxonomy_of(updates.kind)}
        try:
            update = updates.update(name)
            row |= _given(update, updates.parameters)
            if not beside_base and update.matrix is not None:  # nothing was asked for that a base would give
                row["reason"] = None
            values = _fill(row, update, beside_base)
        except BaseMismatchError:
            raise
        except CheckpointError as error:
            errors.append(error)
            row["reason"], values = one_line(error), None
        if values is not None and row["columns"] != 1:
            measured.spectra[row["module"]] = values
        measured.rows.append(row)
    if errors and len(errors) == len(measured.rows):
        raise CheckpointError(one_line(errors[0]))
    _add_totals(measured.rows, updates)
    return measured


def _given(update: Update, parameters: int | None) -> Row:
    """Return the columns that need no arithmetic."""
    shape = update.matrix.shape if update.matrix is not None else (None, None)
    return {
        "kind": update.kind, "taxonomy": taxonomy_of(update.kind), "rows": shape[0], "columns": shape[1],
        "trained": update.trained, "trained_share": update.trained / parameters if parameters else None,
        "rank_given": update.rank_given, "reason": update.reason,
    }  # fmt: skip


def _fill(row: Row, update: Update, beside_base: bool) -> Floats | None:
    """Fill in the figures of an update, and return its singular values; None where it is not known."""
    if update.matrix is None:
        return None
    spectrum = decompose(update.matrix)
    row |= {"norm": spectrum.norm, "spectral_norm": float(spectrum.values[0]) if spectrum.any else 0.0}
    if update.matrix.shape[1] == 1:  # of a vector every rank is 1
        if update.base is not None and (base_norm := float(update.base.whole().norm())) > 0:
            row |= {"base_norm": base_norm, "relative_norm": spectrum.norm / base_norm}
        return spectrum.values
    if update.base is not None and beside_base:
        beside = compare_with_base(update.base, update.matrix, spectrum)
        row |= {name: getattr(beside, name) for name in beside.__dataclass_fields__}
    row |= {
        "rank": spectrum.numerical_rank(update.rounding, _floor(update)), "k90": spectrum.k90,
        "effective_rank": spectrum.effective_rank, "stable_rank": spectrum.stable_rank,
    }  # fmt: skip
    return spectrum.values


def _floor(update: Update) -> float:
    """Return what the rounding of two stored matrices may add to a singular value of their difference.

    Formula: ε·(max_i ‖W_i‖ + max_j ‖W_·j‖), the largest norms of a row and of a column: a bound for the spectral norm
    of independent errors of the size of what is rounded (Bandeira and van Handel 2016, arXiv 1408.6185, theorem 1.1;
    its remainder is small for matrices of this size).
    """
    if not update.stored_twice or update.base is None:
        return 0.0
    row, columns = 0.0, np.zeros(update.base.shape[1])
    for _, _, block in update.base.blocks():
        energies = block.square()
        row, columns = max(row, float(energies.sum(dim=1).max())), columns + energies.sum(dim=0).numpy()
    return float(update.rounding * (row**0.5 + columns.max() ** 0.5))


def _add_totals(rows: list[Row], updates: Updates) -> None:
    """Add the columns that are of the whole adapter."""
    touched = {row["part"] for row in rows if row["norm"] is None or row["norm"] > 0}
    embedding = "embedding" in touched or (updates.tied and "head" in touched)
    total: Row = {
        "total_trained": updates.trained,
        "total_share": updates.trained / updates.parameters if updates.parameters else None,
        "head_touched": "head" in touched or (updates.tied and "embedding" in touched),
        "embedding_touched": embedding,
    }
    for row in rows:
        row.update(total)
