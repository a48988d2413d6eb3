"""The norm in front of the LM head, and what it multiplies a state by, which may be folded into the head."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from degen.arrays import Floats
from degen.weights.stored_tensors import StoredTensors

STORED_ALIKE = ("output_norm",)  # names that other writers give it: GGUF, where γ is stored whole


@dataclass(frozen=True)
class FinalNorm:
    """The norm whose output the LM head receives.

    Attributes:
        name: of the module, as `model.norm`.
        offset: what is added to the stored weight to give γ: 1 in Gemma and its kin, else 0.
    """

    name: str
    offset: float = 0.0


def find_final_norm(model: Any, width: int) -> FinalNorm | None:
    """Return the last norm of a model that stands outside its blocks; None where none is found, or its γ is unclear.

    Args:
        model: with or without weights in memory.
        width: of the states that the head receives.
    """
    norms = [
        (name, module)
        for name, module in model.named_modules()
        if "norm" in type(module).__name__.lower()
        and not any(part.isdigit() for part in name.split("."))
        and getattr(getattr(module, "weight", None), "shape", None) == (width,)
        and "embed" not in name.rpartition(".")[2]
    ]
    if not norms:
        return None
    name, module = norms[-1]
    offset = _offset(module, width)
    return None if offset is None else FinalNorm(name, offset)


def _offset(module: Any, width: int) -> float | None:
    """Return what a norm adds to its weight, by what it makes of a state with weights of zero; None where unclear."""
    import torch

    try:
        norm = copy.deepcopy(module).to_empty(device="cpu").float()
        with torch.no_grad():
            for parameter in norm.parameters():
                parameter.zero_()
            state = torch.linspace(-1, 1, width).expand(1, 1, width)
            zero = norm.forward(state)  # no hooks
            norm.weight.fill_(1.0)
            one = norm.forward(state)
        ratio = float(zero.norm() / one.norm())
    except Exception:  # code of any model: where it does not run alone, its γ stays unknown
        return None
    return {0.0: 0.0, 0.5: 1.0}.get(round(ratio, 3))  # γ = w gives 0, γ = 1 + w gives 1/2


def norm_key(tensors: StoredTensors, norm: FinalNorm, width: int) -> str | None:
    """Return the name of the stored weight of the final norm, by its name and shape; None where it is not found."""
    leaf = norm.name.rpartition(".")[2]
    stored = [
        key
        for key in sorted(tensors.keys)
        if key.removesuffix(".weight").rpartition(".")[2] in (leaf, *STORED_ALIKE)
        and key.endswith(".weight")
        and not any(part.isdigit() for part in key.split("."))
        and tensors.shape(key) == (width,)
    ]
    return stored[0] if len(stored) == 1 else None


def norm_weight(tensors: StoredTensors, norm: FinalNorm, width: int) -> Floats | None:
    """Return γ of the final norm as it is stored, float64; None where it is not found, or not finite."""
    key = norm_key(tensors, norm, width)
    if key is None:
        return None
    weight = tensors.rows(key, 0, width).double().numpy()
    gamma: Floats = weight + (0.0 if key.startswith(STORED_ALIKE) else norm.offset)
    return gamma if np.isfinite(gamma).all() else None
