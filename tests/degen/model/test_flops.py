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
    assert forward_flops(shape, context=64) == 2 * weights + 4 * 2 * 32 * (64 + 1) / 2


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
    unmasked = attention / context * (context + 1) / (2 * context)  # of each T × T scores, these are not masked
    assert scores <= unmasked <= scores * 1.02  # rotary angles are products, too


SLIDING: dict[str, tuple[str, dict[str, Any]]] = {
    "some blocks": ("gemma3_text", {}),
    "every second block": ("gemma2", {"num_hidden_layers": 4, "layer_types": None}),
    "all blocks": ("mistral", {}),
    "a window longer than the text": ("mistral", {"sliding_window": 64}),
    "no window": ("qwen2", {"sliding_window": 16, "use_sliding_window": False}),
    "the upper blocks": (
        "qwen2", {"sliding_window": 5, "use_sliding_window": True, "max_window_layers": 1, "num_hidden_layers": 3},
    ),
    "one token": ("mistral", {"sliding_window": 1}),
}  # fmt: skip


@pytest.mark.parametrize("kind", SLIDING)
def test_flops_of_attention_are_those_of_the_scores_that_are_not_masked(kind: str) -> None:
    """Counted one by one in the weights of attention that transformers computes: masked ones are zero."""
    context, (family, changes) = 40, SLIDING[kind]
    config = make_config(family, **changes)
    config._attn_implementation = "eager"
    model: Any = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        weights = model(input_ids=torch.arange(context)[None], output_attentions=True).attentions
    per_score = 2 * 2 * config.hidden_size // config.num_attention_heads  # q·k, and its share of the weighted sum
    counted = per_score * sum(int((layer != 0).sum()) for layer in weights)
    shape = describe(config)
    assert context * (forward_flops(shape, context) - forward_flops(shape)) == counted


def test_gpt_neo_has_local_blocks() -> None:
    config = transformers.GPTNeoConfig(
        hidden_size=32, num_layers=4, num_heads=4, attention_types=[[["global", "local"], 2]], window_size=8,
        vocab_size=99, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    assert describe(config).attention_windows == (None, 8, None, 8)


def test_a_long_context_costs_a_sliding_block_its_window() -> None:
    sliding, whole = describe(make_config("mistral")), describe(make_config("llama"))
    longer = [forward_flops(shape, 20_000) - forward_flops(shape) for shape in (sliding, whole)]
    assert longer[0] == pytest.approx(4 * 2 * 32 * 16, rel=1e-3)
    assert longer[1] == pytest.approx(4 * 2 * 32 * 10_000, rel=1e-3)


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
