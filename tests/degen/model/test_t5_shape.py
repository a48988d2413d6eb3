"""Closed forms of T5 against transformers' own models, what torch counts, and the counts that model cards publish."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from transformers import MT5Config, T5Config, T5ForConditionalGeneration

from degen.model.architecture import describe
from degen.model.t5_shape import T5Shape, t5_shape
from degen.published import published_table
from degen.readers.table_file import read_table_file

GRID = list(itertools.product((1, 3), (1, 2), (32, 48), (64, 100), (2, 3), (8, 16), (99, 256), (False, True)))


def configured(shape: T5Shape) -> T5Config:
    return T5Config(
        num_layers=shape.encoder_layers, num_decoder_layers=shape.decoder_layers, d_model=shape.d_model,
        d_ff=shape.d_ff, num_heads=shape.heads, d_kv=shape.d_kv, vocab_size=shape.vocab_size,
        feed_forward_proj="gated-gelu" if shape.gated else "relu", tie_word_embeddings=shape.tied,
    )  # fmt: skip


def shape_of(el: int, dl: int, dm: int, ff: int, nh: int, kv: int, v: int, gated: bool) -> T5Shape:
    return T5Shape(el, dl, dm, ff, nh, kv, v, gated, tied=not gated)


@pytest.mark.parametrize("values", GRID[::5], ids=str)
def test_parameters_are_those_of_the_model_of_transformers(values: tuple[Any, ...]) -> None:
    shape = shape_of(*values)
    config = configured(shape)
    with torch.device("meta"):
        model: Any = T5ForConditionalGeneration(config)
    embedding = model.get_input_embeddings().weight.numel()
    own_head = 0 if shape.tied else embedding  # transformers builds every T5 with a tied head, and unties it on loading
    assert shape.parameters == model.num_parameters() + own_head
    assert shape.parameters_non_embedding == model.num_parameters() - embedding
    assert describe(config).parameters_non_embedding == shape.parameters_non_embedding
    assert t5_shape(config) == shape


# Of version 1.1, exactly: what PEFT prints of mt0-large and flan-t5-xxl, less the LoRA matrices in it
EXACT = {
    "mt0-large": (1_231_940_608 - 2_359_296, (24, 24, 1024, 2816, 16, 64, 250_112)),
    "flan-t5-xxl": (11_154_206_720 - 18_874_368, (24, 24, 4096, 10240, 64, 64, 32_128)),
}


@pytest.mark.parametrize("name", EXACT)
def test_a_gated_t5_has_the_published_parameters_to_the_last_one(name: str) -> None:
    parameters, shape = EXACT[name]
    assert T5Shape(*shape, gated=True, tied=False).parameters == parameters


def test_an_mt5_has_a_gate_and_a_head_of_its_own() -> None:
    shape = t5_shape(MT5Config())
    assert (shape.gated, shape.tied, shape.vocab_size) == (True, False, 250_112)


@pytest.mark.parametrize("values", [(2, 3, 32, 64, 2, 16, 99, False), (3, 1, 48, 100, 3, 8, 256, True)], ids=str)
@pytest.mark.parametrize(("source", "target"), [(12, 12), (20, 5), (4, 17)])
def test_flops_are_those_of_the_products_that_torch_counts(values: tuple[Any, ...], source: int, target: int) -> None:
    """Norms are no products of matrices, and the half of the decoder's scores that is masked is computed as well."""
    from torch.utils.flop_counter import FlopCounterMode

    shape = shape_of(*values)
    config = configured(shape)
    config._attn_implementation = "eager"
    model: Any = T5ForConditionalGeneration(config).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=torch.ones(1, source, dtype=torch.long), decoder_input_ids=torch.ones(1, target).long())
    counted = counter.get_flop_counts()["Global"]
    scores = sum(n for op, n in counted.items() if "bmm" in str(op))
    products = sum(counted.values()) - scores
    el, dl, d, a = shape.encoder_layers, shape.decoder_layers, shape.d_model, shape.heads * shape.d_kv
    norms = 2 * d * (source * (2 * el + 1) + target * (3 * dl + 1))
    assert scores == 4 * a * (el * source**2 + dl * (target**2 + source * target))
    masked = 4 * a * dl * target * (target - 1) // 2
    assert shape.forward_flops(source, target) == pytest.approx(
        (products + norms + scores - masked) / (source + target), rel=1e-12
    )


def test_without_a_context_both_sides_have_as_many_tokens_and_no_scores_count() -> None:
    shape = T5Shape(6, 6, 512, 2048, 8, 64)
    a_pair = 2 * (shape.parameters_met_by_source + shape.parameters_met_by_target)
    assert shape.forward_flops() == a_pair / 2
    positions = 2 * 32 * 8  # looked up
    assert a_pair == 2 * (shape.parameters - positions)  # a pair of tokens meets each weight once
    assert shape.forward_flops(100) == shape.forward_flops(100, 100) > shape.forward_flops()


PUBLISHED = {row["model"]: row for row in read_table_file(published_table("t5_efficient_shapes")).to_pylist()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_that_model_cards_publish(name: str) -> None:
    row = PUBLISHED[name]
    shape = T5Shape(row["layers"], row["layers"], *(row[knob] for knob in ("d_model", "d_ff", "heads", "d_kv")))
    assert shape.parameters == pytest.approx(row["parameters"], rel=1.1e-3)
