"""Which stored tensor every parameter of a module is: found without comparing values, then checked on real ones.

transformers renames keys on load, adds and strips prefixes, ties, and for some families merges, splits or transposes.
Its functions for that are internal and move between versions, so none is called. Instead transformers loads a second
module of the same class from blank tensors: of the stored names and shapes, each in a memory of its own that nobody
touches, so that it takes none. A parameter of that module which lies in a blank's memory, at its start, with its shape
and its strides, *is* that tensor; what is calculated from others lies elsewhere. Values are not asked, as biases at
step 0 are all zero and norms all one, and would fit everywhere. Only then the first real checkpoint is compared with
its files, bit for bit, which tells whatever else a loader may do to numbers. Should a version of transformers
copy what it loads, no key is found, and every checkpoint is built anew.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.weights.stored_tensors import StoredTensors

from .architecture import building

if TYPE_CHECKING:
    import torch


def find_keys(model: Any, tensors: StoredTensors) -> dict[str, str] | None:
    """Return the stored tensor of every parameter and persistent buffer of a model that was loaded from these files.

    Args:
        model: as transformers loaded it, not run yet.
        tensors: what the files hold; they may hold more than the model takes.

    Returns:
        Keys of the files by names of the module; None where one of them is not simply a stored tensor, bit for bit.
    """
    state = state_of(model)
    if state is None or not _may_fit(state, tensors):
        return None
    keys = _keys_of_twin(model, tensors)
    if keys is None or keys.keys() != state.keys():
        return None
    return keys if all(holds(state[name], tensors, key) for name, key in keys.items()) else None


def state_of(model: Any) -> dict[str, torch.Tensor] | None:
    """Return parameters and persistent buffers by name, tied ones under each name; None if it holds anything else."""
    import torch

    state = dict(model.state_dict(keep_vars=True))
    plain = all(isinstance(t, torch.Tensor) and t.dim() and t.numel() and t.is_contiguous() for t in state.values())
    told = {id(tensor) for tensor in state.values()}
    return state if plain and all(id(parameter) in told for parameter in model.parameters()) else None


def holds(tensor: torch.Tensor, tensors: StoredTensors, key: str) -> bool:
    """Return whether a tensor has the shape of a stored one and its every bit, once that is in the tensor's dtype."""
    import torch

    if tuple(tensor.shape) != tensors.shape(key):
        return False
    flat, at = tensor.detach().flatten(), 0
    for piece in tensors.pieces(key):
        ours, theirs = flat[at : at + len(piece)].cpu(), piece.to(flat.dtype)
        if not np.array_equal(ours.view(torch.uint8).numpy(), theirs.view(torch.uint8).numpy()):
            return False
        at += len(piece)
    return at == len(flat)


def _may_fit(state: dict[str, torch.Tensor], tensors: StoredTensors) -> bool:
    """Return whether each has a stored tensor of its shape; without, an empty twin costs memory in vain."""
    wanted = Counter(tuple(tensor.shape) for tensor in {id(t): t for t in state.values()}.values())
    return not wanted - Counter(tensors.shape(key) for key in tensors.keys)


def _keys_of_twin(model: Any, tensors: StoredTensors) -> dict[str, str] | None:
    """Return the key of every name of a module that transformers makes of blanks."""
    import torch

    try:
        blanks = {key: torch.empty(tensors.shape(key), dtype=torch.float32) for key in sorted(tensors.keys)}
        for number, blank in enumerate(blanks.values(), 1):
            blank.view(-1)[:1] = number  # what is stored twice is tied where it is equal; that is for the files to say
        with building:
            twin = type(model).from_pretrained(
                None, config=model.config, state_dict=dict(blanks), dtype=torch.float32, local_files_only=True
            )
    except Exception:  # whatever it is, the files themselves were loaded without it
        return None
    state, place = state_of(twin), {blank.data_ptr(): key for key, blank in blanks.items()}
    keys = {}
    for name, tensor in (state or {}).items():
        key = place.get(tensor.data_ptr())
        if key is None or not tensor.is_set_to(blanks[key]):
            return None
        keys[name] = key
    as_made = all(int(blank.view(-1)[0]) == n for n, blank in enumerate(blanks.values(), 1) if blank.numel())
    return keys if as_made else None
