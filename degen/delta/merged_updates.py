"""Adapters of the other kinds of PEFT: merged by PEFT itself, their update the difference to the base in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from degen.checkpoints.adapter_files import AdapterFiles, LocalAdapter
from degen.checkpoints.local import LocalSource
from degen.checkpoints.source import Source
from degen.errors import CheckpointError
from degen.paths import natural_order
from degen.weights.checkpoint_files import CheckpointFiles
from degen.weights.open_weights import LoadedTensors
from degen.weights.stored_tensors import StoredTensors

from .adapter_tensors import FEW_BYTES
from .adapter_updates import kind_of_adapter
from .base_weights import BaseWeights, stored_matrix
from .scaling_kinds import replaced
from .update import Update, Updates

if TYPE_CHECKING:
    import torch


_BY_INPUT = "its update is another one for every token, so that there is no ΔW"
NO_MATRIX = {
    "LILY": _BY_INPUT,
    "SHADOW": _BY_INPUT,
    "XLORA": "it weighs adapters anew for every token, so that there is no ΔW; name each of them in its place",
    "POLY": "it has an update for every task; only one of a single task is read",
}
ROUNDINGS = 8  # in float32 that one value of ΔW went through: those of PEFT's formula, of merging and of W itself


class MergedUpdates(Updates):
    """The updates of an adapter that is loaded with its base and merged: base and merged model are held in float32.

    Args:
        adapter: its files.
        settings: its configuration.
        stored: its tensors.
        source: the base; None where it is not known.
        weights: the same, open.

    Raises:
        CheckpointError: the base is not known, or not on this machine, or PEFT cannot merge the adapter into it.
    """

    def __init__(
        self,
        adapter: AdapterFiles,
        settings: Mapping[str, Any],
        stored: StoredTensors,
        source: Source | None,
        weights: BaseWeights | None,
    ) -> None:
        if (why := NO_MATRIX.get(settings["peft_type"])) is not None:
            raise CheckpointError(f"{adapter}: {settings['peft_type']}: {why}")
        self.kind, self._stored, self._weights = kind_of_adapter(settings), stored, weights
        if source is None or not isinstance(source, LocalSource) or not isinstance(adapter, LocalAdapter):
            raise CheckpointError(
                f"{adapter}: an update of the kind {settings['peft_type']} is computed by PEFT from the whole base, "
                "and needs both on this machine; name its folder with --base"
            )
        self._before = _parameters(CheckpointFiles(source.path))
        self._after = _parameters(CheckpointFiles(source.path, adapter=adapter.path))
        changed = [
            name for name, value in self._after.items()
            if name in self._before and (value.shape != self._before[name].shape or not value.equal(self._before[name]))
        ]  # fmt: skip
        self.names: Sequence[str] = sorted(changed, key=natural_order)

    @property
    def trained(self) -> int:
        """How many values the adapter's files hold."""
        return sum(_count(self._stored.shape(key)) for key in self._stored.keys)

    @property
    def parameters(self) -> int | None:
        """How many parameters the base has."""
        return self._weights.parameters if self._weights is not None else None

    @property
    def tied(self) -> bool:
        """Whether the head of the base is its input embedding."""
        return self._weights is not None and self._weights.tied

    @cached_property
    def _tensors(self) -> tuple[LoadedTensors, LoadedTensors]:
        return LoadedTensors(self._before), LoadedTensors(self._after)

    def update(self, name: str) -> Update:
        """Return the update of one parameter."""
        before, after = (stored_matrix(tensors, name) for tensors in self._tensors)
        if before.shape != after.shape:
            raise CheckpointError(
                f"{name} has another shape in the base; is it the base that the adapter was trained on?"
            )
        module = name.rpartition(".")[0]
        trained = sum(_count(self._stored.shape(key)) for key in self._stored.keys if f".{module}." in f".{key}")
        return Update(
            name, self.kind, trained, replaced(before, after), before, None, ROUNDINGS * FEW_BYTES["F32"], True
        )


def _count(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _parameters(files: CheckpointFiles) -> dict[str, torch.Tensor]:
    """Return the parameters of a checkpoint, with its adapter merged where there is one, float32 on the CPU.

    Raises:
        CheckpointError: it cannot be loaded, or the adapter cannot be merged into it.
    """
    import torch

    from degen.model.configuration import read_config
    from degen.model.loading import load_model, silence_transformers

    silence_transformers()
    model = load_model(files, read_config(files.path), torch.device("cpu"), torch.float32)
    return {name: parameter.detach() for name, parameter in model.named_parameters(remove_duplicate=False)}
