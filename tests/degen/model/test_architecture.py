"""Parameters of published models, from their configurations alone; nothing is allocated and nothing loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from faults.spoil import make_gguf
from tiny import LAYERS, make_config
from transformers import AutoConfig

from degen.errors import CheckpointError
from degen.model.architecture import Architecture, describe
from degen.model.configuration import read_config

PUBLISHED: dict[str, tuple[dict[str, Any], int, int]] = {
    "pythia-70m": (
        {"model_type": "gpt_neox", "vocab_size": 50304, "hidden_size": 512, "num_hidden_layers": 6,
         "num_attention_heads": 8, "intermediate_size": 2048, "tie_word_embeddings": False},
        70_426_624, 18_915_328,
    ),
    "pythia-160m": (
        {"model_type": "gpt_neox", "vocab_size": 50304, "hidden_size": 768, "num_hidden_layers": 12,
         "num_attention_heads": 12, "intermediate_size": 3072, "tie_word_embeddings": False},
        162_322_944, 85_056_000,
    ),
    "gpt2": ({"model_type": "gpt2"}, 124_439_808, 124_439_808 - 50257 * 768 - 1024 * 768),
    "opt-350m": (
        {"model_type": "opt", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
         "ffn_dim": 4096, "word_embed_proj_dim": 512, "do_layer_norm_before": False},
        331_196_416, 331_196_416 - 50272 * 512 - 2050 * 1024,
    ),
}  # fmt: skip


def of(settings: dict[str, Any]) -> Architecture:
    settings = dict(settings)
    return describe(AutoConfig.for_model(settings.pop("model_type"), **settings))


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_published_parameter_counts(name: str) -> None:
    settings, parameters, non_embedding = PUBLISHED[name]
    shape = of(settings)
    assert (shape.parameters, shape.parameters_non_embedding) == (parameters, non_embedding)


def test_the_shapes_of_published_heads() -> None:
    pythia, gpt2, opt = (of(PUBLISHED[name][0]) for name in ("pythia-70m", "gpt2", "opt-350m"))
    assert (pythia.tied, pythia.vocab_size, pythia.head_size, pythia.layers) == (False, 50304, 512, 6)
    assert (gpt2.tied, gpt2.vocab_size, gpt2.head_size, gpt2.hidden_size) == (True, 50257, 768, 768)
    assert (opt.tied, opt.vocab_size, opt.head_size, opt.hidden_size) == (True, 50272, 512, 1024)
    assert (pythia.positions, gpt2.positions, opt.positions) == (None, 1024, 2048)
    assert (gpt2.name, gpt2.model_type) == ("GPT2LMHeadModel", "gpt2")


def test_two_configurations_are_not_taken_for_one_another() -> None:
    shapes = [describe(make_config("llama", intermediate_size=size)) for size in (64, 128, 64)]
    assert shapes[0] == shapes[2] != shapes[1]
    assert shapes[0].layers == LAYERS


def test_a_model_that_is_no_causal_lm_is_described_with_that_reason() -> None:
    shape = describe(AutoConfig.for_model("t5"))
    reason = "model type 't5' is an encoder with a decoder and no causal LM; only its head is measured"
    assert shape.not_causal == reason
    assert (shape.name, shape.vocab_size, shape.head_size) == ("T5ForConditionalGeneration", 32128, 512)
    with pytest.raises(CheckpointError, match="'vit' is no language model that transformers can build"):
        describe(AutoConfig.for_model("vit"))


def test_a_gguf_file_that_changes_is_read_anew(tmp_path: Path) -> None:
    file = make_gguf(tmp_path / "model.gguf")
    first = read_config(file)
    content = first.to_dict()
    first.hidden_size = 1  # what a caller does to its own
    assert read_config(file).hidden_size == 32
    whole = file.read_bytes()
    file.write_bytes(b"GGUF" + bytes(len(whole) - 4))
    os.utime(file, (0, 0))
    with pytest.raises(CheckpointError, match="cannot be used"):
        read_config(file)
    file.write_bytes(whole)
    assert read_config(file).to_dict() == content
