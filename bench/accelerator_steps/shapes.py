"""Models of published shapes with random weights, built on the device, and windows of random tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from degen.text.windows import Sample, Window

CONTEXT = 512


@dataclass(frozen=True)
class Shape:
    """A published model by its sizes.

    Attributes:
        name: what the tables call it.
        family: the model type of transformers.
        settings: of its configuration.
        batch_tokens: of a batch in which a bare pass with its logits and their float32 copies fits 80 GB.
        tokens: of a timed pass.
        pairs: timed passes of either kind.
    """

    name: str
    family: str
    settings: dict[str, Any]
    batch_tokens: int = 8192
    tokens: int = 49_152
    pairs: int = 5

    @property
    def config(self) -> Any:
        """Return the configuration."""
        return AutoConfig.for_model(self.family, **self.settings)


def _pythia(name: str, width: int, layers: int, heads: int, rows: int = 50_304, **changes: Any) -> Shape:
    settings = {
        "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": 4 * width,
        "vocab_size": rows, "max_position_embeddings": 2048,
    }  # fmt: skip
    return Shape(name, "gpt_neox", settings, **changes)


PYTHIA_70M = _pythia("pythia-70m", 512, 6, 8)
PYTHIA_410M = _pythia("pythia-410m", 1024, 24, 16)
PYTHIA_1B4 = _pythia("pythia-1.4b", 2048, 24, 16)
PYTHIA_6B9 = _pythia("pythia-6.9b", 4096, 32, 32, rows=50_432, tokens=24_576, pairs=3)
GEMMA_2_2B = Shape(
    "gemma-2-2b",
    "gemma2",
    {
        "hidden_size": 2304, "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4,
        "head_dim": 256, "intermediate_size": 9216, "vocab_size": 256_000, "query_pre_attn_scalar": 256,
        "sliding_window": 4096, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
    },
    batch_tokens=4096,
    tokens=24_576,
    pairs=3,
)  # fmt: skip

PUBLISHED = (PYTHIA_410M, PYTHIA_1B4, PYTHIA_6B9, GEMMA_2_2B)
TINY = _pythia("tiny", 64, 3, 4, rows=2048, batch_tokens=1024, tokens=2048, pairs=2)


def build(shape: Shape, device: torch.device, dtype: torch.dtype) -> Any:
    """Make a model of random weights, drawn where it will run."""
    torch.manual_seed(0)
    with device:
        model = AutoModelForCausalLM.from_config(shape.config, dtype=dtype)
    model.config.use_cache = False
    return model.eval().to(device)


def random_windows(tokens: int, rows: int, context: int = CONTEXT) -> tuple[Window, ...]:
    """Return full windows of random tokens, each a document of its own."""
    draw = np.random.default_rng(0)
    return tuple(
        Window(i, i, None, 0, 4 * context, draw.integers(rows, size=context, dtype=np.int32))
        for i in range(max(tokens // context, 1))
    )


def random_sample(tokens: int, rows: int, context: int = CONTEXT) -> Sample:
    """Return a sample of such windows."""
    return Sample("random", random_windows(tokens, rows, context))


def shortened(sample: Sample) -> Sample:
    """Return a sample of which every second window is shorter, each by another length: its batches are padded."""
    windows = (
        replace(w, tokens=w.tokens[: len(w.tokens) - 1 - i % (len(w.tokens) // 2)]) if i % 2 else w
        for i, w in enumerate(sample.windows)
    )
    return Sample("shortened", tuple(windows))
