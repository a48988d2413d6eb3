from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.sinks import Sinks, first_token_scores
from hypothesis import given
from hypothesis import strategies as st
from tiny import FAMILIES, LAYERS, make_model, make_series

import degen
from degen.errors import CheckpointError, DegenError, NotFiniteError
from degen.forward.loaded_model import ModelInMemory
from degen.text.windows import Sample, Window

CPU = torch.device("cpu")
WITHOUT = ("mamba",)


def a_sample(count: int = 7, length: int = 70) -> Sample:
    draw = np.random.default_rng(1)
    return Sample(
        "t", tuple(Window(i, i // 2, None, 0, 9, draw.integers(400, size=length, dtype=np.int32)) for i in range(count))
    )


def measured(model: Any, sample: Sample, batch_tokens: int = 200, **options: Any) -> dict[str, Any]:
    return Sinks(sample, **options).measure(ModelInMemory(model, sample, batch_tokens, CPU))


@torch.no_grad()
def explicit(model: Any, sample: Sample) -> np.ndarray:
    """Return α₁ of each sequence, layer and head, from eager attention, one sequence at a time."""
    scores = []
    for window in sample.windows:
        ids = torch.from_numpy(window.tokens[:64].astype(np.int64))[None]
        maps = model(input_ids=ids, output_attentions=True, use_cache=False).attentions
        scores.append([[head.double().numpy()[:, 0].sum() / 64 for head in layer[0]] for layer in maps])
    return np.asarray(scores)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in WITHOUT])
def test_sinks_are_those_of_eager_attention(family: str) -> None:
    model, sample = make_model(family, seed=2).double(), a_sample()
    if family == "mixtral":
        model.set_experts_implementation("eager")  # the others have no float64
    before = model.config._attn_implementation
    rows = measured(model, sample)
    assert model.config._attn_implementation == before
    model.set_attn_implementation("eager")
    scores = explicit(model, sample)
    assert scores.shape == (7, LAYERS, 4)
    assert [(row["layer"], row["site"]) for row in rows["layers"]] == [(i, "block") for i in range(1, LAYERS + 1)]
    for row in rows["layers"]:
        own = scores[:, row["layer"] - 1]
        assert row["sink_share"] == pytest.approx((own > 0.3).mean(), abs=1e-8)
        assert row["sink_attention"] == pytest.approx(own.mean(), abs=1e-8)
    (checkpoint,) = rows["checkpoints"]
    assert checkpoint["sink_share"] == pytest.approx((scores > 0.3).mean(), abs=1e-8)
    assert checkpoint["sink_attention"] == pytest.approx(scores.mean(), abs=1e-8)
    assert checkpoint["sink_sequences"] == 7
    documents, by_sequence = np.arange(7) // 2, (scores > 0.3).mean(axis=(1, 2))
    left = np.asarray([by_sequence[documents != d].mean() for d in range(4)])
    assert checkpoint["sink_share_se"] == pytest.approx(np.sqrt(3 / 4 * ((left - left.mean()) ** 2).sum()), abs=1e-8)


def test_a_planted_sink_is_found_and_even_attention_is_none() -> None:
    even = torch.tril(torch.ones(64, 64)) / torch.arange(1, 65).unsqueeze(1)
    planted = torch.zeros(64, 64)
    planted[:, 0] = 1
    scores = first_token_scores(torch.stack([even, planted, torch.eye(64)]).unsqueeze(0))
    expected = [sum(1 / i for i in range(1, 65)) / 64, 1, 1 / 64]
    assert scores.tolist() == [pytest.approx(expected, abs=1e-7)]
    assert expected[0] == pytest.approx(0.074, abs=5e-4)


@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
def test_order_of_sequences_and_heads_changes_no_score(seed: int, tokens: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    attention = torch.rand(3, 4, tokens, tokens, generator=draw).tril()
    attention = attention / attention.sum(-1, keepdim=True)
    scores, order = first_token_scores(attention), torch.randperm(4, generator=draw)
    assert torch.equal(first_token_scores(attention[:, order]), scores[:, order])
    assert torch.equal(first_token_scores(attention.flip(0)), scores.flip(0))
    assert bool((scores >= 1 / tokens).all() and (scores <= 1 + 1e-6).all())


def test_fewer_sequences_are_the_first_and_batches_change_nothing() -> None:
    model, sample = make_model("llama").double(), a_sample()
    whole = measured(model, sample)
    assert measured(model, sample, batch_tokens=64) == {
        table: [{k: pytest.approx(v, abs=1e-12) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
        for table, rows in whole.items()
    }
    few = measured(model, sample, sequences=2)["checkpoints"][0]
    assert few["sink_sequences"] == 2
    assert few["sink_attention"] == pytest.approx(explicit(_eager(model), a_sample(2)).mean(), abs=1e-8)


def _eager(model: Any) -> Any:
    model.set_attn_implementation("eager")
    return model


def test_what_has_no_attention_or_no_long_window_has_a_reason() -> None:
    with pytest.raises(CheckpointError, match="model type 'mamba' gives no attention weights"):
        measured(make_model("mamba"), a_sample())
    with pytest.raises(CheckpointError, match="no window has 64 tokens"):
        measured(make_model("llama"), a_sample(length=60))


def test_attention_that_is_not_finite_is_no_share_of_zero() -> None:
    model = make_model("llama")
    with torch.no_grad():
        next(p for name, p in model.named_parameters() if name.endswith("q_proj.weight")).fill_(torch.nan)
    with pytest.raises(NotFiniteError, match="attention weights are NaN or infinite"):
        measured(model, a_sample())


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_a_scan_keeps_the_other_figures_and_the_reason(family: str, corpus: Path, tmp_path: Path) -> None:
    series = make_series(tmp_path / "series", steps=(1,), family=family)
    settings: dict[str, Any] = {"corpus": corpus, "tokens": 600, "context": 80, "threads": 1}
    run = degen.scan(series, probes=["loss", "sinks"], out=tmp_path / "run", **settings)
    (row,) = run.checkpoints()
    alone = degen.scan(series, probes=["loss"], out=tmp_path / "alone", **settings).checkpoints()[0]
    assert row["status"] == "ok"
    assert row["loss"] == alone["loss"]
    if family == "mamba":
        assert row["reason"] == "sinks not measured: model type 'mamba' gives no attention weights"
        assert row["sink_share"] is None
    else:
        assert row["reason"] is None
        assert 0 <= row["sink_share"] <= 1
        only = degen.scan(series, probes=["sinks"], out=tmp_path / "only", **settings).checkpoints()[0]
        assert only["sink_attention"] == row["sink_attention"]


@pytest.mark.parametrize("options", [{"sequences": 0}, {"sequences": True}, {"tokens": 64}])
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DegenError, match="sequences"):
        Sinks.check(options)
