"""The tensors of an adapter's files, by the module that they belong to and the part that they play there."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from degen.errors import CheckpointError
from degen.weights.peft_adapter import in_module
from degen.weights.stored_tensors import StoredTensors

from .base_weights import FLOATS

if TYPE_CHECKING:
    import torch

_PARTS = re.compile(
    r"^(?P<module>.+?)\.(?P<part>lora_A|lora_B|lora_E|lora_embedding_A|lora_embedding_B|lora_magnitude_vector"
    r"|hada_w[12]_[ab]|lokr_w[12](?:_[ab])?|vera_lambda_[bd]|ia3_l|oft_R|beft_bias"
    r"|poly_lora_[AB]|poly_router\.module_logits|(?:token_adapter\.)?trainable_tokens_delta)"
    r"(?:\.(?P<end>weight|bias))?$"
)
_SHARED = ("base_model.vera_A", "base_model.vera_B")
_BASE_LAYER, _NORM = ".base_layer.", ".ln_tuning_layers."
FEW_BYTES = {"F64": 2.3e-16, "F32": 1.2e-7, "F16": 9.8e-4, "BF16": 7.9e-3}  # relative rounding of stored numbers


@dataclass
class AdapterTensors:
    """The tensors of one adapter.

    Attributes:
        stored: all of them.
        modules: module -> part, such as `lora_A` -> name of the tensor.
        replaced: parameter that is stored whole -> name of the tensor.
        base_layers: parameter of which the base's own values are stored -> name of the tensor.
        shared: tensors that all modules share, by name.
        others: names of all others, which a kind without modules has.
    """

    stored: StoredTensors
    modules: dict[str, dict[str, str]] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    base_layers: dict[str, str] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def load(self, key: str) -> torch.Tensor:
        """Return a tensor, float64.

        Raises:
            CheckpointError: it is no tensor of floats.
        """
        shape = self.stored.shape(key)
        if self.stored.dtype(key) not in FLOATS or not shape:
            raise CheckpointError(f"{key} is stored as {self.stored.dtype(key)} of {len(shape)} dimensions")
        return self.stored.rows(key, 0, shape[0]).double()

    def count(self, key: str) -> int:
        """Return how many values a tensor has."""
        return math.prod(self.stored.shape(key))

    def rounding(self, *keys: str) -> float:
        """Return the coarsest relative rounding of some tensors, 2⁻²³ for float32."""
        return max(FEW_BYTES.get(self.stored.dtype(key), 0.0) for key in keys)

    def part(self, module: str, part: str) -> torch.Tensor:
        """Return the tensor that plays a part in a module, float64.

        Raises:
            CheckpointError: there is none.
        """
        parts: Mapping[str, str] = self.modules.get(module, {})
        if part not in parts:
            raise CheckpointError(f"the adapter's files hold no {part} of {module}; are they whole?")
        return self.load(parts[part])


def sort_tensors(stored: StoredTensors, biases: bool) -> AdapterTensors:
    """Return the tensors of an adapter sorted by what they are for, by their names as PEFT writes them.

    Args:
        stored: all of them.
        biases: whether the biases of adapted modules are trained; their weights are stored as copies of the base's.
    """
    sorted_ = AdapterTensors(stored)
    for key in sorted(stored.keys):
        match = _PARTS.match(key)
        if key in _SHARED:
            sorted_.shared[key.rpartition(".")[2]] = key
        elif match is not None:
            part = match["part"].removeprefix("token_adapter.")
            part = f"{part}.bias" if match["end"] == "bias" else part
            sorted_.modules.setdefault(_bare(match["module"]), {})[part] = key
        elif _BASE_LAYER in key and not (biases and key.endswith(".bias")):
            sorted_.base_layers[in_module(key)] = key
        elif key.startswith("base_model.model."):
            sorted_.replaced[in_module(key).replace(_NORM, ".")] = key
        else:
            sorted_.others.append(key)
    return sorted_


def _bare(module: str) -> str:
    """Return the name of a module in the model without adapter."""
    return in_module(f"{module}.").removesuffix(".")
