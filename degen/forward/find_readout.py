"""The modules between the last block of a model and its LM head, found by watching one small call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from degen.model.architecture import find_head
from degen.model.logit_tolerances import SAME_CALL
from degen.model.readout import Readout

from .block_calls import BlockCalls, is_same_memory, record_calls

if TYPE_CHECKING:
    import torch

UNKNOWN = "what lies between its last block and its LM head is no chain of modules"


def find_readout(model: Any, ids: torch.Tensor, blocks: BlockCalls) -> Readout:
    """Return what a model does to states between its last block and its head.

    From what the last block puts out, each module that is handed what the one before it put out is followed to the
    head. What they make of those states must be what the head received.

    Args:
        model: a causal LM in evaluation mode.
        ids: token ids of the call, 1 × T.
        blocks: the calls of its blocks.
    """
    if not blocks.names:
        return Readout(reason=blocks.reason or UNKNOWN)
    calls = record_calls(model, ids)
    names = {id(module): name for name, module in model.named_modules()}
    head = next((i for i, call in enumerate(calls) if call.name == names[id(find_head(model))]), None)
    last = max((i for i, call in enumerate(calls) if call.name == blocks.names[-1]), default=None)
    if head is None or last is None or head < last or not calls[last].outputs or not calls[head].inputs:
        return Readout(reason=UNKNOWN)
    outputs, received, path = calls[last].outputs[0], calls[head].inputs[0], []
    current = outputs
    for call in calls[last + 1 : head]:
        if call.outputs and any(is_same_memory(current, given) for given in call.inputs):
            path.append(model.get_submodule(call.name))
            current = call.outputs[0]
    readout = Readout(tuple(path))
    try:
        made = readout(outputs)
    except Exception:  # a module of the chain takes more than states
        return Readout(reason=UNKNOWN)
    if made.shape != received.shape or not _is_close(made, received):
        return Readout(reason=UNKNOWN)
    return readout


def _is_close(made: torch.Tensor, received: torch.Tensor) -> bool:
    """Return whether states are those that the head received, up to rounding."""
    tolerance = SAME_CALL[str(received.dtype).removeprefix("torch.")]
    apart = (made.float() - received.float()).abs().max()
    return bool(apart <= tolerance * received.float().abs().max())
