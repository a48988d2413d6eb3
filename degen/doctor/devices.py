"""The check `devices`: the CPU and the accelerators that torch sees, and the floats that each computes with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from degen.device import has_float64
from degen.errors import one_line

from .check import CheckResult

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16", "float64")


def check_devices() -> CheckResult:
    """Return every device with its memory and dtypes, failed where one is listed and cannot multiply in float32."""
    import torch

    devices = [_describe(device) for device in _devices()]
    texts = [f"{d['name']} ({d['device']}{_memory(d)}): {', '.join(d['dtypes'])}" for d in devices]
    finding = f"torch {torch.__version__}; " + "; ".join(texts)
    facts = {"threads": torch.get_num_threads(), "devices": devices}
    broken = [d for d in devices if "float32" not in d["dtypes"]]
    if not broken:
        return CheckResult("devices", "ok", finding, facts=facts)
    reasons = "; ".join(f"{d['device']} cannot multiply matrices ({d['refused']['float32']})" for d in broken)
    advice = "update its driver, or install the torch that was built for it; --device cpu goes on without it"
    return CheckResult("devices", "failed", f"{finding}; {reasons}", advice, facts)


def _devices() -> list[torch.device]:
    """Return the CPU and each accelerator."""
    import torch

    devices = [torch.device("cpu")]
    if torch.accelerator.is_available() and (kind := torch.accelerator.current_accelerator()) is not None:
        devices += [torch.device(kind.type, index) for index in range(torch.accelerator.device_count())]
    return devices


def _describe(device: torch.device) -> dict[str, Any]:
    """Return the name, the memory in bytes and the dtypes of a device, and why it refuses the others."""
    import torch

    refused: dict[str, str] = {}
    for name in DTYPES:
        try:
            if name == "float64" and not has_float64(device):
                raise RuntimeError("this device has no float64; it is computed on the CPU")
            ones = torch.ones(8, 8, dtype=getattr(torch, name), device=device)
            if (ones @ ones).sum().item() != 512:
                raise RuntimeError("it multiplies wrongly")
        except Exception as error:
            refused[name] = one_line(error, 100)
    name, memory = _name_and_memory(device)
    dtypes = [dtype for dtype in DTYPES if dtype not in refused]
    return {"device": str(device), "name": name, "memory": memory, "dtypes": dtypes, "refused": refused}


def _name_and_memory(device: torch.device) -> tuple[str, int | None]:
    """Return the name of a device, and its memory in bytes where torch tells it."""
    import torch

    if device.type == "cpu":
        return f"{_cores()} CPU cores", None
    try:
        properties: Any = getattr(torch, device.type).get_device_properties(device)
        return str(properties.name), int(properties.total_memory)
    except Exception:  # Apple's has none of it
        return device.type, None


def _cores() -> int:
    """Return the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory(device: dict[str, Any]) -> str:
    return f", {device['memory'] / 1e9:.0f} GB" if device["memory"] else ""
