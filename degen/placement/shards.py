"""Parameters of which a process holds a part, by FSDP or ZeRO 3, and their rows gathered from all processes.

Everything here that gathers is called by all processes of the training at once, in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from degen.errors import CheckpointError

if TYPE_CHECKING:
    import torch

_SIZES = (("out_features", "in_features"), ("num_embeddings", "embedding_dim"))  # of modules whose weight is V × d


def is_sharded(model: Any) -> bool:
    """Return whether processes hold parts of the parameters of a model each, by FSDP or ZeRO 3."""
    if _wrapped_units(model):
        return True
    return any(hasattr(p, "ds_id") or hasattr(p, "device_mesh") for p in model.parameters())


def _wrapped_units(model: Any) -> list[Any]:
    """Return the modules that FSDP in its first version wraps, from the outermost inwards."""
    return [module for module in model.modules() if is_wrapper(module)]


def is_wrapper(module: Any) -> bool:
    """Return whether a module is what FSDP in its first version wraps around another one."""
    return type(module).__name__ == "FullyShardedDataParallel"


def has_flat_parameters(model: Any) -> bool:
    """Return whether FSDP in its first version shows the parameters of a model as one flat one for each unit."""
    return any(not unit._use_orig_params for unit in _wrapped_units(model))


def is_divided_by_rows(parameter: Any) -> bool:
    """Return whether a DTensor is divided along one dimension alone, as `fully_shard` does it."""
    from torch.distributed.tensor import Shard

    divided = [place for place in parameter.placements if not place.is_replicate()]
    return len(divided) <= 1 and all(type(place) is Shard for place in divided)


def local_parameters(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the name of each parameter, and what this process holds of it."""
    for name, parameter in model.named_parameters():
        values = getattr(parameter, "ds_tensor", parameter).detach()
        held = values.to_local() if hasattr(values, "to_local") else values
        yield str(name).replace("_fsdp_wrapped_module.", ""), held


def whole_shape(module: Any) -> tuple[int, ...]:
    """Return the shape of a module's weight as a whole, whatever part of it is in this process."""
    weight = module.weight
    if hasattr(weight, "ds_shape"):
        return tuple(weight.ds_shape)
    if weight.dim() == 1:  # a piece of the flat parameter of FSDP in its first version
        for names in _SIZES:
            if all(hasattr(module, name) for name in names):
                return tuple(int(getattr(module, name)) for name in names)
    return tuple(weight.shape)


def gather_rows(model: Any, module: Any, name: str, shape: Sequence[int], first: int, last: int) -> torch.Tensor:
    """Return some rows of a parameter of which each process holds a part; called by all of them.

    Args:
        model: the model that was wrapped, outermost.
        module: the module of the parameter.
        name: of the parameter in the module.
        shape: of the whole parameter.
        first: row.
        last: row, excluded.

    Raises:
        CheckpointError: the parameter is divided in a way that is not known here.
    """
    parameter = getattr(module, name).detach()
    if hasattr(parameter, "device_mesh"):
        return _gather_of_mesh(parameter, first, last)
    if hasattr(getattr(module, name), "ds_tensor"):
        return _gather_of_zero(getattr(module, name), shape, first, last)
    width = math.prod(shape[1:])
    local, group = parameter.flatten(), _group_of(model, module)
    pieces = gather_elements(local, _starts(local.numel(), group), first * width, last * width, group)
    return pieces.view(last - first, *shape[1:])


