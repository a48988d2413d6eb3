"""Every stored tensor is taken, known to be harmless, or named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import make_checkpoint, make_tokenizer

import degen
from degen.model.stored_keys import key_mapping
from degen.weights.scaled_tensor import ScaledTensor
from degen.weights.tensor_kinds import is_harmless

Tensors = dict[str, torch.Tensor]
WEIGHTS = "model.safetensors"
HEAD = "lm_head.weight"


def checkpoint(folder: Path, family: str = "llama", change: Callable[[Tensors], Tensors] | None = None,
               **config: Any) -> Path:  # fmt: skip
    """A tiny checkpoint whose stored tensors and configuration are changed after saving."""
    make_tokenizer(make_checkpoint(folder, family, tie_word_embeddings=False))
    if change is not None:
        save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, {"format": "pt"})
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | config))
    return folder


def row_of(folder: Path, corpus: Path, **options: Any) -> dict[str, Any]:
    run = degen.scan(folder, corpus=corpus, tokens=200, context=32, threads=1, out=folder.parent / "run", **options)
    (row,) = run.checkpoints()
    return dict(row)


def fp8(tensors: Tensors) -> Tensors:
    """Store the projections as eight-bit floats, with the scales beside them."""
    out = dict(tensors)
    for key in [k for k in tensors if k.endswith("proj.weight")]:
        scale = tensors[key].abs().max() / 448
        out[key] = (tensors[key] / scale).to(torch.float8_e4m3fn)
        out[f"{key}_scale_inv"] = scale.reshape(1, 1).clone()
    return out


def lora(tensors: Tensors) -> Tensors:
    added = {k.replace(".weight", ".lora_A.weight"): torch.randn(4, 32) for k in tensors if "q_proj" in k}
    return tensors | added


def norms(tensors: Tensors) -> Tensors:
    return tensors | {f"model.layers.{i}.self_attn.q_norm.weight": torch.ones(8) for i in range(2)}


def more_blocks(tensors: Tensors) -> Tensors:
    return tensors | {k.replace("layers.1", "layers.2"): v.clone() for k, v in tensors.items() if "layers.1" in k}


def head_bias(tensors: Tensors) -> Tensors:
    return tensors | {"lm_head.bias": torch.randn(416)}


@pytest.mark.parametrize(
    ("change", "names", "advice"),
    [
        (fp8, "model.layers.0.mlp.down_proj.weight_scale_inv", "give config.json its quantization_config back"),
        (lora, "model.layers.0.self_attn.q_proj.lora_A.weight", "merge it into its base"),
        (norms, "model.layers.0.self_attn.q_norm.weight", "name the model type in config.json"),
        (more_blocks, "model.layers.2.input_layernorm.weight", "config.json"),
        (head_bias, "lm_head.bias", "name the class in config.json"),
    ],
)
def test_a_tensor_that_the_model_does_not_take_fails_the_checkpoint(
    change: Callable[[Tensors], Tensors], names: str, advice: str, corpus: Path, tmp_path: Path
) -> None:
    row = row_of(checkpoint(tmp_path / "model", change=change), corpus)
    assert row["status"] == "failed"
    assert names in row["reason"]
    assert advice in row["reason"]
    assert row["loss"] is row["singular_entropy"] is None


def test_a_part_that_the_text_model_has_not_is_named_and_left_out(corpus: Path, tmp_path: Path) -> None:
    plain = row_of(checkpoint(tmp_path / "plain" / "model"), corpus)
    row = row_of(
        checkpoint(
            tmp_path / "more" / "model",
            change=lambda t: t | {"vision_tower.a.weight": torch.ones(2), "v_head.weight": torch.ones(3)},
        ),
        corpus,
    )
    assert row["reason"] == "left out, as the text model has no such part: v_head, vision_tower"
    assert (row["status"], row["loss"]) == ("ok", plain["loss"])


def test_buffers_that_newer_code_computes_are_harmless(corpus: Path, tmp_path: Path) -> None:
    plain = row_of(checkpoint(tmp_path / "plain" / "model", "gpt_neox"), corpus)

    def old(tensors: Tensors) -> Tensors:
        block = "gpt_neox.layers.0.attention"
        return tensors | {
            f"{block}.bias": torch.ones(1, 1, 8, 8, dtype=torch.bool), f"{block}.masked_bias": torch.tensor(-1e9),
            f"{block}.rotary_emb.inv_freq": torch.ones(1),
        }  # fmt: skip

    row = row_of(checkpoint(tmp_path / "old" / "model", "gpt_neox", old), corpus)
    assert (row["status"], row["reason"], row["loss"]) == ("ok", None, plain["loss"])
    assert not is_harmless("h.0.attn.c_attn.bias")
    assert not is_harmless("gpt_neox.layers.0.attention.dense.bias")


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "_orig_mod.module."])
def test_names_that_a_wrapper_of_torch_put_something_before_are_read(prefix: str, corpus: Path, tmp_path: Path) -> None:
    plain = row_of(checkpoint(tmp_path / "plain" / "model"), corpus)
    wrapped = checkpoint(tmp_path / "w" / "model", change=lambda t: {prefix + k: v for k, v in t.items()})
    row = row_of(wrapped, corpus)
    assert (row["status"], row["loss"], row["singular_entropy"]) == ("ok", plain["loss"], plain["singular_entropy"])
    assert key_mapping(["model.a", "_orig_mod.model.b"]) is None


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma", "gpt2"])
def test_a_tied_configuration_whose_file_has_a_head_of_its_own(family: str, corpus: Path, tmp_path: Path) -> None:
    plain = row_of(checkpoint(tmp_path / "plain" / "model", family), corpus)
    row = row_of(checkpoint(tmp_path / "tied" / "model", family, tie_word_embeddings=True), corpus)
    assert plain["tied"] is False
    for name in ("status", "tied", "parameters", "parameters_non_embedding", "loss", "singular_entropy"):
        assert row[name] == plain[name], name
    head = row_of(tmp_path / "tied" / "model", corpus, probes=["spectrum"], fresh=True)
    assert (head["tied"], head["parameters"]) == (False, plain["parameters"])


def test_a_tied_configuration_whose_file_has_the_embedding_twice_is_tied(corpus: Path, tmp_path: Path) -> None:
    def twice(tensors: Tensors) -> Tensors:
        return tensors | {HEAD: tensors["model.embed_tokens.weight"].clone()}

    row = row_of(checkpoint(tmp_path / "model", change=twice, tie_word_embeddings=True), corpus)
    assert (row["status"], row["tied"]) == ("ok", True)


def test_an_untied_configuration_without_a_head_says_what_to_set(corpus: Path, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model", change=lambda t: {k: v for k, v in t.items() if k != HEAD})
    reason = row_of(folder, corpus)["reason"]
    assert "do not hold lm_head.weight" in reason
    assert "set tie_word_embeddings to true" in reason


def blocks_of(scale: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """The scale of every element, by brute force."""
    return torch.stack([torch.stack([scale[i // 128, j // 16] for j in range(columns)]) for i in range(rows)])


@pytest.mark.parametrize("kind", ["tensor", "row", "block"])
def test_a_head_of_eight_bit_floats_is_multiplied_by_its_scales(kind: str, corpus: Path, tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    scale = {
        "tensor": torch.tensor(0.02), "row": 0.01 + torch.rand(416, 1, generator=draw),
        "block": 0.01 + torch.rand(4, 2, generator=draw),
    }[kind]  # fmt: skip
    kept: Tensors = {}

    def quantise(tensors: Tensors) -> Tensors:
        kept["q"] = tensors[HEAD].to(torch.float8_e4m3fn)
        return tensors | {HEAD: kept["q"], f"{HEAD}_scale_inv": scale}

    quantisation = {"quant_method": "fp8", "weight_block_size": [128, 16]}
    folder = checkpoint(tmp_path / "model", change=quantise, quantization_config=quantisation)
    row = row_of(folder, corpus, probes=["spectrum"])
    factors = scale if kind != "block" else blocks_of(scale, 416, 32)
    W = (kept["q"].double() * factors.double())[:400].numpy()
    p = np.linalg.svd(W, compute_uv=False) ** 2
    p /= p.sum()
    assert row["singular_entropy"] == pytest.approx((p * np.log(p * len(p))).sum(), abs=1e-6)


def test_scales_of_another_shape_fit_no_block() -> None:
    assert ScaledTensor.block_of((416, 32), (4, 2), (128, 16)) == (128, 16)
    assert ScaledTensor.block_of((416, 32), (3, 2), (128, 16)) is None
    assert ScaledTensor.block_of((416, 32), (), (128, 16)) == (416, 32)


@pytest.mark.parametrize(
    ("added", "advice"),
    [
        ({"lm_head.weight_scale": torch.ones(5)}, "scales or packed values"),
        ({"lm_head.qzeros": torch.ones(5)}, "scales or packed values"),
        ({"lm_head.lora_B.weight": torch.ones(416, 2)}, "an adapter that was not merged"),
        ({"lm_head.bias": torch.ones(416)}, "a bias of the LM head"),
        ({HEAD: torch.ones(416, 32, dtype=torch.int8)}, "stored as int8"),
    ],
)
def test_what_is_stored_beside_the_head_fails_its_spectrum(
    added: Tensors, advice: str, corpus: Path, tmp_path: Path
) -> None:
    row = row_of(checkpoint(tmp_path / "model", change=lambda t: t | added), corpus, probes=["spectrum"])
    assert row["status"] == "failed"
    assert advice in row["reason"]


def test_a_bias_that_the_head_of_a_class_has_is_no_fault(corpus: Path, tmp_path: Path) -> None:
    assert row_of(checkpoint(tmp_path / "model", "phi"), corpus, probes=["spectrum"])["status"] == "ok"
