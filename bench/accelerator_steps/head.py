"""Head: the spectrum of a large head on the CPU and as a scan takes it, and its heads of restricted rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from degen.probes.spectrum import singular_values, singular_values_of, triangle_values

from degen.device import as_float64, factor_device
from degen.model.lm_head import Head
from degen.model.logit_transform import LogitTransform
from degen.probe import OutputHead
from degen.rank.linear_algebra import cholesky_factor, triangular_factor
from degen.rank.nested_head import NestedHead, nested_heads
from degen.weights.open_weights import LoadedTensors

from .machine import Machine
from .record import Part, Row

SHAPES = ((50_304, 1024), (256_000, 2304), (50_432, 4096))
SMALL = ((2048, 64), (4096, 96))
WIDEST_RESTRICTED = 1024  # of a head whose heads of restricted rank are made, on the CPU as well

Array = np.ndarray[Any, np.dtype[np.float64]]


def parts(machine: Machine) -> list[Part]:
    def part(rows: int, width: int) -> Part:
        return Part(f"head.{rows}x{width}", lambda: _head(machine, rows, width))

    return [part(*shape) for shape in (SMALL if machine.tiny else SHAPES)]


def _head(machine: Machine, rows: int, width: int) -> Iterator[Row]:
    """Yield how long a head takes by each method; its singular values fall as a power, in bfloat16."""
    torch.manual_seed(0)
    falling = torch.arange(1, width + 1, device=machine.device, dtype=torch.float32).pow(-0.75)
    W = (torch.randn(rows, width, device=machine.device) * falling).to(torch.bfloat16)
    shape = {"rows": rows, "width": width}
    if factor_device(machine.device) is None and not machine.on_cpu:
        yield {**shape, "how": "on the device", "said": "it has no float64"}
        return
    yield from ({**shape, **row} for row in _spectra(machine, W, "", by_blocks=True))
    if width > WIDEST_RESTRICTED:
        return
    alike = W.clone()
    alike[:, -1] = alike[:, 0]
    yield from ({**shape, **row} for row in _spectra(machine, alike, ", two columns alike", by_blocks=False))
    yield from ({**shape, **row} for row in _restricted(machine, W))


def _spectra(machine: Machine, W: torch.Tensor, kind: str, by_blocks: bool) -> Iterator[Row]:
    """Yield the spectrum on the CPU, as a scan takes it from there, and by QR of blocks on the device."""
    head = Head(LoadedTensors({"head": W.cpu()}), "head", None)
    seconds, expected = _timed(machine, lambda: singular_values(head.blocks()))
    yield {"how": f"spectrum{kind}, on the CPU: QR of blocks", "seconds": seconds, "difference": 0.0}
    there = replace(head, device=machine.device)
    pieces = there.pieces()
    assert pieces is not None
    _warm_up(pieces)
    factor, R = _timed(machine, lambda: cholesky_factor(pieces))
    method = "CholeskyQR2" if R is not None else "CholeskyQR2 is refused, QR of blocks"
    seconds, values = _timed(machine, lambda: singular_values_of(there))
    yield {"how": f"spectrum{kind}, as a scan takes it: {method} on the device", "seconds": seconds, "factor": factor,
           "difference": _apart(values, expected)}  # fmt: skip
    if by_blocks:
        factor, R = _timed(machine, lambda: triangular_factor(as_float64(piece) for piece in pieces))
        assert R is not None
        seconds, values = _timed(machine, lambda: triangle_values(R))
        yield {"how": f"spectrum{kind}, QR of blocks on the device", "seconds": factor + seconds, "factor": factor,
               "difference": _apart(values, expected)}  # fmt: skip


def _restricted(machine: Machine, W: torch.Tensor) -> Iterator[Row]:
    """Yield how long the whitened heads of all ranks take on the CPU, and on the device."""
    falling = torch.arange(1, W.shape[1] + 1, dtype=torch.float64).pow(-1.0)
    made: list[NestedHead] = []
    for place in (torch.device("cpu"), machine.device):
        head, C = OutputHead(W.to(place), None, LogitTransform()), torch.diag(falling).to(place)
        seconds, (nested,) = _timed(machine, lambda head=head, C=C: nested_heads(head, C, ["whitened"]))
        made.append(nested)
        where = "on the CPU" if place.type == "cpu" and len(made) == 1 else "on the device"
        yield {"how": f"whitened heads of all ranks, {where}", "seconds": seconds,
               "difference": _apart(nested.energy, made[0].energy)}  # fmt: skip


def _timed(machine: Machine, call: Callable[[], Any]) -> tuple[float, Any]:
    """Return seconds of a call, and what it returns."""
    results: list[Any] = []
    return machine.seconds(lambda: results.append(call())), results[0]


def _warm_up(pieces: list[torch.Tensor]) -> None:
    """Have the device make its handles and workspaces."""
    few = [pieces[0][: 2 * pieces[0].shape[1]]]
    cholesky_factor(few)
    R = triangular_factor(as_float64(piece) for piece in few)
    assert R is not None
    triangle_values(R)


def _apart(values: Array, expected: Array) -> float:
    """Return the largest difference, relative to the largest value."""
    return float(np.abs(values - expected).max() / expected[0])
