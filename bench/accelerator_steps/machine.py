"""The device under test: how to wait for it, how much memory it took, and what to call it."""

from __future__ import annotations

import gc
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch


@dataclass(frozen=True)
class Machine:
    """A device, and whether the steps are to be cut down to what a CPU does in a minute."""

    device: torch.device
    tiny: bool

    @property
    def on_cpu(self) -> bool:
        return self.device.type == "cpu"

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype that large models are measured in."""
        return torch.float32 if self.on_cpu else torch.bfloat16

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    @property
    def has_float64(self) -> bool:
        return self.device.type != "mps"

    @property
    def api(self) -> Any:
        """Return the module of torch that speaks of this kind of device: `torch.cuda` and its like."""
        return torch.get_device_module(self.device)

    def synchronize(self) -> None:
        """Wait for all that the device was asked to do."""
        if not self.on_cpu:
            torch.accelerator.synchronize()

    def seconds(self, call: Callable[[], Any]) -> float:
        """Return seconds of a call, from an idle device to an idle device."""
        self.synchronize()
        start = time.perf_counter()
        call()
        self.synchronize()
        return time.perf_counter() - start

    def free(self) -> None:
        """Give back what nothing holds any longer."""
        gc.collect()
        if not self.on_cpu:
            self.synchronize()
            self.api.empty_cache()

    def peak_above(self, call: Callable[[], Any]) -> int | None:
        """Return bytes that tensors took in a call above those before it; None where the device does not count."""
        if not hasattr(self.api, "max_memory_allocated"):
            call()
            return None
        self.free()
        self.api.reset_peak_memory_stats()
        before = int(self.api.memory_allocated())
        call()
        self.synchronize()
        return int(self.api.max_memory_allocated()) - before

    def random_states(self) -> list[torch.Tensor]:
        """Return the random states of the CPU and of the device."""
        states = [torch.get_rng_state()]
        if hasattr(self.api, "get_rng_state"):
            states.append(self.api.get_rng_state().cpu())
        return states

    def about(self) -> dict[str, Any]:
        """Return the device, its memory, the versions and the date, for the head of a table."""
        name = self.device.type
        if hasattr(self.api, "get_device_name"):
            name = self.api.get_device_name()
        memory = None
        if hasattr(self.api, "get_device_properties"):
            memory = getattr(self.api.get_device_properties(self.device), "total_memory", None)
        return {
            "device": name,
            "kind": self.device.type,
            "memory_bytes": memory,
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "date": date.today().isoformat(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": _version("transformers"),
            "degen": _version("degen-lm"),
            "tiny": self.tiny,
        }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
