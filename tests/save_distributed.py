"""Run by two processes (gloo, CPU): train a tiny model under FSDP, and save it as libraries do.

Arguments: a folder, and what saves it, one or several.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

import torch
import torch.distributed as dist
from tiny import PADDED, make_model
from torch.distributed import checkpoint as dcp

FAMILY = "llama"


def train(model: Any, step: Any) -> None:
    """Take one step, the same on both processes."""
    ids = torch.arange(2 * 16).reshape(2, 16) % PADDED
    step(model(input_ids=ids, labels=ids).loss)


def plain(folder: Path, columns: bool = False) -> Any:
    """Save model and optimiser as a loop with fully_shard does; with `columns`, matrices cut by columns."""
    from torch.distributed.checkpoint.state_dict import get_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Shard

    model = make_model(FAMILY).train()
    mesh = init_device_mesh("cpu", (2,))
    options: dict[str, Any] = {"mesh": mesh}
    if columns:
        options["shard_placement_fn"] = lambda p: Shard(1) if p.dim() == 2 else Shard(0)
    for layer in model.model.layers:
        fully_shard(layer, **options)
    fully_shard(model, **options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step(loss: Any) -> None:
        loss.backward()
        optimizer.step()

    train(model, step)
    state, states = get_state_dict(model, optimizer)
    dcp.save({"model": state, "optimizer": states, "step": 1}, checkpoint_id=folder)
    return state


def by_accelerate(folder: Path, version: int) -> Any:
    """Save as Trainer and accelerate do with sharded states, through the function that they call."""
    from accelerate import Accelerator, FullyShardedDataParallelPlugin
    from accelerate.utils import save_fsdp_model
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    model = make_model(FAMILY).train()
    if version == 2:
        for layer in model.model.layers:
            fully_shard(layer)
        fully_shard(model)
    else:
        model = FullyShardedDataParallel(model, use_orig_params=True, device_id=torch.device("cpu"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step(loss: Any) -> None:
        loss.backward()
        optimizer.step()

    train(model, step)
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=version, state_dict_type="SHARDED_STATE_DICT", reshard_after_forward=version == 2 or None
    )
    save_fsdp_model(plugin, Accelerator(cpu=True), model, str(folder))
    return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))


def main(folder: Path, kinds: Sequence[str]) -> None:
    """Train and save by each kind, and write the same model by save_pretrained beside it."""
    dist.init_process_group("gloo")
    for kind in kinds:
        saved = folder / kind / "step100"
        inner = saved / "pytorch_model_fsdp_0" if kind.startswith("fsdp") else saved
        state = by_accelerate(saved, int(kind[-1])) if kind.startswith("fsdp") else plain(inner, kind == "columns")
        whole = {k: v.full_tensor() if hasattr(v, "full_tensor") else v for k, v in state.items()}
        if int(os.environ["RANK"]) == 0:
            model = make_model(FAMILY)
            model.load_state_dict(whole)
            model.save_pretrained(folder / kind / "reference")
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
