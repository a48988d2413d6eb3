"""A hub that serves configurations and says how large weights are, which it has not: for plans of large suites."""

from __future__ import annotations

import json
from typing import Any

from hub_scans import Scans

PYTHIA = {  # name -> blocks, width, heads, rows of the head; bytes of model.safetensors follow from them
    "14m": (6, 128, 4, 50304), "31m": (6, 256, 8, 50304), "70m": (6, 512, 8, 50304), "160m": (12, 768, 12, 50304),
    "410m": (24, 1024, 16, 50304), "1b": (16, 2048, 8, 50304), "1.4b": (24, 2048, 16, 50304),
    "2.8b": (32, 2560, 32, 50304), "6.9b": (32, 4096, 32, 50432), "12b": (36, 5120, 40, 50688),
}  # fmt: skip
STEPS = [0, *(2**i for i in range(10)), *range(1000, 143_001, 1000)]


class Announced(bytes):
    """A file of a few bytes that is said to be larger."""

    size: int

    def __new__(cls, size: int) -> Announced:
        """Make the content for a size."""
        made = super().__new__(cls, str(size).encode())
        made.size = size
        return made

    def __len__(self) -> int:
        return self.size


def neox(layers: int, width: int, heads: int, vocab: int) -> tuple[dict[str, Any], int]:
    """Return the configuration of a Pythia and its number of parameters."""
    config = {
        "model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "hidden_size": width,
        "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": 4 * width, "vocab_size": vocab,
        "max_position_embeddings": 2048, "tie_word_embeddings": False, "rotary_pct": 0.25,
    }  # fmt: skip
    return config, 2 * vocab * width + layers * (12 * width**2 + 13 * width) + 2 * width


def add_pythia(scans: Scans) -> None:
    """Serve all of Pythia."""
    for name, shape in PYTHIA.items():
        config, parameters = neox(*shape)
        add(scans, f"EleutherAI/pythia-{name}", config, 2 * parameters, STEPS)


def add_70b(scans: Scans) -> None:
    """Serve a series of 100 checkpoints with the shape of Llama 2 70B, in bfloat16."""
    d, hidden, layers, kv, vocab = 8192, 28_672, 80, 1024, 32_000
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": d, "intermediate_size": hidden,
        "num_hidden_layers": layers, "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": vocab,
        "max_position_embeddings": 4096, "tie_word_embeddings": False,
    }  # fmt: skip
    parameters = 2 * vocab * d + layers * (2 * d * d + 2 * d * kv + 3 * d * hidden + 2 * d) + d
    add(scans, "org/llama-70b", config, 2 * parameters, range(1000, 100_001, 1000))


def add(scans: Scans, name: str, config: dict[str, Any], size: int, steps: Any) -> None:
    """Serve a series whose checkpoints are a configuration and weights of a size."""
    files = {"config.json": json.dumps(config).encode(), "model.safetensors": Announced(size)}
    scans.add(name, {"main": files, **{f"step{step}": files for step in steps}})
