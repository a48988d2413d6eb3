"""Run by two processes (gloo, CPU): train a tiny model under FSDP, measured or not, and keep all that is left of it.

Arguments: a folder, the series whose tokenizer is taken, a corpus, the settings of the monitor as JSON, and kinds of
training: `fsdp1`, `fsdp2`, `columns` (fully_shard that cuts matrices by columns, and gathers the LM head by itself).
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # before this folder, whose `degen` holds tests

import numpy as np
import torch
import torch.distributed as dist
from trainings import load_tokenizer, make_examples, make_trainee

STEPS, EVERY = 4, 2


def sharded(kind: str) -> Any:
    """Return a fresh model, divided among the processes."""
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy
    from torch.distributed.tensor import Shard

    torch.manual_seed(5)
    model = make_trainee()
    blocks = model.gpt_neox.layers
    if kind == "fsdp1":
        return FullyShardedDataParallel(
            model, auto_wrap_policy=ModuleWrapPolicy({type(blocks[0])}), use_orig_params=True,
            device_id=torch.device("cpu"),
        )  # fmt: skip
    options: dict[str, Any] = {"mesh": dist.init_device_mesh("cpu", (2,))}
    if kind == "columns":
        options["shard_placement_fn"] = lambda p: Shard(1) if p.dim() == 2 else Shard(0)
    for block in blocks:
        fully_shard(block, **options)
    if kind == "columns":
        fully_shard(model.get_output_embeddings(), **options)
    return fully_shard(model, **options)


def whole_state(model: Any, optimizer: Any) -> dict[str, Any]:
    """Return the weights and the state of the optimiser, gathered, by name."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

    weights, states = get_state_dict(model, optimizer, options=StateDictOptions(full_state_dict=True))
    return {"weights": weights, "optimizer": states}


def train(kind: str, measured: bool, folder: Path, series: Path, corpus: Path, settings: dict[str, Any]) -> None:
    """Train for some steps, measure at every second one, and write what each process is left with."""
    from degen.callbacks import Monitor, Watch

    tokenizer = load_tokenizer(series)
    model = sharded(kind)
    random.seed(1), np.random.seed(2), torch.manual_seed(3 + dist.get_rank())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    examples = [torch.tensor(example["input_ids"]) for example in make_examples(tokenizer, 64)]
    batches = torch.utils.data.DataLoader(examples, batch_size=4, shuffle=True)  # type: ignore[arg-type]
    run = folder / kind / "run"
    watch = Watch(Monitor(tokenizer, corpus=str(corpus), **settings), rules="loss > 0", out=run) if measured else None
    if watch is not None:
        watch.begin(model)
    reports, seen = [], []
    for step, batch in enumerate(batches, 1):
        seen.append(batch)
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if watch is not None and step % EVERY == 0:
            report = watch.measure_step(model, step)
            reports.append({"figures": report.figures, "failed": report.failed, "error": report.write_error})
        if step == STEPS:
            break
    state = whole_state(model, optimizer)
    left = {
        "state": state, "reports": reports, "seen": torch.stack(seen), "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].tolist(), "python": random.random(), "training": model.training,
    }  # fmt: skip
    torch.save(left, folder / kind / f"{'measured' if measured else 'plain'}{dist.get_rank()}.pt")
    if measured and dist.get_rank() == 0:
        saved = make_trainee()
        saved.load_state_dict(state["weights"])
        saved.save_pretrained(folder / kind / "saved" / f"step{STEPS}")
        tokenizer.save_pretrained(folder / kind / "saved" / f"step{STEPS}")
    dist.barrier()


def stop(folder: Path, series: Path, corpus: Path, settings: dict[str, Any]) -> None:
    """Call the Trainer's callback as it does, on models that cannot be kept or that break a rule, in each process."""
    import resource

    from transformers import TrainerControl, TrainerState, TrainingArguments

    from degen.callbacks import DegenerationCallback
    from degen.errors import DegenError

    tokenizer, main = load_tokenizer(series), dist.get_rank() == 0
    arguments, control = TrainingArguments(output_dir=str(folder / "trainer"), use_cpu=True), TrainerControl()
    outcome: dict[str, Any] = {}
    model, state = sharded("fsdp2"), TrainerState(is_world_process_zero=main)
    made = {"corpus": str(corpus), "every": 1, "rules": "loss < 1", "on_violation": "stop", **settings}
    callback = DegenerationCallback(out=folder / "kept", **made)
    callback.on_train_begin(arguments, state, control, model=model, processing_class=tokenizer)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if main:  # as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    state.global_step = 1
    callback.on_step_end(arguments, state, control, model=model)
    outcome["when full"] = control.should_training_stop
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    state.global_step = 2
    callback.on_step_end(arguments, state, control, model=model)
    outcome["when broken"], outcome["history"] = control.should_training_stop, len(state.log_history)
    callback.on_train_end(arguments, state, control)
    again = DegenerationCallback(out=folder / "kept", **made)
    state.global_step = 0
    try:
        again.on_train_begin(arguments, state, control, model=model, processing_class=tokenizer)
    except DegenError as error:
        outcome["refused"] = str(error)
    (folder / f"stopped{dist.get_rank()}.json").write_text(json.dumps(outcome))
    dist.barrier()


def gather(folder: Path) -> None:
    """Gather rows of parameters divided as ZeRO 3 and as `fully_shard` divide them, unevenly; write which differ."""
    from torch.distributed.tensor import Shard, distribute_tensor

    from degen.placement.shards import gather_rows

    whole = torch.arange(11 * 5, dtype=torch.float32).view(11, 5)
    mesh = dist.init_device_mesh("cpu", (2,))
    by_rows, by_columns, of_zero = torch.nn.Module(), torch.nn.Module(), torch.nn.Module()
    by_rows.weight = torch.nn.Parameter(distribute_tensor(whole, mesh, [Shard(0)]))
    by_columns.weight = torch.nn.Parameter(distribute_tensor(whole, mesh, [Shard(1)]))
    of_zero.weight = torch.nn.Parameter(torch.empty(0))  # as DeepSpeed leaves it
    padded = torch.cat([whole.flatten(), torch.full((1,), torch.nan)])
    of_zero.weight.ds_id, of_zero.weight.ds_shape = 0, whole.shape
    of_zero.weight.ds_tensor = padded.chunk(2)[dist.get_rank()]
    of_zero.weight.ds_process_group = dist.group.WORLD
    wrong = [
        [name, first, last]
        for name, module in (("rows", by_rows), ("columns", by_columns), ("zero", of_zero))
        for first, last in ((0, 11), (0, 3), (4, 7), (6, 11), (10, 11), (5, 5))
        if not torch.equal(gather_rows(module, module, "weight", whole.shape, first, last), whole[first:last])
    ]
    (folder / f"gathered{dist.get_rank()}.json").write_text(json.dumps(wrong))


def main(folder: Path, series: Path, corpus: Path, settings: str, kinds: list[str]) -> None:
    """Train each kind with and without measurements."""
    dist.init_process_group("gloo")
    for kind in kinds:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for measured in (False, True):
            train(kind, measured, folder, series, corpus, json.loads(settings))
    stop(folder, series, corpus, json.loads(settings))
    gather(folder)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), sys.argv[4], sys.argv[5:])