def _gather_of_mesh(parameter: Any, first: int, last: int) -> torch.Tensor:
    """Return some rows of a DTensor, as `fully_shard` makes them."""
    from torch import Size
    from torch.distributed.tensor import DTensor, Shard

    divided = [dimension for dimension, place in enumerate(parameter.placements) if not place.is_replicate()]
    local = parameter.to_local()
    if not divided:
        rows: torch.Tensor = local[first:last]
        return rows
    place = parameter.placements[divided[0]]
    if len(divided) > 1 or type(place) is not Shard:
        raise CheckpointError(
            f"its parameters are divided as {parameter.placements}, as by tensor parallelism, and cannot be gathered "
            "here; scan the checkpoints that training saves instead"
        )
    if place.dim != 0:
        part = local[first:last]
        shape = Size((last - first, *parameter.shape[1:]))
        stride = tuple(accumulate(reversed(shape[1:]), int.__mul__, initial=1))[::-1]
        cut = DTensor.from_local(
            part, parameter.device_mesh, parameter.placements, run_check=False, shape=shape, stride=stride
        )
        whole: torch.Tensor = cut.full_tensor()
        return whole
    width = math.prod(parameter.shape[1:])
    group = parameter.device_mesh.get_group(divided[0])
    chunk = -(-parameter.shape[0] // parameter.device_mesh.size(divided[0])) * width
    starts = [min(rank * chunk, parameter.numel()) for rank in range(parameter.device_mesh.size(divided[0]) + 1)]
    local = local.to(parameter.device_mesh.device_type)  # from a CPU that parameters are offloaded to
    pieces = gather_elements(local.flatten(), starts, first * width, last * width, group)
    return pieces.view(last - first, *parameter.shape[1:])


def _gather_of_zero(parameter: Any, shape: Sequence[int], first: int, last: int) -> torch.Tensor:
    """Return some rows of a parameter that ZeRO 3 divides: flat, in equal parts, the last one padded."""
    import torch.distributed as processes

    part, group = parameter.ds_tensor.detach().flatten(), parameter.ds_process_group
    width, total = math.prod(shape[1:]), math.prod(shape)
    starts = [min(rank * part.numel(), total) for rank in range(processes.get_world_size(group) + 1)]
    held = starts[processes.get_rank(group) + 1] - starts[processes.get_rank(group)]
    pieces = gather_elements(part[:held].to(parameter.device), starts, first * width, last * width, group)
    return pieces.view(last - first, *shape[1:])


def gather_elements(local: torch.Tensor, starts: Sequence[int], first: int, last: int, group: Any) -> torch.Tensor:
    """Return a range of the elements of a flat tensor that is divided among processes; called by all of them.

    Only processes that hold some of the range send anything.

    Args:
        local: the elements that this process holds, flat.
        starts: where those of each process begin, and where the last ones end.
        first: element of the range.
        last: element of the range, excluded.
        group: of the processes.
    """
    import torch.distributed as processes

    gathered = local.new_empty(last - first)
    rank = processes.get_rank(group)
    for owner in range(len(starts) - 1):
        low, high = max(first, starts[owner]), min(last, starts[owner + 1])
        if low >= high:
            continue
        piece = gathered[low - first : high - first]
        if owner == rank:
            piece.copy_(local[low - starts[owner] : high - starts[owner]])
        processes.broadcast(piece, group=group, group_src=owner)
    return gathered


def _starts(held: int, group: Any) -> list[int]:
    """Return where the elements of each process begin, by how many each of them holds; and where the last ones end."""
    import torch.distributed as processes

    counts: list[int] = [0] * processes.get_world_size(group)
    processes.all_gather_object(counts, held, group=group)
    return list(accumulate(counts, initial=0))


def _group_of(model: Any, module: Any) -> Any:
    """Return the processes among which FSDP in its first version divides the parameters of a module."""
    units = [unit for unit in _wrapped_units(model) if any(inner is module for inner in unit.modules())]
    return units[-1].process_group


def reshard(model: Any) -> None:
    """Free the parameters that a forward pass left gathered, and show each process its part of them again."""
    for module in model.modules():
        if hasattr(module, "reshard") and hasattr(module, "unshard"):
            module.reshard()
            continue
        handle = module._handle if is_wrapper(module) and module._is_root is not None else None  # None before a pass
        if handle is not None and handle.uses_sharded_strategy:
            handle.reshard(free_unsharded_flat_param=True)
            handle._prefetched = False


def compute_device(model: Any) -> torch.device:
    """Return the device on which a sharded model computes; its parameters may be offloaded to the CPU."""
    import torch

    for unit in _wrapped_units(model):
        device: torch.device = unit.compute_device
        return device
    kinds = (p.device_mesh.device_type for p in model.parameters() if hasattr(p, "device_mesh"))
    kind = next(kinds, model.device.type)
    return torch.device(kind) if kind == "cpu" else torch.device(kind, torch.get_device_module(kind).current_device())


def unsharded_class(model: Any) -> type:
    """Return the class of a causal LM, without what FSDP puts in front of it."""
    inner = getattr(model, "_fsdp_wrapped_module", model)
    kinds = [kind for kind in type(inner).__mro__ if not kind.__name__.startswith("FSDP")]
    return kinds[0]
