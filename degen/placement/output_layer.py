"""The weight and bias of a model's LM head, whether they are in memory, offloaded, or divided among processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from degen.model.architecture import find_head

from .device_map import fetch_rows, is_spread, main_device
from .rows_on_demand import rows_on_demand
from .shards import compute_device, gather_rows, is_sharded, whole_shape

if TYPE_CHECKING:
    import torch


def without_gradients(model: Any) -> AbstractContextManager[Any]:
    """Return a context in which a model is called without gradients.

    FSDP keeps the memory into which it gathers parameters for the training that goes on; made in inference mode, it
    could not be trained with.

    Args:
        model: a causal LM.
    """
    import torch

    return torch.no_grad() if is_sharded(model) else torch.inference_mode()


@dataclass(frozen=True)
class OutputLayer:
    """The parameters of an LM head.

    Attributes:
        weight: W, V × d.
        bias: b, V; None without one.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None


def output_layer(model: Any, dtype: torch.dtype | None = None) -> OutputLayer:
    """Return weight and bias of the LM head of a model, where they are not whole as rows to be fetched.

    Args:
        model: a causal LM.
        dtype: of a head that is fetched; None for the one that its parts are kept in.
    """
    head = find_head(model)
    bias = readable(model, head, "bias", dtype) if getattr(head, "bias", None) is not None else None
    return OutputLayer(readable(model, head, "weight", dtype), bias)


def readable(
    model: Any, module: Any, name: str, dtype: torch.dtype | None = None, shape: Sequence[int] | None = None
) -> torch.Tensor:
    """Return a parameter of a module as it is, or as rows on demand where this process does not hold all of it.

    Args:
        model: the causal LM that the module belongs to.
        module: the module.
        name: of its parameter.
        dtype: of rows that are fetched; None for the one that they are kept in.
        shape: of the whole parameter; None for the one that the module tells.
    """
    parameter: torch.Tensor = getattr(module, name)
    fetch: Callable[[int, int], torch.Tensor]
    if is_spread(model):
        device = main_device(model)
        if parameter.device == device:
            return parameter
        fetch = partial(fetch_rows, module, name)
        return rows_on_demand(tuple(parameter.shape), dtype or parameter.dtype, device, fetch)
    if not is_sharded(model):
        return parameter
    if shape is None:
        shape = whole_shape(module)[:1] if name == "bias" else whole_shape(module)
    shape = tuple(shape)
    is_whole = not hasattr(parameter, "device_mesh") and not hasattr(parameter, "ds_id")
    if is_whole and tuple(parameter.shape) == shape and len(shape) > 1:
        return parameter  # within a forward pass, which gathers it
    fetch = partial(gather_rows, model, module, name, shape)
    return rows_on_demand(shape, dtype or parameter.dtype, compute_device(model), fetch)
