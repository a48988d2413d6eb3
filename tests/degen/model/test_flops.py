"""Parameters against transformers' own count, the closed formula of T5 among them; nothing is allocated."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import FAMILIES, make_config

from degen.errors import DegenError
from degen.model.architecture import describe
from degen.model.flops import Costs, T5Shape, costs_of, forward_flops, t5_costs

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


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "mamba"])
def test_flops_are_those_of_the_products_that_a_forward_pass_takes(family: str) -> None:
    """Counted by torch as they run; what is no product of matrices (norms, biases) is within the formula's excess."""
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoModelForCausalLM

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
    met = costs_of(config).forward
    assert 0 <= met - weights / context <= 2 * vectors
    scores = costs_of(config, context).forward - met
    assert attention / context / 2 <= scores * 1.02  # half of it masked; rotary angles are products, too
    assert attention / context / 2 >= scores


def mixture(kind: str, **settings: Any) -> Costs:
    import transformers

    return costs_of(getattr(transformers, kind)(**settings))


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
    found = [f"{c.parameters / 1e9:.1f} {c.parameters_active / 1e9:.1f}" for c in (mixtral, phi, qwen, deepseek)]
    # published: 46.7B and 12.9B, 42 and 6.6, 30.5 and 3.3, 671 and 37
    assert found == ["46.7 12.9", "41.9 6.6", "30.5 3.4", "671.0 37.6"]
    assert mixtral.forward < 2 * mixtral.parameters_active  # an embedding costs nothing
    dense = costs_of(make_config("llama"))
    assert dense.parameters_active == dense.parameters


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
