"""A default pass waits for the device once a batch at most: what would wait on an accelerator is counted on a CPU.

Operations whose result the host must know (a number, how many there are, a copy on the host) are seen by torch's modes
whatever the device; the one place that may wait, `HostReads`, is left out and counted by itself.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.anisotropy import Anisotropy
from degen.probes.loss import Loss
from tiny import make_model
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from degen.forward import known_heads
from degen.forward.host_reads import HostReads
from degen.forward.run_pass import run_pass
from degen.text.windows import Sample, Window

CPU = torch.device("cpu")
LENGTHS = {"full": [24] * 11, "ragged": [24, 24, 17, 24, 9, 24, 20, 24, 24, 11, 24]}
# as they are called, and in inference mode by the names that are made of these
ASKED_FOR_A_NUMBER = {"_local_scalar_dense", "item", "is_nonzero", "equal", "allclose"}
OF_UNKNOWN_SIZE = {
    "nonzero", "nonzero_numpy", "argwhere", "masked_select", "repeat_interleave", "bincount", "_unique", "_unique2",
    "unique_dim", "unique_consecutive",
}  # fmt: skip
TO_THE_HOST = {torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.__array__}


class Waits:
    """What was asked of a device that the host must wait for, batch by batch.

    Attributes:
        asked: of the batches that are done, each a list of operations and where they were called.
        reads: how often results of an earlier batch were waited for, of each batch.
    """

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.reads: list[int] = []
        self._now: list[str] = []
        self._reads = 0
        self._allowed = False

    def add(self, name: str) -> None:
        if not self._allowed:
            frames = [f for f in traceback.extract_stack() if "/torch/" not in f.filename and f.filename != __file__]
            self._now.append(f"{name} in {frames[-1].filename}:{frames[-1].lineno}")

    def begin(self) -> None:
        """Forget what was asked before the first batch."""
        self._now, self._reads = [], 0

    def end_batch(self, _tokens: int = 0) -> None:
        self.asked.append(self._now)
        self.reads.append(self._reads)
        self.begin()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch torch, but for what `HostReads` copies and reads, whose waits are counted."""
        copy, read = HostReads._copy, HostReads._read_next

        def allowed(call: Callable[..., Any], *arguments: Any) -> Any:
            self._allowed = True
            try:
                return call(*arguments)
            finally:
                self._allowed = False

        def read_next(reads: HostReads) -> None:
            self._reads += 1
            allowed(read, reads)

        with ExitStack() as stack:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setattr(HostReads, "_copy", lambda *arguments: allowed(copy, *arguments))
            patch.setattr(HostReads, "_read_next", read_next)
            stack.enter_context(_Functions(self))
            stack.enter_context(_Operations(self))
            yield


class _Operations(TorchDispatchMode):
    """Sees what torch computes."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self._waits = waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        indices = args[1] if name in ("index", "index_put", "index_put_", "_index_put_impl_") else ()
        by_mask = any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in indices)
        by_mask |= name == "where" and len(args) == 1
        if name in ASKED_FOR_A_NUMBER | OF_UNKNOWN_SIZE or by_mask:
            self._waits.add(f"{name} by a mask" if by_mask else name)
        return func(*args, **(kwargs or {}))


class _Functions(TorchFunctionMode):
    """Sees copies to the host, which are none on a CPU: by name, as what is copied to the device of the pass is not."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self._waits = waits

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        where = (*args[1:], options.get("device")) if func is torch.Tensor.to else ()
        if func in TO_THE_HOST or any(isinstance(to, str) and to == "cpu" for to in where):
            self._waits.add(func.__name__)
        return func(*args, **options)


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: x.sum().item(),
        lambda x: float(x.sum()),
        lambda x: bool(x.any()),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.to("cpu"),
        lambda x: x.to(device="cpu"),
        lambda x: x.numpy(),
        lambda x: x.nonzero(),
        lambda x: x.nonzero(as_tuple=True),
        lambda x: torch.where(x > 1),
        lambda x: x.masked_select(x > 1),
        lambda x: x.repeat_interleave(x.long()),
        lambda x: torch.allclose(x, x),
        lambda x: torch.equal(x, x),
        lambda x: x[x > 1],
        lambda x: x.clone().index_put_((x > 1,), torch.zeros(())),
        lambda x: x[x.argmax()],  # reads the index to make a view
        lambda x: x.unique(),
    ],
)
@pytest.mark.parametrize("without_gradients", [torch.no_grad, torch.inference_mode])
def test_what_waits_for_a_device_is_seen(ask: Callable[[torch.Tensor], Any], without_gradients: Any) -> None:
    waits = Waits()
    with waits.watching(), without_gradients():
        ask(torch.arange(4.0))
        waits.end_batch()
        torch.arange(4.0)[torch.tensor([1, 2])].to(torch.float64).sum()
        waits.end_batch()
    assert len(waits.asked[0]) > 0
    assert waits.asked[1] == []


def a_sample(lengths: list[int]) -> Sample:
    draw = np.random.default_rng(1)
    windows = (Window(i, i // 2, None, 0, 9, draw.integers(400, size=n, dtype=np.int32)) for i, n in enumerate(lengths))
    return Sample("t", tuple(windows))


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("family", ["gpt_neox", "gpt2", "opt", "llama", "gemma2", "gemma3_text"])
def test_a_default_pass_waits_once_a_batch_at_most(family: str, lengths: str) -> None:
    model, sample = make_model(family, scale=4.0).eval(), a_sample(LENGTHS[lengths])
    known_heads._known.clear()
    for _ in range(2):  # the second time the head is known, and checked in the first batch
        waits = Waits()

        class FromHere(Loss):
            def begin(self, head: Any, waits: Waits = waits) -> None:
                waits.begin()

        probes = {"loss": FromHere(sample), "anisotropy": Anisotropy(sample)}
        with torch.no_grad(), waits.watching():
            run_pass(model, sample, probes, 72, CPU, waits.end_batch, overlaps=True)
        assert len(waits.asked) >= 4
        assert waits.asked == [[]] * len(waits.asked)
        assert max(waits.reads) == 1
    known_heads._known.clear()
