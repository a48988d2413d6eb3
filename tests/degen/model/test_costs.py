"""What a model costs by its configuration, and the knobs of its shape, against the modules that transformers builds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import FAMILIES, make_config
from transformers import AutoConfig, AutoModelForCausalLM

from degen.errors import CheckpointError, DegenError
from degen.model.architecture import describe
from degen.model.config_changes import change_config
from degen.model.costs import TokenContext, config_costs, t5_costs
from degen.model.flops import forward_flops
from degen.model.knobs import read_knobs
from degen.model.t5_shape import t5_shape

FILE: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
    "intermediate_size": 96, "vocab_size": 100,
}  # fmt: skip


def read(entries: dict[str, Any]) -> Any:
    entries = dict(entries)
    return AutoConfig.for_model(entries.pop("model_type"), **entries)


@pytest.mark.parametrize("family", FAMILIES)
def test_costs_are_those_of_the_architecture(family: str) -> None:
    config = make_config(family)
    shape, costs = describe(config), config_costs(config, TokenContext(16))
    assert (costs.parameters, costs.parameters_non_embedding) == (shape.parameters, shape.parameters_non_embedding)
    assert costs.parameters_active == shape.parameters - shape.parameters_idle
    assert costs.forward_flops == forward_flops(shape, 16)
    assert costs.training_flops == 3 * costs.forward_flops
    assert config_costs(config, TokenContext()).forward_flops == forward_flops(shape)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "mamba"])
def test_knobs_are_the_sizes_of_the_matrices(family: str) -> None:
    config = make_config(family)
    knobs = read_knobs(config)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    sizes = {size for p in model.parameters() if p.dim() > 1 for size in p.shape}
    assert knobs.layers == config.num_hidden_layers
    assert knobs.d_model is not None
    assert knobs.d_model in sizes
    assert {knobs.d_ff, 2 * (knobs.d_ff or 0)} & sizes  # gate and up may be one matrix
    assert (knobs.heads, knobs.d_kv) == (4, 8)
    assert knobs.experts == (4 if family == "mixtral" else 1)


def test_a_model_without_attention_has_no_heads() -> None:
    knobs = read_knobs(make_config("mamba"))
    assert (knobs.heads, knobs.d_kv) == (None, None)


def test_experts_have_a_width_of_their_own() -> None:
    config = AutoConfig.for_model("deepseek_v3")
    knobs = read_knobs(config)
    assert (knobs.experts, knobs.d_ff) == (256, 2048)
    costs = config_costs(config, TokenContext())
    assert [f"{n / 1e9:.0f}" for n in (costs.parameters, costs.parameters_active)] == [
        "671",
        "38",
    ]  # published: 671, 37


def test_knobs_that_a_configuration_does_not_say_are_unknown() -> None:
    assert read_knobs(AutoConfig.for_model("xlnet")).d_ff is None


@pytest.mark.parametrize("model_type", ["t5", "mt5", "umt5"])
def test_a_t5_by_its_configuration_is_the_t5_of_its_shape(model_type: str) -> None:
    config = AutoConfig.for_model(model_type)
    for context in (TokenContext(), TokenContext(64, 16)):
        costs, by_shape = config_costs(config, context), t5_costs(t5_shape(config), context)
        assert costs.forward_flops == by_shape.forward_flops
        assert costs.knobs == by_shape.knobs
    described = describe(config)  # umt5 has a table of relative positions in every block
    own_head = 0 if model_type == "t5" else config.vocab_size * config.d_model  # transformers unties it on loading
    assert costs.parameters == described.parameters + own_head
    assert costs.parameters_non_embedding == described.parameters_non_embedding


def test_a_t5_whose_file_says_that_its_head_is_its_own_has_both() -> None:
    tied, untied = (config_costs(read({"model_type": "t5", **e}), TokenContext()) for e in ({}, UNTIED))
    assert untied.parameters - tied.parameters == 32_128 * 512
    assert untied.parameters_non_embedding == tied.parameters_non_embedding
    assert untied.forward_flops == tied.forward_flops


UNTIED = {"tie_word_embeddings": False}


@pytest.mark.parametrize(
    ("model_type", "kind"),
    [("bert", "an encoder"), ("roberta", "an encoder"), ("modernbert", "an encoder"), ("distilbert", "an encoder"),
     ("bart", "an encoder with a decoder"), ("longt5", "an encoder with a decoder"),
     ("switch_transformers", "an encoder with a decoder")],
)  # fmt: skip
def test_encoders_are_refused_by_name(model_type: str, kind: str) -> None:
    message = f"model type '{model_type}' is {kind}; the costs are of causal LMs and of T5"
    with pytest.raises(CheckpointError) as refused:
        config_costs(AutoConfig.for_model(model_type), TokenContext())
    assert str(refused.value) == message


@pytest.mark.parametrize("changes", [{"num_hidden_layers": 6}, {"hidden_size": 32, "num_attention_heads": 2}, {}])
def test_a_changed_configuration_is_the_one_of_a_file_with_these_values(changes: dict[str, Any]) -> None:
    changed = change_config(read(FILE), FILE, changes, "config.json")
    assert changed.to_dict() == read(FILE | changes).to_dict()
    assert FILE["num_hidden_layers"] == 4


def test_what_the_file_leaves_out_follows_from_the_changed_values() -> None:
    changed = change_config(read(FILE), FILE, {"hidden_size": 128}, "config.json")
    assert changed.head_dim == 32


def test_entries_have_the_names_of_transformers_too() -> None:
    entries = {"model_type": "gpt2", "n_layer": 3, "n_embd": 48, "n_head": 4}
    changed = change_config(read(entries), entries, {"num_hidden_layers": 5}, "config.json")
    assert (changed.n_layer, changed.n_embd) == (5, 48)
    with pytest.raises(DegenError, match="--set n_layer=6: num_hidden_layers is another name of it"):
        change_config(read(entries), entries, {"num_hidden_layers": 5, "n_layer": 6}, "config.json")


def test_lists_of_one_item_a_layer_follow_the_layers() -> None:
    entries = {**FILE, "model_type": "gemma3_text", "layer_types": ["full_attention"] * 4, "head_dim": 16}
    changed = change_config(read(entries), entries, {"num_hidden_layers": 7}, "config.json")
    assert len(changed.layer_types) == 7
    kinds = ["sliding_attention"] * 7
    own = change_config(read(entries), entries, {"num_hidden_layers": 7, "layer_types": kinds}, "config.json")
    assert own.layer_types == kinds


def test_entries_of_a_part_of_a_configuration_have_its_name_in_front() -> None:
    entries = {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "num_hidden_layers": 2}}
    changed = change_config(read(entries), entries, {"text_config.hidden_size": 64}, "config.json")
    assert (changed.text_config.hidden_size, changed.text_config.num_hidden_layers) == (64, 2)
    with pytest.raises(DegenError, match=r"no such entry; did you mean 'text_config\.hidden_size'"):
        change_config(read(entries), entries, {"hidden_size": 64}, "config.json")


@pytest.mark.parametrize("value", [0, -1, 1.5, "many", True, 1 << 25])
def test_sizes_are_whole_numbers_above_0(value: Any) -> None:
    with pytest.raises(DegenError, match=r"must be a whole number from 1 to 16,777,216; it is 64 in config\.json"):
        change_config(read(FILE), FILE, {"hidden_size": value}, "config.json")


def test_values_that_transformers_refuses_end_in_its_reason() -> None:
    with pytest.raises(CheckpointError, match=r"config.json: transformers refuses these values .*divisible|multiple"):
        change_config(read(FILE), FILE, {"num_attention_heads": 5}, "config.json")
    with pytest.raises(CheckpointError, match="is more than any model has"):
        change_config(read(FILE), FILE, {"num_hidden_layers": 5_000}, "config.json")
