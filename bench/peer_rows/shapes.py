"""Published shapes that a CPU measures in minutes."""

from __future__ import annotations

from accelerator_steps.shapes import Shape

PYTHIA_160M = Shape(
    "pythia-160m",
    "gpt_neox",
    {
        "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
        "vocab_size": 50_304, "max_position_embeddings": 2048,
    },
)  # fmt: skip
SMOLLM_135M = Shape(
    "smollm-135m",
    "llama",
    {
        "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "intermediate_size": 1536, "vocab_size": 49_152, "tie_word_embeddings": True, "max_position_embeddings": 2048,
    },
)  # fmt: skip
GEMMA_3_270M = Shape(
    "gemma-3-270m",
    "gemma3_text",
    {
        "hidden_size": 640, "num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1,
        "head_dim": 256, "intermediate_size": 2048, "vocab_size": 262_144, "tie_word_embeddings": True,
        "sliding_window": 512, "query_pre_attn_scalar": 256, "max_position_embeddings": 32_768,
    },
)  # fmt: skip
TINY = Shape(
    "tiny",
    "gpt_neox",
    {
        "hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 512,
        "vocab_size": 8192, "max_position_embeddings": 2048,
    },
)  # fmt: skip
SHAPES = {shape.name: shape for shape in (PYTHIA_160M, SMOLLM_135M, GEMMA_3_270M, TINY)}
