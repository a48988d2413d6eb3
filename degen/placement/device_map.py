"""Models spread over several devices, memory and disk by accelerate, and rows of parameters that lie elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from degen.errors import DegenError, one_line
from degen.paths import expand_user

if TYPE_CHECKING:
    import torch

DeviceMap = str | Mapping[str, Any]  # a way of spreading, or the device of each module
WAYS = ("auto", "balanced", "sequential")
NEEDS = "--device-map needs an extra: pip install 'degen-lm[accelerate]'"


def read_device_map(name: str | None) -> DeviceMap | None:
    """Return a device map as transformers takes it: a way of spreading modules, or what a file says of each.

    Args:
        name: one of `WAYS`, or a JSON file of names of modules and their devices; None for no map.

    Raises:
        DegenError: accelerate is not installed, or there is no such way or file.
    """
    if name is None:
        return None
    if find_spec("accelerate") is None:
        raise DegenError(NEEDS)
    if name in WAYS:
        return name
    file = expand_user(name)
    if not name.endswith(".json"):
        raise DegenError(f"--device-map {name}: not one of {', '.join(WAYS)}, nor a .json file")
    try:
        devices = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DegenError(f"--device-map {name}: cannot be read ({one_line(error)})") from error
    if not isinstance(devices, dict) or not all(isinstance(device, str | int) for device in devices.values()):
        raise DegenError(
            f'--device-map {name}: must hold a device for each module, as in {{"model.layers.0": 0, "lm_head": "cpu"}}'
        )
    return devices


def is_spread(model: Any) -> bool:
    """Return whether accelerate moves parameters of a model to where they are needed, or its states between devices."""
    return hasattr(model, "_hf_hook") or len(set((getattr(model, "hf_device_map", None) or {}).values())) > 1


def main_device(model: Any) -> torch.device:
    """Return the device that takes the inputs of a spread model, and on which its logits end."""
    import torch

    hook: Any = getattr(model, "_hf_hook", None)
    hooks: Any = getattr(hook, "hooks", None) or (hook,)
    named = next((h.execution_device for h in hooks if getattr(h, "execution_device", None) is not None), "cpu")
    if isinstance(named, int):
        kind = torch.accelerator.current_accelerator()
        return torch.device(kind.type if kind is not None else "cpu", named)
    return torch.device(named)


def fetch_rows(module: Any, name: str, first: int, last: int) -> torch.Tensor:
    """Return some rows of a parameter of a spread model, from where they lie.

    Args:
        module: the module of the parameter.
        name: of the parameter in the module.
        first: row.
        last: row, excluded.
    """
    parameter: torch.Tensor = getattr(module, name).detach()
    if not parameter.is_meta:
        return parameter[first:last]
    hook = module._hf_hook
    for one in getattr(hook, "hooks", (hook,)):
        weights = getattr(one, "weights_map", None)
        if weights is not None:
            rows: torch.Tensor = weights[name].detach()[first:last]
            return rows
    raise DegenError(f"the {name} of the LM head is neither in memory nor where accelerate keeps it")
