"""A published series with the faults that published series have, small: Pythia's grid of steps, two shards each."""

from __future__ import annotations

import json

import numpy as np
from safetensors.numpy import save

STEPS = (0, *(2**k for k in range(10)), *range(1000, 144_000, 1000))
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
SHAPES = {
    "gpt_neox.embed_in.weight": (96, 24),
    "gpt_neox.layers.0.attention.dense.bias": (24,),
    "gpt_neox.layers.0.attention.query_key_value.weight": (72, 24),
    "gpt_neox.layers.1.attention.dense.bias": (24,),
    "gpt_neox.layers.1.attention.query_key_value.weight": (72, 24),
    "gpt_neox.final_layer_norm.weight": (24,),
    "embed_out.weight": (96, 24),
}
IN_FIRST = list(SHAPES)[:3]
CONFIG = {
    "model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "hidden_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 96,
}  # fmt: skip

Weights = dict[str, np.ndarray]


def path_of_training(seed: int = 0) -> dict[int, Weights]:
    """Return weights at every step: a random walk with drift, large strides early and small ones late."""
    draw = np.random.default_rng(seed)
    at = {key: draw.normal(0, 0.02, shape) for key, shape in SHAPES.items()}
    drift = {key: draw.normal(0, 0.02, shape) for key, shape in SHAPES.items()}
    path, before = {}, 0
    for step in STEPS:
        rate = 0.5 * (1 + np.cos(np.pi * step / 150_000))
        stride = rate * np.sqrt((step - before) / 20_000)
        for key in at:
            at[key] = at[key] + stride * (0.02 * draw.normal(size=SHAPES[key]) + 0.3 * drift[key])
        path[step] = {key: value.astype(np.float16) for key, value in at.items()}
        before = step
    return path


def files(first: Weights, second: Weights | None = None) -> dict[str, bytes]:
    """Return a revision's files; its second shard from other weights, if they are given."""
    second = first if second is None else second
    file_of = {key: FIRST if key in IN_FIRST else SECOND for key in SHAPES}
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors.index.json": json.dumps({"metadata": {}, "weight_map": file_of}).encode(),
        FIRST: save({key: first[key] for key in IN_FIRST}, {"format": "pt"}),
        SECOND: save({key: second[key] for key in SHAPES if key not in IN_FIRST}, {"format": "pt"}),
    }


def clean() -> dict[str, dict[str, bytes]]:
    """Return every branch as it should be, `main` the last step."""
    path = path_of_training()
    branches = {f"step{step}": files(weights) for step, weights in path.items()}
    return {"main": branches["step143000"], **branches}


def dirty() -> tuple[dict[str, dict[str, bytes]], dict[str, str]]:
    """Return the branches of a dirty series, and the verdict that each faulty one deserves."""
    path, foreign = path_of_training(), path_of_training(seed=7)
    branches, faults = clean(), {}
    draw = np.random.default_rng(3)
    spared = {0, 1, 2, 4, 9000, 50_000, 58_000, 65_000, 66_000, 67_000, 77_000}
    stale = draw.permutation([step for step in STEPS if step not in spared and step <= 130_000])[:86]
    # Of a step that has no branch. A copy of it beside its own place could be taken for the genuine one.
    late = {key: (path[142_000][key] + path[143_000][key]) / 2 for key in SHAPES}  # of a step that has no branch
    for step in stale[:50]:
        branches[f"step{step}"], faults[f"step{step}"] = branches["main"], "equals_final"
    for step in stale[50:]:
        branches[f"step{step}"], faults[f"step{step}"] = files(late), "duplicate"
    branches["step50000"] = files(foreign[50_000], path[50_000])
    branches["step58000"] = files(path[9000], path[58_000])
    faults |= {"step50000": "wrong_shard", "step58000": "wrong_shard"}
    branches["step2"], faults["step2"] = branches["step0"], "duplicate"
    del branches["step66000"]
    faults["step66000"] = "missing"
    broken = {key: value.copy() for key, value in path[77_000].items()}
    broken["gpt_neox.layers.1.attention.dense.bias"][5] = np.nan
    branches["step77000"], faults["step77000"] = files(broken), "not_finite"
    return branches, faults
