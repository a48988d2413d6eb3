"""The blocks of a model, found by watching one small call: modules of a list that pass the residual stream on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

TOKENS = 8  # of the call


@dataclass(frozen=True)
class BlockCalls:
    """The calls of blocks in one forward pass of a model.

    Attributes:
        names: the name of the module that is called, for every call in order; a module that is called twice is there
            twice. Empty where no blocks were found.
        reason: why no blocks were found; None where they were.
    """

    names: tuple[str, ...]
    reason: str | None = None


NO_BLOCKS = BlockCalls(())


@dataclass
class Call:
    """One call of a module.

    Attributes:
        name: of the module.
        parent: the index of the call within which it was made; None for the model's own.
        inputs: the tensors that it was handed.
        outputs: those that it put out.
    """

    name: str
    parent: int | None
    inputs: list[Any]
    outputs: list[Any] = field(default_factory=list)


def watch_blocks(model: Any, ids: torch.Tensor, width: int) -> BlockCalls:
    """Return the blocks that a model calls, from one call with a few tokens.

    Blocks are modules of a list (their name ends in a number) that one module calls in turn, each with what the one
    before it put out. Where several modules do so, the blocks are those nearest to the model itself, and of those the
    ones called last: an encoder is called before its decoder.

    Args:
        model: a causal LM in evaluation mode.
        ids: token ids, 1 × T.
        width: of the residual stream.
    """
    calls = record_calls(model, ids)
    chains = [chain for group in _calls_by_parent(calls) for chain in _chains(calls, group, width)]
    if not chains:
        return BlockCalls((), "no modules of a list were seen to pass the residual stream on to each other")
    depth = {chain[0]: sum(1 for _ in _ancestors(calls, chain[0])) for chain in chains}
    longest = max(len(chain) for chain in chains)
    blocks = min((c for c in chains if len(c) > 1 or longest == 1), key=lambda chain: (depth[chain[0]], -chain[0]))
    names = tuple(calls[i].name for i in blocks)
    if sum(call.name in names for call in calls) > len(names):
        return BlockCalls((), f"{names[0]} and others are called again and again, on more than one stream of states")
    return BlockCalls(names)


def record_calls(model: Any, ids: torch.Tensor) -> list[Call]:
    """Return every call of a module in one forward pass, in the order in which they began."""
    calls: list[Call] = []
    stack: list[int] = []
    handles = []

    def watch(name: str, module: Any) -> None:
        def before(_module: Any, args: Any, kwargs: Any) -> None:
            calls.append(Call(name, stack[-1] if stack else None, list(tensors_in([args, kwargs]))))
            stack.append(len(calls) - 1)

        def after(_module: Any, _args: Any, output: Any) -> None:
            calls[stack.pop()].outputs = list(tensors_in(output))

        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(module.register_forward_hook(after))

    for name, module in model.named_modules():
        watch(name, module)
    try:
        model(input_ids=ids)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def tensors_in(value: Any) -> Iterator[Any]:
    """Yield the tensors in arguments or outputs, those in lists and dictionaries too."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from tensors_in(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from tensors_in(inner)


def _calls_by_parent(calls: Sequence[Call]) -> Iterator[list[int]]:
    """Yield, for each call of a module that called members of a list (`layers.0`, `layers.1` …), their indices.

    Args:
        calls: of all modules, in the order in which they began.

    Yields:
        Positions in `calls`, in order.
    """
    groups: dict[int | None, list[int]] = {}
    for i, call in enumerate(calls):
        if call.name.rpartition(".")[2].isdecimal():
            groups.setdefault(call.parent, []).append(i)
    yield from groups.values()


def _chains(calls: Sequence[Call], group: Sequence[int], width: int) -> Iterator[list[int]]:
    """Yield the runs of calls in which each is handed what the one before it put out.

    A run has every call of the lists that its modules are of; a norm that is handed the next norm's input is no block.
    """
    runs: list[list[int]] = []
    for i in group:
        if not any(out.dim() > 1 and out.shape[-1] == width for out in calls[i].outputs[:1]):
            continue
        if runs and _is_linked(calls[runs[-1][-1]], calls[i]):
            runs[-1].append(i)
        else:
            runs.append([i])
    owner = {i: calls[i].name.rpartition(".")[0] for i in group}
    for run in runs:
        lists = {owner[i] for i in run}
        if len(run) == sum(owner[i] in lists for i in group):
            yield run


def _is_linked(one: Call, other: Call) -> bool:
    """Return whether the first thing that a call put out, as it is or as a view, is handed to another call."""
    return any(is_same_memory(out, given) for out in one.outputs[:1] for given in other.inputs)


def is_same_memory(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two tensors are the same numbers in memory, or views of all of them."""
    return one.data_ptr() == other.data_ptr() and one.numel() == other.numel()


def _ancestors(calls: Sequence[Call], i: int) -> Iterator[int]:
    parent = calls[i].parent
    while parent is not None:
        yield parent
        parent = calls[parent].parent
