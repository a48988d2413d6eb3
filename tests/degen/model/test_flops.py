"""Parameters against transformers' own count, and FLOPs against those that torch counts; no weights are needed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from tiny import FAMILIES, make_config
from transformers import AutoModelForCausalLM

from degen.model.architecture import Architecture, describe
from degen.model.flops import forward_flops

TWELVE = (
    "gpt_neox", "gpt2", "opt", "opt-350m", "gemma2", "llama", "mistral", "qwen3", "bloom", "falcon", "mixtral", "mamba",
)  # fmt: skip


@pytest.mark.parametrize("family", TWELVE)
def test_parameters_are_those_that_transformers_counts(family: str) -> None:
    config = make_config(family)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    shape = describe(config)
    assert shape.parameters == model.num_parameters()
    positions = {"gpt2": 256 * 32, "opt": 258 * 32, "opt-350m": 258 * 32}.get(family, 0)
    tables = {id(m.weight): m.weight.numel() for m in (model.get_input_embeddings(), model.get_output_embeddings())}
    assert shape.parameters_non_embedding == model.num_parameters() - sum(tables.values()) - positions


def test_flops_of_a_token_are_twice_the_weights_it_meets() -> None:
    shape = describe(make_config("llama"))
    weights = shape.parameters_non_embedding + shape.vocab_size * shape.head_size
    assert forward_flops(shape) == 2 * weights
    assert forward_flops(shape, context=64) == 2 * weights + 2 * 2 * 32 * 64


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "mamba"])
def test_flops_are_those_of_the_products_that_a_forward_pass_takes(family: str) -> None:
    """Counted by torch as they run; what is no product of matrices (norms, biases) is within the formula's excess."""
    from torch.utils.flop_counter import FlopCounterMode

    context, config = 16, make_config(family)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    model: Any = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=torch.arange(context)[None])
    counted = counter.get_flop_counts()["Global"]
    attention = sum(n for op, n in counted.items() if str(op) in ("aten.bmm", "aten.baddbmm"))
    weights = sum(counted.values()) - attention
    vectors = sum(p.numel() for p in model.parameters() if p.dim() == 1)
    shape = describe(config)
    met = forward_flops(shape)
    assert 0 <= met - weights / context <= 2 * vectors
    scores = forward_flops(shape, context) - met
    assert attention / context / 2 <= scores * 1.02  # half of it masked; rotary angles are products, too
    assert attention / context / 2 >= scores


def mixture(kind: str, **settings: Any) -> Architecture:
    return describe(getattr(transformers, kind)(**settings))


def test_mixtures_of_experts_have_the_active_parameters_that_their_makers_publish() -> None:
    attention = {"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096}
    mixtral = mixture("MixtralConfig", vocab_size=32000, intermediate_size=14336, **attention)
    phi = mixture(
        "PhimoeConfig",
        vocab_size=32064,
        intermediate_size=6400,
        num_local_experts=16,
        num_experts_per_tok=2,
        **attention,
    )
    qwen = mixture(
        "Qwen3MoeConfig", vocab_size=151936, hidden_size=2048, moe_intermediate_size=768, num_hidden_layers=48,
        num_attention_heads=32, num_key_value_heads=4, head_dim=128, num_experts=128, num_experts_per_tok=8,
    )  # fmt: skip
    deepseek = mixture("DeepseekV3Config")
    sizes = [(s.parameters, s.parameters - s.parameters_idle) for s in (mixtral, phi, qwen, deepseek)]
    # published: 46.7B and 12.9B, 42 and 6.6, 30.5 and 3.3, 671 and 37
    assert [f"{n / 1e9:.1f} {active / 1e9:.1f}" for n, active in sizes] == [
        "46.7 12.9", "41.9 6.6", "30.5 3.4", "671.0 37.6",
    ]  # fmt: skip
    assert forward_flops(mixtral) < 2 * sizes[0][1]  # an embedding costs nothing
    assert describe(make_config("llama")).parameters_idle == 0
