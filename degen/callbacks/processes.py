"""The processes of a distributed training: what the main one finds out, all of them get."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import TypeVar

from degen.errors import DegenError, one_line

T = TypeVar("T")


def are_several() -> bool:
    """Return whether this training has several processes."""
    import torch.distributed as processes

    return processes.is_available() and processes.is_initialized() and processes.get_world_size() > 1


def is_main() -> bool:
    """Return whether this process is the main one: the first of a training, or the only one."""
    import torch.distributed as processes

    return not are_several() or processes.get_rank() == 0


def from_main(make: Callable[[], T]) -> T:
    """Return in every process what a function returns in the main one; called by all of them at once.

    Args:
        make: called in the main process alone.

    Raises:
        DegenError: the function raised an error in the main process, which raises it itself; so no process is left
            waiting for another one.
    """
    import torch.distributed as processes

    if not are_several():
        return make()
    if processes.get_rank() != 0:
        received: list[tuple[T | None, str | None]] = [(None, None)]
        processes.broadcast_object_list(received, src=0)
        value, problem = received[0]
        if problem is not None:
            raise DegenError(problem)
        return value  # type: ignore[return-value]
    try:
        made = make()
        pickle.dumps(made)  # else the error would come while the others wait
    except BaseException as error:
        problem = str(error) if isinstance(error, DegenError) else one_line(error)
        processes.broadcast_object_list([(None, f"the main process cannot go on: {problem}")], src=0)
        raise
    processes.broadcast_object_list([(made, None)], src=0)
    return made


def first_of_any(text: str | None) -> str | None:
    """Return the text of the first process that has one, in every process; None where none has; called by all."""
    import torch.distributed as processes

    if not are_several():
        return text
    texts: list[str | None] = [None] * processes.get_world_size()
    processes.all_gather_object(texts, text)
    return next((one for one in texts if one is not None), None)
