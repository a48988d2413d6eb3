"""Several updates of one model together: whether they use the same directions, and what their sum is like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from degen.errors import CheckpointError, one_line
from degen.paths import natural_order
from degen.tables import Row

from .matrices import add_up
from .spectra import Decomposition, decompose
from .update import Update, Updates


@dataclass(frozen=True)
class Composition:
    """What several updates are together.

    Attributes:
        overlaps: a row for each module and pair of models, with `module`, `model`, `other`, `leading`,
            `overlap_output` and `overlap_input`.
        sums: a row for each module that two or more change, with `module`, `models`, `rank_sum` (of their own ranks),
            `rank` of the sum, its `effective_rank`, `stable_rank`, `k90` and `norm`, and `interference`,
            ‖ΣΔW‖²_F/Σ‖ΔW‖²_F − 1: 0 where they are orthogonal, above where they add up, −1 where they cancel.
        notes: modules that could not be read together, each with the reason.
    """

    overlaps: list[Row]
    sums: list[Row]
    notes: list[str]


def overlap_of(first: Decomposition, second: Decomposition) -> Row:
    """Return the overlap of the leading directions of two updates.

    Formula: φ = ‖U₁ᵀU₂‖²_F/k, k the smaller of the two k90, 16 at most (Hu et al. 2021, arXiv 2106.09685, section 7.2).

    Returns:
        `leading`, k; `overlap_output` of left singular vectors and `overlap_input` of right ones, None where k is 0.
    """
    k = min(first.k90, second.k90, first.left.shape[1], second.left.shape[1])
    if not k:
        return {"leading": 0, "overlap_output": None, "overlap_input": None}
    return {
        "leading": k,
        "overlap_output": float((first.left[:, :k].T @ second.left[:, :k]).square().sum()) / k,
        "overlap_input": float((first.right[:, :k].T @ second.right[:, :k]).square().sum()) / k,
    }


def compose(updates: dict[str, Updates]) -> Composition:
    """Return what the updates of several models are together, module by module.

    Args:
        updates: label of the model -> its updates, which change the same base.
    """
    together = Composition([], [], [])
    names = sorted({name for each in updates.values() for name in each.names}, key=natural_order)
    for name in names:
        changing = {label: each for label, each in updates.items() if name in set(each.names)}
        if len(changing) > 1:
            try:
                _add(together, name, {label: each.update(name) for label, each in changing.items()})
            except CheckpointError as error:
                together.notes.append(f"{name}: {one_line(error)}")
    return together


def _add(together: Composition, name: str, updates: dict[str, Update]) -> None:
    """Add the rows of one module.

    Raises:
        CheckpointError: the updates are of different shapes, or hold NaN or infinity.
    """
    known = {label: update for label, update in updates.items() if update.matrix is not None}
    if len(known) < 2 or any(update.matrix is not None and update.matrix.shape[1] == 1 for update in known.values()):
        return
    module = name.removesuffix(".weight")
    matrices = [update.matrix for update in known.values() if update.matrix is not None]
    if len({matrix.shape for matrix in matrices}) > 1:
        raise CheckpointError(f"the updates have different shapes ({_shapes(known)}); are they of one base?")
    spectra = {label: decompose(matrix) for label, matrix in zip(known, matrices, strict=True)}
    for (label, first), (other, second) in combinations(spectra.items(), 2):
        together.overlaps.append({"module": module, "model": label, "other": other, **overlap_of(first, second)})
    total, rounding = decompose(add_up(matrices)), max(update.rounding for update in known.values())
    energy = sum(spectrum.norm**2 for spectrum in spectra.values())
    ranks = [spectra[label].numerical_rank(update.rounding) for label, update in known.items()]
    together.sums.append({
        "module": module, "models": ", ".join(known), "rank_sum": sum(ranks), "rank": total.numerical_rank(rounding),
        "effective_rank": total.effective_rank, "stable_rank": total.stable_rank, "k90": total.k90, "norm": total.norm,
        "interference": total.norm**2 / energy - 1 if energy > 0 else None,
    })  # fmt: skip


def _shapes(updates: dict[str, Update]) -> str:
    shapes: Sequence[str] = [
        f"{label} {update.matrix.shape[0]} × {update.matrix.shape[1]}"
        for label, update in updates.items() if update.matrix is not None
    ]  # fmt: skip
    return ", ".join(shapes)
