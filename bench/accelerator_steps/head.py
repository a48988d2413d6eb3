"""Head: the spectrum of a large head as a scan takes it, on the CPU, and in float64 on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from degen.probes.spectrum import singular_values

from degen.model.lm_head import HEAD_BLOCK, Head
from degen.rank.linear_algebra import triangular_factor
from degen.weights.open_weights import LoadedTensors

from .machine import Machine
from .record import Part, Row

SHAPES = ((50_304, 1024), (256_000, 2304), (50_432, 4096))
SMALL = ((2048, 64), (4096, 96))
WIDEST_ON_DEVICE = 2304  # singular values of a wider triangle are not sought on the device: they may take minutes

Array = np.ndarray[Any, np.dtype[np.float64]]


def parts(machine: Machine) -> list[Part]:
    def part(rows: int, width: int) -> Part:
        return Part(f"head.{rows}x{width}", lambda: _head(machine, rows, width))

    return [part(*shape) for shape in (SMALL if machine.tiny else SHAPES)]


def _head(machine: Machine, rows: int, width: int) -> Iterator[Row]:
    """Yield how long the spectrum of a head takes by each method; its singular values fall as a power, in bfloat16."""
    torch.manual_seed(0)
    falling = torch.arange(1, width + 1, device=machine.device, dtype=torch.float32).pow(-0.75)
    W = (torch.randn(rows, width, device=machine.device) * falling).to(torch.bfloat16)
    on_cpu = W.cpu()
    expected: list[Array] = []

    def as_scanned() -> None:
        expected.append(singular_values(Head(LoadedTensors({"head": on_cpu}), "head", None).blocks()))

    shape = {"rows": rows, "width": width}
    seconds = machine.seconds(as_scanned)
    yield {**shape, "how": "as a scan takes it: QR of blocks on the CPU", "seconds": seconds, "difference": 0.0}
    if not machine.has_float64:
        yield {**shape, "how": "on the device", "said": "it has no float64"}
        return
    for name, factor in (("QR of blocks", _blocked_qr), ("CholeskyQR2", _cholesky_qr2)):
        yield {**shape, **_on_device(machine, W, name, factor, expected[0])}


def _on_device(
    machine: Machine, W: torch.Tensor, name: str, factor: Callable[[torch.Tensor], torch.Tensor], expected: Array
) -> Row:
    """Return R on the device; its singular values there as well, or on the CPU where it is wide."""
    factor(W[: 2 * W.shape[1]])  # warm up: handles and workspaces
    factors: list[torch.Tensor] = []
    seconds = machine.seconds(lambda: factors.append(factor(W)))
    svd_device = "on the device" if W.shape[1] <= WIDEST_ON_DEVICE else "on the CPU"
    values: list[torch.Tensor] = []

    def decompose() -> None:
        R = factors[0] if svd_device == "on the device" else factors[0].cpu()
        values.append(torch.linalg.svdvals(R).cpu())

    rest = machine.seconds(decompose)
    difference = float(np.abs(values[0].numpy() - expected).max() / expected[0])
    method = f"{name} on the device, its singular values {svd_device}"
    return {"how": method, "factor": seconds, "seconds": seconds + rest, "difference": difference}


def _blocked_qr(W: torch.Tensor) -> torch.Tensor:
    """Return R of W = QR, by Householder, as a scan makes it."""
    R = triangular_factor(block.double() for block in torch.split(W, HEAD_BLOCK))
    assert R is not None
    return R


def _cholesky_qr2(W: torch.Tensor) -> torch.Tensor:
    """Return R of W = QR by two Cholesky factors: of the Gram matrix, and of that of what it leaves of W.

    Source: Yamamoto et al. 2015, Roundoff error analysis of the CholeskyQR2 algorithm.
    """

    def gram(blocks: Iterator[torch.Tensor]) -> torch.Tensor:
        total = torch.zeros(W.shape[1], W.shape[1], dtype=torch.float64, device=W.device)
        for block in blocks:
            total.addmm_(block.T, block)
        return total

    pieces = torch.split(W, 4 * HEAD_BLOCK)
    first = torch.linalg.cholesky(gram(piece.double() for piece in pieces), upper=True)
    rest = (torch.linalg.solve_triangular(first, piece.double(), upper=True, left=False) for piece in pieces)
    return torch.linalg.cholesky(gram(rest), upper=True) @ first
