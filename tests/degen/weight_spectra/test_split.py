"""Fused tensors split as the model itself uses them: tried on the model, not on what we know of its layout."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import make_config, make_model

from degen.weight_spectra.matrix_names import kind_of, layer_of
from degen.weight_spectra.split import parts_of

FUSED = {
    "gpt_neox": ("gpt_neox.layers.0.attention", "query_key_value", {}),
    "bloom": ("transformer.h.0.self_attention", "query_key_value", {}),
    "falcon": ("transformer.h.0.self_attention", "query_key_value", {}),
    "falcon, many": ("transformer.h.0.self_attention", "query_key_value", {"multi_query": False}),
    "falcon, new": (
        "transformer.h.0.self_attention",
        "query_key_value",
        {"new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "gpt2": ("transformer.h.0.attn", "c_attn", {}),
}


def entries(weight: torch.Tensor, key: str, text: Any) -> dict[str, torch.Tensor]:
    """Return the indices in a tensor of the entries of each of its parts."""
    index = torch.arange(weight.numel()).view(weight.shape)
    kind = kind_of(key)
    return {part.name: part.take(index).flatten() for part in parts_of(tuple(weight.shape), kind, key, text)}


@pytest.mark.parametrize("name", FUSED)
@torch.no_grad()
def test_values_make_the_output_and_queries_meet_keys(name: str) -> None:
    path, leaf, changes = FUSED[name]
    model = make_model(name.partition(",")[0], **changes)
    module = model.get_submodule(f"{path}.{leaf}")
    if module.bias is not None:
        module.bias.zero_()
    of_part = entries(module.weight, f"{path}.{leaf}.weight", model.config)
    assert set(of_part) == {"q", "k", "v"}
    assert torch.cat(list(of_part.values())).sort()[0].equal(torch.arange(module.weight.numel()))
    ids, whole = torch.arange(9).unsqueeze(0), module.weight.clone()

    def output(zero: str = "", again: str = "") -> torch.Tensor:
        """Return what the attention puts out with one part zero and another drawn anew."""
        weight = whole.clone().flatten()
        if zero:
            weight[of_part[zero]] = 0
        if again:
            weight[of_part[again]] = torch.randn(len(of_part[again]), generator=torch.Generator().manual_seed(1))
        module.weight.copy_(weight.view(whole.shape))
        caught: list[torch.Tensor] = []
        dense = model.get_submodule(f"{path}.{'c_proj' if leaf == 'c_attn' else 'dense'}")
        handle = dense.register_forward_pre_hook(lambda _m, args: caught.append(args[0].clone()))
        model(input_ids=ids, use_cache=False)
        handle.remove()
        return caught[0]

    assert output("v").abs().max() == 0
    assert output().abs().max() > 0.01
    assert torch.allclose(output("q"), output("q", again="k"), atol=1e-5)
    assert torch.allclose(output("k"), output("k", again="q"), atol=1e-5)
    assert not torch.allclose(output(), output(again="k"), atol=1e-3)
    assert not torch.allclose(output("q"), output("q", again="v"), atol=1e-3)


@torch.no_grad()
def test_a_gate_and_what_it_gates_are_told_apart() -> None:
    from transformers import Phi3Config, Phi3ForCausalLM

    config = Phi3Config(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, pad_token_id=0,
    )  # fmt: skip
    layer = Phi3ForCausalLM(config).eval().model.layers[0]
    key = "model.layers.0.mlp.gate_up_proj.weight"
    gates = entries(layer.mlp.gate_up_proj.weight, key, config)
    fused = entries(layer.self_attn.qkv_proj.weight, "model.layers.0.self_attn.qkv_proj.weight", config)
    assert {name: len(index) for name, index in fused.items()} == {"q": 256, "k": 128, "v": 128}
    weight, x = layer.mlp.gate_up_proj.weight, torch.randn(3, 16)
    gate, up = (weight.flatten()[gates[name]].view(24, 16) for name in ("gate", "up"))
    expected = torch.nn.functional.silu(x @ gate.T) * (x @ up.T) @ layer.mlp.down_proj.weight.T
    assert torch.allclose(layer.mlp(x), expected, atol=1e-6)


@torch.no_grad()
def test_stacked_experts_are_matrices_of_their_own() -> None:
    model = make_model("mixtral")
    experts = model.model.layers[0].mlp.experts
    stacked = experts.gate_up_proj
    key = "model.layers.0.mlp.experts.gate_up_proj"
    parts = list(parts_of(tuple(stacked.shape), kind_of(key), key, model.config))
    assert [part.name for part in parts] == [f"expert {i} {name}" for i in range(4) for name in ("gate", "up")]
    assert [part.kind for part in parts[:2]] == ["mlp_gate", "mlp_up"]
    x = torch.randn(3, 32)
    gate, up = parts[4].take(stacked[2]), parts[5].take(stacked[2])
    expected = (torch.nn.functional.silu(x @ gate.T) * (x @ up.T)) @ experts.down_proj[2].T
    alone = experts(x, torch.full((3, 1), 2), torch.ones(3, 1))
    assert torch.allclose(alone, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("key", "shape", "changes"),
    [
        ("gpt_neox.layers.0.attention.query_key_value.weight", (96, 32), {"model_type": "unheard_of"}),
        ("gpt_neox.layers.0.attention.query_key_value.weight", (95, 32), {}),
        ("gpt_neox.layers.0.mlp.experts.gate_up_proj", (4, 128, 32), {}),
    ],
)
def test_a_layout_that_the_configuration_does_not_give_is_one_matrix(
    key: str, shape: tuple[int, ...], changes: dict[str, Any]
) -> None:
    config = make_config("gpt_neox")
    for name, value in changes.items():
        setattr(type(config) if name == "model_type" else config, name, value)
    try:
        (part,) = parts_of(shape, kind_of(key), key, config)
    finally:
        type(config).model_type = "gpt_neox"
    assert part.name == ""
    assert [p.name for p in parts_of((96, 32), "attention_qkv", "a", None)] == [""]


def test_tensors_of_three_dimensions_that_are_no_experts_are_one_matrix() -> None:
    config = make_config("mixtral")  # of four experts
    names = {
        key: [part.name for part in parts_of((4, 24, 32), "mlp_down", key, config)]
        for key in ("model.layers.0.mlp.experts.down_proj", "blk.0.ffn_down_exps.weight", "model.layers.0.conv.weight")
    }
    assert list(names.values()) == [[f"expert {i}" for i in range(4)]] * 2 + [[""]]


@pytest.mark.parametrize(
    ("key", "kind", "layer"),
    [
        ("model.layers.11.self_attn.q_proj.weight", "attention_q", 12),
        ("module.model.layers.0.self_attn.o_proj.weight", "attention_output", 1),
        ("gpt_neox.layers.3.attention.dense.weight", "attention_output", 4),
        ("gpt_neox.layers.3.mlp.dense_4h_to_h.weight", "mlp_down", 4),
        ("transformer.h.0.mlp.c_proj.weight", "mlp_down", 1),
        ("transformer.h.0.attn.c_proj.weight", "attention_output", 1),
        ("model.layers.2.attention.wo.weight", "attention_output", 3),
        ("encoder.block.2.layer.1.DenseReluDense.wo.weight", "mlp_down", 3),
        ("blk.4.attn_output.weight", "attention_output", 5),
        ("blk.4.ffn_up.weight", "mlp_up", 5),
        ("token_embd.weight", "embedding", None),
        ("lm_head.weight", "head", None),
        ("transformer.wpe.weight", "position_embedding", None),
        ("model.layers.0.block_sparse_moe.experts.3.w2.weight", "mlp_down", 1),
        ("model.layers.0.mlp.gate.weight", "router", 1),
        ("backbone.layers.1.mixer.in_proj.weight", "other", 2),
    ],
)
def test_kind_and_layer_are_told_by_the_name(key: str, kind: str, layer: int | None) -> None:
    assert (kind_of(key), layer_of(key)) == (kind, layer)
