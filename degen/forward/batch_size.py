"""The size of a batch, in padded tokens, by the memory there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from degen.model.architecture import Architecture
from degen.text.windows import Sample

if TYPE_CHECKING:
    import torch

CPU_BUDGET = 256 * 2**20  # bytes of activations; larger batches are no faster there
CPU_MAX_TOKENS = 8192
DEVICE_MAX_TOKENS = 16_384  # enough to keep an accelerator busy; the results of one batch are read during the next
UNKNOWN_MEMORY = 4 * 2**30  # taken for free where a device does not tell
TOKEN_FLOATS = 24  # times d: what a token takes at once in a block and in a probe


def auto_batch_tokens(architecture: Architecture, longest: int, device: torch.device, to_load: int = 0) -> int:
    """Return the padded tokens of a batch: as many full windows as fit into memory, at least one.

    A token needs about 20·d floats at once in a block (its input, queries, keys, values, the gate and the 4·d of the
    feed-forward layer twice) and d float64 in a probe. On an accelerator half of the free memory is used at most.

    Args:
        architecture: of the model.
        longest: tokens of the longest window.
        device: of the pass.
        to_load: bytes of the model's weights, where they are not on the device yet.
    """
    per_token = TOKEN_FLOATS * 4 * architecture.hidden_size
    if device.type == "cpu":
        fits = min(CPU_BUDGET // per_token, CPU_MAX_TOKENS)
    else:
        fits = min(max(free_memory(device) - to_load, 0) // 2 // per_token, DEVICE_MAX_TOKENS)
    return max(fits // longest, 1) * longest


def free_memory(device: torch.device) -> int:
    """Return the bytes of an accelerator's memory that are free, or a cautious guess where it does not tell."""
    import torch

    module: Any = torch.get_device_module(device)
    return int(module.mem_get_info(device)[0]) if hasattr(module, "mem_get_info") else UNKNOWN_MEMORY


def batch_tokens_for(
    sample: Sample | None,
    windows: int | None,
    context: int,
    architecture: Architecture,
    device: torch.device,
    to_load: int = 0,
) -> int:
    """Return the padded tokens of a batch: as many full windows as the user set or as fit, no more than there are.

    Args:
        sample: the windows; None where there are none.
        windows: full windows in a batch; None for automatic.
        context: the longest window where there are none.
        architecture: of the model.
        device: where it is.
        to_load: bytes of its weights, where they are not on the device yet.
    """
    longest = sample.longest if sample is not None else context
    most = longest * len(sample.windows) if sample is not None else longest
    return min(windows * longest if windows else auto_batch_tokens(architecture, longest, device, to_load), most)
