"""Loss, anisotropy of every layer and the head's spectrum as a script of an afternoon measures them.

python bench/peer_rows/naive_script.py CHECKPOINT SAMPLE.parquet BATCH

One pass a metric; states of all layers are kept, and the cosines of a layer are a matrix of n × n. CHECKPOINT is a
folder or a .gguf file; SAMPLE holds the windows of a scan, so that the figures can be compared; BATCH is a number of
windows.
Prints JSON: the figures, seconds by phase, and the peak memory of each phase above that of the loaded model (Linux).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from transformers import AutoModelForCausalLM

from peer_rows.resident import forget_peak, read_weights, resident


def load(path: Path) -> Any:
    if path.is_dir():
        return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)


def batches(windows: list[list[int]], size: int) -> Iterator[torch.Tensor]:
    """Return windows of one length together, as many as a batch takes."""
    windows = sorted(windows, key=len)
    while windows:
        rows = [w for w in windows[:size] if len(w) == len(windows[0])]
        windows = windows[len(rows) :]
        yield torch.tensor(rows)


@torch.no_grad()
def loss(model: Any, windows: list[list[int]], size: int) -> float:
    total, count = 0.0, 0
    for ids in batches(windows, size):
        scored = ids.shape[0] * (ids.shape[1] - 1)
        total += model(ids, labels=ids).loss.item() * scored
        count += scored
    return total / count


@torch.no_grad()
def all_states(model: Any, windows: list[list[int]], size: int) -> list[torch.Tensor]:
    parts: list[list[torch.Tensor]] = []
    for ids in batches(windows, size):
        states = model(ids, output_hidden_states=True).hidden_states
        parts = parts or [[] for _ in states]
        for kept, layer in zip(parts, states, strict=True):
            kept.append(layer.reshape(-1, layer.shape[-1]))
    return [torch.cat(kept) for kept in parts]


def anisotropy(states: torch.Tensor) -> float:
    unit = torch.nn.functional.normalize(states, dim=-1)
    cosines = unit @ unit.T
    n = len(cosines)
    return ((cosines.sum(dtype=torch.float64) - n) / (n * (n - 1))).item()


def main() -> None:
    model = load(Path(sys.argv[1])).eval()
    windows = pq.read_table(sys.argv[2], columns=["tokens"])["tokens"].to_pylist()
    read_weights(model)
    size, loaded = int(sys.argv[3]), resident("VmRSS")
    seconds: dict[str, float] = {}
    memory: dict[str, int] = {}

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        forget_peak()
        start = time.perf_counter()
        yield
        seconds[name], memory[name] = time.perf_counter() - start, max(resident("VmHWM") - loaded, 0)

    figures: dict[str, Any] = {}
    with phase("passes"):
        figures["loss"] = loss(model, windows, size)
        states = all_states(model, windows, size)
    with phase("cosines"):
        figures["anisotropy"] = [anisotropy(layer) for layer in states]
    with phase("spectrum"):
        figures["largest"] = torch.linalg.svdvals(model.get_output_embeddings().weight.detach().double())[0].item()
    tokens = sum(map(len, windows))
    print(json.dumps({"tokens": tokens, "figures": figures, "seconds": seconds, "memory": memory}))


if __name__ == "__main__":
    main()
