"""Parameters against transformers' own count, the closed formula of T5 among them; nothing is allocated."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import FAMILIES, make_config

from degen.architecture import describe
from degen.costs import T5Shape, costs_of, forward_flops, t5_costs
from degen.errors import DegenError

TWELVE = (
    "gpt_neox", "gpt2", "opt", "opt-350m", "gemma2", "llama", "mistral", "qwen3", "bloom", "falcon", "mixtral", "mamba",
)  # fmt: skip
SMALL_16 = T5Shape(layers=16, d_model=512, d_ff=2048, d_kv=64, heads=8)


@pytest.mark.parametrize("family", TWELVE)
def test_parameters_are_those_that_transformers_counts(family: str) -> None:
    from transformers import AutoModelForCausalLM

    assert family in FAMILIES
    config = make_config(family)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    costs = costs_of(config)
    assert costs.parameters == model.num_parameters()
    positions = {"gpt2": 256 * 32, "opt": 258 * 32, "opt-350m": 258 * 32}.get(family, 0)
    tables = {id(m.weight): m.weight.numel() for m in (model.get_input_embeddings(), model.get_output_embeddings())}
    assert costs.parameters_non_embedding == model.num_parameters() - sum(tables.values()) - positions


def test_flops_of_a_token_are_twice_the_weights_it_meets() -> None:
    config = make_config("llama")
    shape = describe(config)
    with torch.device("meta"):
        head = shape.vocab_size * shape.head_size
    body = 2 * (shape.parameters_non_embedding + head)
    assert costs_of(config).forward == body
    assert costs_of(config, context=64).forward == body + 2 * 2 * 32 * 64
    assert costs_of(config, context=64).training == 3 * forward_flops(shape, 64)


def t5(**settings: Any) -> int:
    from transformers import T5Config, T5ForConditionalGeneration

    with torch.device("meta"):
        return int(T5ForConditionalGeneration(T5Config(**settings)).num_parameters())


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({"num_layers": 16}, SMALL_16),
        ({"num_layers": 6}, T5Shape(6, 512, 2048, 64, 8)),
        (
            {"num_layers": 3, "num_decoder_layers": 5, "d_model": 96, "d_ff": 80, "d_kv": 24, "num_heads": 6,
             "vocab_size": 1000, "relative_attention_num_buckets": 16},
            T5Shape(3, 96, 80, 24, 6, decoder_layers=5, vocab_size=1000, buckets=16),
        ),
        (
            {"num_layers": 8, "d_ff": 1024, "num_heads": 6, "feed_forward_proj": "gated-gelu"},
            T5Shape(8, 512, 1024, 64, 6, gated=True),
        ),
    ],
)  # fmt: skip
def test_the_formula_of_t5_counts_as_transformers_does(settings: dict[str, Any], shape: T5Shape) -> None:
    assert shape.parameters == t5(**settings)


def test_t5_small_with_16_layers_has_134_million() -> None:
    assert f"{SMALL_16.parameters / 1e6:.1f}M" == "133.9M"
    untied = T5Shape(16, 512, 2048, 64, 8, tied=False)
    assert untied.parameters - SMALL_16.parameters == 32128 * 512


def test_a_token_of_t5_costs_the_half_it_passes() -> None:
    encoder, decoder = SMALL_16.blocks
    head = 32128 * 512
    crossed = 16 * 2 * 512 * 512
    assert t5_costs(SMALL_16, inputs=1, targets=0).forward == 2 * (encoder + crossed)
    assert t5_costs(SMALL_16, inputs=0, targets=1).forward == 2 * (decoder - crossed + head)
    alike = t5_costs(SMALL_16, inputs=512, targets=512)
    assert alike.forward == encoder + decoder + head
    assert alike.training == 3 * alike.forward
    assert t5_costs(SMALL_16, 512, 512, attention=True).forward > alike.forward


def test_a_shape_that_cannot_be_is_refused() -> None:
    with pytest.raises(DegenError, match="a T5 with heads = 0"):
        T5Shape(6, 512, 2048, 64, 0)
    with pytest.raises(DegenError, match="at least one token"):
        t5_costs(SMALL_16, 0, 0)
