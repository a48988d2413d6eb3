"""LM heads that are made by hand, for the probes of the head."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from degen.arrays import Floats, Ints
from degen.model.final_norm import FinalNorm
from degen.model.lm_head import Head
from degen.probe import HeadProbe
from degen.tables import Row, Rows
from degen.weights.open_weights import LoadedTensors


def head_of(W: Floats, bias: Floats | None = None, gamma: Floats | None = None, used: Ints | None = None) -> Head:
    """Return a head of these rows, with a bias and the weight of a final norm where they are given."""
    tensors = {"lm_head.weight": torch.from_numpy(np.ascontiguousarray(W))}
    if bias is not None:
        tensors["lm_head.bias"] = torch.from_numpy(bias)
    if gamma is not None:
        tensors["model.norm.weight"] = torch.from_numpy(gamma)
    return Head(LoadedTensors(tensors), "lm_head.weight", used, final_norm=FinalNorm("model.norm"))


def measured(probe: type[HeadProbe], head: Head, counts: Ints | None = None, **options: Any) -> Rows:
    """Return what a probe measures of a head."""
    made = probe(**options)
    made.counts = counts
    return made.measure(head)


def checkpoint_row(probe: type[HeadProbe], head: Head, counts: Ints | None = None, **options: Any) -> Row:
    """Return the row of table `checkpoints` that a probe gives of a head."""
    (row,) = measured(probe, head, counts, **options)["checkpoints"]
    return row


def normal(size: tuple[int, int], seed: int, shift: float = 0.0) -> Floats:
    """Return a Gaussian matrix, every entry of its columns shifted by one random vector of this length."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=size[1])
    matrix: Floats = rng.normal(size=size) + shift * direction / np.linalg.norm(direction)
    return matrix


def rotation(width: int, seed: int) -> Floats:
    """Return a random orthogonal matrix."""
    Q: Floats = np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]
    return Q
