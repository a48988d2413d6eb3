"""What the identity check and the watching of blocks are for, on models that need them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from tiny import make_checkpoint, make_corpus, make_tokenizer, pile

import degen


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("texts") / "texts.jsonl", pile(9, ragged=True))


def scan(folder: Path, texts: Path, **options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the row of a checkpoint and the windows it was scanned with."""
    out = folder.parent / "run"
    run = degen.scan(folder, corpus=texts, tokens=500, context=64, batch_size=4, threads=1, out=out, **options)
    (row,) = run.checkpoints()
    return dict(row), pq.read_table(out / "sample.parquet").to_pylist()


def loss_alone(folder: Path, sample: list[dict[str, Any]]) -> float:
    """The loss of every window alone, in float64."""
    from transformers import AutoModelForCausalLM

    return loss_of(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), sample)


def loss_of(model: Any, sample: list[dict[str, Any]]) -> float:
    """The loss of every window alone by a model that is loaded, in float64."""
    model = model.double().eval()
    nats, tokens = 0.0, 0
    with torch.no_grad():
        for window in sample:
            ids = torch.tensor([window["tokens"]])
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
            nats += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
            tokens += ids.shape[1] - 1
    return nats / tokens


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "dynamic", "factor": 4.0},
        {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0, 3.0, 4.0, 5.0], "factor": 8.0,
         "original_max_position_embeddings": 32},
    ],
)  # fmt: skip
def test_windows_beyond_the_first_context_give_what_each_gives_alone(
    rope: dict[str, Any], texts: Path, tmp_path: Path
) -> None:
    folder = make_checkpoint(tmp_path / "model", "llama", max_position_embeddings=32,
                             rope_parameters=rope | {"rope_theta": 10000.0})  # fmt: skip
    make_tokenizer(folder)
    row, sample = scan(folder, texts)
    lengths = {len(w["tokens"]) for w in sample}
    assert min(lengths) < 32 < max(lengths)
    assert (row["status"], row["reason"]) == ("ok", None)
    assert row["loss"] == pytest.approx(loss_alone(folder, sample), abs=2e-5)


@pytest.mark.parametrize("context", [16, 64])
def test_a_model_that_sees_what_follows_is_told_so(context: int, texts: Path, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "model", "llama")
    make_tokenizer(folder)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"is_causal": False}))
    run = degen.scan(folder, corpus=texts, tokens=200, context=context, threads=1, out=tmp_path / "run")
    (row,) = run.checkpoints()
    assert row["status"] == "failed"
    assert "model type 'llama' sees what follows" in row["reason"]
    assert "Set is_decoder or is_causal in config.json" in row["reason"]
    head = degen.scan(folder, corpus=texts, tokens=200, probes=["spectrum"], out=tmp_path / "head").checkpoints()
    assert head[0]["status"] == "ok"


def test_the_head_of_a_model_that_is_no_causal_lm_is_measured(texts: Path, tmp_path: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    folder = make_tokenizer(tmp_path / "t5")
    T5ForConditionalGeneration(
        T5Config(vocab_size=416, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    ).save_pretrained(folder)
    row, _ = scan(folder, texts)
    assert (row["status"], row["loss"]) == ("ok", None)
    assert row["singular_entropy"] > 0
    assert row["reason"].endswith(
        "model type 't5' is an encoder with a decoder and no causal LM; only its head is measured"
    )
    row, _ = scan(folder, texts, probes=["loss"], fresh=True)
    assert row["status"] == "failed"


def test_a_model_of_text_and_images_is_measured_on_text(texts: Path, tmp_path: Path) -> None:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = {
        "vocab_size": 416, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
    }  # fmt: skip
    vision = {"depth": 2, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32,
              "fullatt_block_indexes": [0]}  # fmt: skip
    folder = make_tokenizer(tmp_path / "vl")
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision)).eval()
    model.save_pretrained(folder)
    row, sample = scan(folder, texts)
    assert (row["status"], row["layers"]) == ("ok", 3)
    assert row["loss"] == pytest.approx(loss_of(model, sample), abs=2e-5)
