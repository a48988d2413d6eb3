"""Blocks of rows factorised in several threads at once, in chains whose triangles are put together at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

State = TypeVar("State")
SPARE = 2**29  # bytes that blocks beyond the first may take
COPIES = 3  # of a block that are there at once: itself, stacked below the triangle, and what LAPACK overwrites


def fold_blocks(
    blocks: Iterable[torch.Tensor],
    step: Callable[[State | None, torch.Tensor], State],
    merge: Callable[[State, State], State],
) -> State | None:
    """Return what `step` makes of all blocks in turn, by several chains of blocks at once where torch has the threads.

    Method: of n chains, chain k takes blocks k, k + n, k + 2n …, and their states are merged in order. Two Householder
    factorisations with a thread each take less than one with two, whose panels wait for memory. Which block goes where
    depends on the number of threads and on the width alone, so that results are the same to the bit in every run; with
    one thread, or one block, there is one chain.

    Args:
        blocks: rows in order, each n × d float64.
        step: the state after a block, given that before it; None before the first.
        merge: the state of the rows of both.

    Returns:
        None where there are no blocks.
    """
    import torch

    blocks = iter(blocks)
    lead = list(islice(blocks, 1 if torch.get_num_threads() == 1 else 2))
    chains = chain_count(*lead[0].shape) if len(lead) == 2 else 1
    if chains == 1:
        state: State | None = None
        while lead:
            state = step(state, lead.pop(0))
        for block in blocks:
            state = step(state, block)
        return state
    with _threads_each(chains), ThreadPoolExecutor(chains) as pool:
        pending: list[Future[State]] = []
        for i, block in enumerate(chain(_taken(lead), blocks)):
            if i < chains:
                pending.append(pool.submit(step, None, block))
            else:
                pending[i % chains] = pool.submit(step, pending[i % chains].result(), block)
        states = [each.result() for each in pending]
    total = states[0]
    for state_of_chain in states[1:]:
        total = merge(total, state_of_chain)
    return total


def chain_count(rows: int, width: int) -> int:
    """Return how many chains blocks of rows × width are taken in: one for every thread, and less for wide blocks."""
    import torch

    stacked = 8 * COPIES * (rows + width) * max(width, 1)
    return max(1, min(torch.get_num_threads(), 1 + SPARE // max(stacked, 1)))


def _taken(blocks: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Yield the blocks of a list, which lets go of them."""
    while blocks:
        yield blocks.pop(0)


@contextmanager
def _threads_each(chains: int) -> Iterator[None]:
    """Share torch's threads among as many chains while this lasts; threads that start within have that share, too."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(threads // chains)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
