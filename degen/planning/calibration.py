"""The rates of this machine's CPU, measured in a few seconds of CPU time, in which others' load does not count."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from .usable_memory import usable_memory
from .work import Work

LEAST = 0.15  # seconds of CPU time that a rate is measured over
TOKENS = 512  # rows of the matrix products
ELEMENTS = (
    60  # numbers of d that are read and written elementwise for a token in a block: norms, GELU, residuals, masks
)
HEAD_PASSES = 3  # products of the size of the Gram matrix that the singular values of the head take in float64
CHECKPOINT, START = 0.7, 7.0  # seconds: small calls that check a model and its files; imports and windows


@dataclass(frozen=True)
class CpuRates:
    """The rates of the CPU of this machine, with all its threads.

    Attributes:
        memory: bytes that this process may use; infinity where nobody tells.
        threads: of torch; the seconds are wall time of an otherwise idle machine, CPU time divided by the threads.
        start: seconds that a process takes before its first checkpoint.
    """

    memory: float
    threads: int
    start: float = START
    _rates: dict[str, float] = field(default_factory=dict)

    def cpu_seconds(self, work: Work) -> dict[str, float]:
        """Return the seconds of CPU time of a checkpoint, by phase."""
        elements = work.tokens * (work.layers * ELEMENTS * work.width * self._of("element"))
        logits = work.tokens * work.vocab * self._of("logit")
        gram = 2.0 * HEAD_PASSES * work.vocab * work.head_width**2 / _matrix_rate(work.head_width, True)
        return {
            "reading": work.stored * self._of("byte") + work.parameters * self._of("element"),
            "pass": work.flops / _matrix_rate(work.width, False) + elements + logits,
            "head": gram + _eigen_seconds(work.head_width),
            "rest": CHECKPOINT,
        }

    def seconds(self, work: Work) -> dict[str, float]:
        """Return the seconds of a checkpoint on this machine when it is idle, by phase."""
        shared = {"pass", "head"}  # what all threads share in
        return {
            name: seconds / (self.threads if name in shared else 1) for name, seconds in self.cpu_seconds(work).items()
        }

    def _of(self, name: str) -> float:
        if name not in self._rates:
            self._rates[name] = {"element": _element_seconds, "logit": _logit_seconds, "byte": _byte_seconds}[name]()
        return self._rates[name]


def calibrate() -> CpuRates:
    """Return the rates of this machine's CPU; each is measured when it is first needed, 0.2 s each."""
    import torch

    return CpuRates(usable_memory(), torch.get_num_threads())


def _cpu_seconds(call: Callable[[], object]) -> float:
    """Return the CPU time of a call, of all threads: the least of several, which together take `LEAST`."""
    call()
    best, total = float("inf"), 0.0
    while total < LEAST:
        start = time.process_time()
        call()
        taken = time.process_time() - start
        best, total = min(best, taken), total + max(taken, 1e-4)
    return best


@cache
def _matrix_rate(width: int, double: bool) -> float:
    """Return FLOPs a second of CPU time of products as wide as a model: T × d by d × 4d, or d × T by T × d."""
    import torch

    width = min(width, 4096)
    if double:
        rows = torch.randn(2 * TOKENS, width, dtype=torch.float64)
        return 2.0 * len(rows) * width * width / _cpu_seconds(lambda: rows.T @ rows)
    states, weight = torch.randn(TOKENS, width), torch.randn(4 * width, width)
    return 2.0 * TOKENS * width * 4 * width / _cpu_seconds(lambda: torch.nn.functional.linear(states, weight))


@cache
def _eigen_seconds(width: int) -> float:
    """Return the CPU time of the eigenvalues of a symmetric d × d matrix in float64; above 512 as d³."""
    import torch

    small = min(width, 512)
    rows = torch.randn(small, small, dtype=torch.float64)
    taken = _cpu_seconds(lambda: torch.linalg.eigvalsh(rows @ rows.T))
    return float(taken * (width / small) ** 3)


def _element_seconds() -> float:
    """Return the CPU time of one number of an elementwise function, out of the cache."""
    import torch

    values = torch.randn(1 << 21)
    return _cpu_seconds(lambda: values * 2 + values) / (2 * len(values))


def _logit_seconds() -> float:
    """Return the CPU time of one logit: its exponential, and its part in sums and maxima."""
    import torch

    logits = torch.randn(TOKENS, 8192)

    def sum_up() -> torch.Tensor:
        top = logits.amax(dim=1, keepdim=True)
        return (logits - top).exp_().sum(dim=1)

    return _cpu_seconds(sum_up) / logits.numel()


def _byte_seconds() -> float:
    """Return the CPU time of one byte that is read from a file in memory, hashed in part, and copied."""
    piece = bytes(1 << 22)
    return _cpu_seconds(lambda: (hashlib.sha256(piece), bytearray(piece))) / len(piece)
