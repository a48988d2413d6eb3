"""Resident memory of this process by the kernel's count (Linux)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAGE = 1024  # float32 numbers of a page, at most


def resident(name: str) -> int:
    """Return bytes: `VmRSS` for what is resident now, `VmHWM` for the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def forget_peak() -> None:
    """Let the peak begin anew at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def read_weights(model: Any) -> None:
    """Read a number of every page of the weights: those mapped from a file are resident from the first read on."""
    for weight in model.parameters():
        weight.detach().reshape(-1)[::PAGE].sum().item()
