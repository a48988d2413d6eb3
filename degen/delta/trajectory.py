"""The intrinsic dimension of a trajectory: how many directions the parameters moved in over training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from degen.arrays import Floats
from degen.errors import CheckpointError
from degen.weights.stored_tensors import StoredTensors
from degen.weights.tensor_kinds import is_harmless

from .base_weights import FLOATS, matrix_shape, stored_matrix
from .matrices import BLOCK_VALUES, finite
from .spectra import ENERGY

MIN_POINTS = 3  # checkpoints, of which the first is where the trajectory begins


@dataclass(frozen=True)
class Trajectory:
    """The dimension of the differences θ_t − θ₀ of T checkpoints after the first.

    Attributes:
        participation_ratio: (Σλ)²/Σλ², of the eigenvalues λ of their Gram matrix: 1 for a straight line, T at most;
            None where nothing moved.
        d90: how many of the λ, the largest first, hold 90 % of their sum.
        points: T.
        lengths: ‖θ_t − θ₀‖, in the order of the checkpoints.
    """

    participation_ratio: float | None
    d90: int
    points: int
    lengths: Floats


def measure_trajectory(checkpoints: Sequence[StoredTensors]) -> Trajectory:
    """Return the dimension of a trajectory through checkpoints, or adapters, of one model.

    Formula: G_st = ⟨θ_s − θ₀, θ_t − θ₀⟩, summed up over blocks of rows of one tensor after the other; every byte is
    read once, and 16 MiB of values are held in all.

    Args:
        checkpoints: their stored tensors in order, the first being θ₀.

    Raises:
        CheckpointError: fewer than three, or of other tensors than the first.
        NotFiniteError: a tensor holds NaN or infinity.

    Source: the participation ratio of a covariance, as in Gao et al. 2017, A theory of multineuronal dimensionality.
    """
    import torch

    if len(checkpoints) < MIN_POINTS:
        raise CheckpointError(f"a trajectory needs {MIN_POINTS} checkpoints, and there are {len(checkpoints)}")
    first, later = checkpoints[0], checkpoints[1:]
    keys = sorted(key for key in first.keys if first.dtype(key) in FLOATS and first.shape(key) and not is_harmless(key))
    for number, other in enumerate(later, 1):
        for key in keys:
            if key not in other.keys or other.shape(key) != first.shape(key):
                raise CheckpointError(
                    f"checkpoint {number} of the series has no tensor {key} of the shape of the first's"
                )
    gram = torch.zeros(len(later), len(later), dtype=torch.float64)
    for key in keys:
        rows, columns = matrix_shape(first.shape(key))
        step = max(BLOCK_VALUES // (columns * len(checkpoints)), 1)
        matrices = [stored_matrix(tensors, key) for tensors in checkpoints]
        for start in range(0, rows, step):
            end = min(start + step, rows)
            origin = finite(matrices[0].rows(start, end))
            moved = torch.stack([(finite(matrix.rows(start, end)) - origin).flatten() for matrix in matrices[1:]])
            gram.addmm_(moved, moved.T)
    values = np.linalg.eigvalsh(gram.numpy())[::-1].clip(min=0)
    total, d90 = float(values.sum()), 0
    if total > 0:
        d90 = int(np.searchsorted(np.cumsum(values), ENERGY * total * (1 - 1e-12)) + 1)
    ratio = total**2 / float((values**2).sum()) if total > 0 else None
    return Trajectory(ratio, d90, len(later), np.sqrt(gram.diagonal().numpy()))
