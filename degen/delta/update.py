"""The update of one parameter, and those of a whole adapter or fine-tune, built one at a time."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from degen.weights.stored_tensors import EMBEDDING_KEYS, HEAD_KEYS

from .matrices import Matrix

Taxonomy = Literal["addition", "specification", "reparameterization", "full"]
Part = Literal["head", "embedding", "block", "other"]

# Kinds that add parameters beside those of the model, and kinds that train some of the model's own; all others write an
# update in fewer parameters. Source: Ding et al. 2023, Parameter-efficient fine-tuning of large-scale pre-trained
# language models, Nature Machine Intelligence 5.
_ADDITION = {"prefix_tuning", "prompt_tuning", "p_tuning", "multitask_prompt_tuning", "cpt", "cartridge",
             "adaption_prompt", "ia3"}  # fmt: skip
_SPECIFICATION = {"modules_to_save", "trainable_tokens", "ln_tuning", "shira", "osf", "bias", "beft", "partial"}

_BLOCK = re.compile(r"(?:^|\.)(?:layers?|h|blocks?|blk)\.(\d{1,6})\.")
_HEADS = {key.removesuffix(".weight").rpartition(".")[2] for key in HEAD_KEYS}
_EMBEDDINGS = {key.removesuffix(".weight").rpartition(".")[2] for key in EMBEDDING_KEYS}
_POSITIONS = {"wpe", "embed_positions", "position_embeddings"}


def taxonomy_of(kind: str) -> Taxonomy:
    """Return the family of a kind of update, as Ding et al. 2023 name them; `full` for a full fine-tune."""
    if kind == "full":
        return "full"
    return "addition" if kind in _ADDITION else "specification" if kind in _SPECIFICATION else "reparameterization"


def block_of(name: str) -> int | None:
    """Return the number of the block that a parameter is in, from 0; None for one outside the blocks."""
    match = _BLOCK.search(f"{name}.")
    return int(match[1]) if match else None


def part_of(name: str) -> Part:
    """Return which part of a model a parameter is in, by its name."""
    if block_of(name) is not None:
        return "block"
    words = name.split(".")
    if any(word in _HEADS for word in words):
        return "head"
    return "embedding" if any(word in _EMBEDDINGS | _POSITIONS for word in words) else "other"


@dataclass(frozen=True)
class Update:
    """What training changed of one parameter.

    Attributes:
        name: of the parameter, as in `model.layers.0.self_attn.q_proj.weight`.
        kind: `lora`, `dora`, `ia3`, `full` and so on.
        trained: how many parameters were trained for it.
        matrix: ΔW, output × input; of virtual tokens, these; None where it cannot be computed.
        base: W, oriented as ΔW; None where there is none or it is not known.
        rank_given: the rank that the kind allows; None where it sets no bound.
        rounding: the relative rounding of stored numbers, below which a singular value is none.
        stored_twice: whether ΔW is the difference of two stored parameters, both rounded.
        reason: why something is missing; None where nothing is.
    """

    name: str
    kind: str
    trained: int
    matrix: Matrix | None
    base: Matrix | None = None
    rank_given: int | None = None
    rounding: float = 0.0
    stored_twice: bool = False
    reason: str | None = None


class Updates(ABC):
    """The updates of an adapter, or of a fine-tune against its base.

    Attributes:
        kind: of the whole.
        names: of the changed parameters, in the order of the model.
    """

    kind: str
    names: Sequence[str]

    @abstractmethod
    def update(self, name: str) -> Update:
        """Return the update of one parameter, read now.

        Raises:
            CheckpointError: its tensors are missing, damaged or do not fit each other or the base.
        """

    @property
    @abstractmethod
    def trained(self) -> int:
        """How many parameters were trained."""

    @property
    @abstractmethod
    def parameters(self) -> int | None:
        """How many parameters the base has; None where it is not known."""

    @property
    @abstractmethod
    def tied(self) -> bool:
        """Whether the head of the base is its input embedding, so that a change of one is one of both."""

    @property
    def notes(self) -> Sequence[str]:
        """Remarks on the whole."""
        return ()
