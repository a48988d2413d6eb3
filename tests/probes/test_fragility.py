from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.fragility import Fragility, noise_for
from hypothesis import given
from hypothesis import strategies as st
from tiny import make_model, make_series, make_tokenizer

import degen
from degen.callbacks import measure_model
from degen.errors import DegenError
from degen.forward.loaded_model import ModelInMemory
from degen.text.windows import Sample, Window

CPU = torch.device("cpu")


def a_sample(lengths: tuple[int, ...] = (24, 24, 17, 24, 9)) -> Sample:
    draw = np.random.default_rng(1)
    windows = (Window(i, i // 2, None, 0, 9, draw.integers(400, size=n, dtype=np.int32)) for i, n in enumerate(lengths))
    return Sample("t", tuple(windows))


def state_bytes(model: Any) -> dict[str, bytes]:
    return {
        name: tensor.contiguous().view(torch.uint8).numpy().tobytes() for name, tensor in model.state_dict().items()
    }


@torch.no_grad()
def sums(model: Any, sample: Sample) -> np.ndarray:
    """Return the summed loss of each window by the model itself, one window at a time."""
    totals = []
    for window in sample.windows:
        ids = torch.from_numpy(window.tokens.astype(np.int64))
        logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1].double()
        totals.append(float(torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum")))
    return np.asarray(totals)


@pytest.mark.parametrize("family", ["gpt_neox", "gpt2", "gemma2", "opt-350m", "cohere", "bloom", "qwen3", "falcon"])
def test_the_rise_is_that_of_a_copy_with_the_noise_in_its_weights(family: str) -> None:
    model, sample = make_model(family, scale=3.0).double(), a_sample()
    before = state_bytes(model)
    probe = Fragility(sample, shares=(0.3, 0.05), draws=2, tokens=10_000, seed=4)
    rows = probe.measure(ModelInMemory(model, sample, 60, CPU))
    assert state_bytes(model) == before
    assert [row["noise_share"] for row in rows["fragility"]] == [0.05, 0.3]
    plain, scored = sums(model, sample), sum(len(w.tokens) - 1 for w in sample.windows)
    for row in rows["fragility"]:
        rises = []
        for draw in range(2):
            noisy = copy.deepcopy(model)
            with torch.no_grad():
                for name, parameter in noisy.named_parameters():
                    own = model.get_parameter(name)
                    parameter.copy_(noise_for(name, own, row["noise_share"], 4 + draw))
                    apart = (parameter - own).norm()
                    assert float(apart) == pytest.approx(row["noise_share"] * float(own.norm()), rel=1e-9)
            rises.append((sums(noisy, sample) - plain).sum() / scored)
        assert row["loss_rise"] == pytest.approx(np.mean(rises), abs=1e-8)
        assert row["loss_rise_sd"] == pytest.approx(np.std(rises, ddof=1), abs=1e-8)
        assert row["loss_rise_se"] >= row["loss_rise_sd"] / np.sqrt(len(rises))
        assert row["noisy_loss"] == pytest.approx(np.mean(rises) + plain.sum() / scored, abs=1e-8)
    assert rows["checkpoints"] == [{"fragility": rows["fragility"][-1]["loss_rise"]}]
    assert abs(rows["fragility"][0]["loss_rise"]) < abs(rows["fragility"][1]["loss_rise"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_are_the_same_to_the_bit_behind_an_error(dtype: torch.dtype) -> None:
    model, sample = make_model("gpt2").to(dtype), a_sample()
    before, pointers = state_bytes(model), {n: p.data_ptr() for n, p in model.named_parameters()}
    calls: list[int] = []

    def fail(*_: Any) -> None:
        calls.append(1)
        if len(calls) > 8:
            raise ValueError("stop")

    handle = model.transformer.h[0].register_forward_pre_hook(fail)
    with pytest.raises(ValueError, match="stop"):
        Fragility(sample, tokens=10_000).measure(ModelInMemory(model, sample, 24, CPU))
    handle.remove()
    assert len(calls) > 8
    assert state_bytes(model) == before
    assert {n: p.data_ptr() for n, p in model.named_parameters()} == pointers
    assert model.lm_head.weight is model.transformer.wte.weight


@given(st.integers(0, 2**32 - 1), st.floats(0.001, 2.0), st.integers(1, 30))
def test_noise_has_the_share_of_the_norm_and_depends_on_name_and_seed_alone(seed: int, share: float, size: int) -> None:
    W = torch.randn(size, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    noisy = noise_for("a", W, share, 1)
    assert float((noisy - W).norm() / W.norm()) == pytest.approx(share, rel=1e-9)
    assert torch.equal(noisy, noise_for("a", W, share, 1))
    assert torch.allclose((noise_for("a", 2 * W, share, 1) - 2 * W) / 2, noisy - W, rtol=1e-9)
    assert torch.allclose((noise_for("a", W, share / 2, 1) - W) * 2, noisy - W, rtol=1e-6, atol=1e-12)
    for other in (noise_for("b", W, share, 1), noise_for("a", W, share, 2)):
        assert not torch.equal(other, noisy)


def test_a_tensor_of_zeros_stays_as_it_is() -> None:
    assert torch.equal(noise_for("a", torch.zeros(3, 2), 0.5, 0), torch.zeros(3, 2))


def test_noise_that_breaks_the_model_is_a_row_with_a_reason() -> None:
    model, sample = make_model("gpt2"), a_sample()
    with torch.no_grad():
        model.transformer.h[1].mlp.c_fc.weight.mul_(1e37)
    rows = Fragility(sample, shares=(0.1,), draws=1).measure(Overflowing(model, sample, 60, CPU))
    assert rows["fragility"][0]["loss_rise"] is None
    assert "NaN or infinite" in rows["fragility"][0]["reason"]
    assert rows["checkpoints"] == [
        {"fragility": None, "reason": "no fragility: the loss of some tokens is NaN or infinite"}
    ]


class Overflowing(ModelInMemory):
    """A model whose loss without noise is read from elsewhere, since its own is not finite either."""

    done = False

    def losses(self, windows: Any) -> Any:
        if not self.done:
            self.done = True
            return np.ones(len(windows))
        return super().losses(windows)


def test_a_scan_fills_the_table_and_leaves_the_other_figures_as_they_are(corpus: Path, tmp_path: Path) -> None:
    series = make_series(tmp_path / "series", steps=(1, 2))
    settings: dict[str, Any] = {"corpus": corpus, "tokens": 400, "context": 40, "threads": 1}
    options = {"fragility": {"shares": (0.05,), "draws": 1, "tokens": 200}}
    run = degen.scan(series, probes=["loss", "fragility"], options=options, out=tmp_path / "run", **settings)
    alone = degen.scan(series, probes=["loss"], out=tmp_path / "alone", **settings)
    rows = run.table("fragility").to_pylist()
    for row, checkpoint, plain in zip(rows, run.checkpoints(), alone.checkpoints(), strict=True):
        assert (checkpoint["loss"], checkpoint["reason"]) == (plain["loss"], None)
        assert checkpoint["fragility"] == row["loss_rise"] != 0
        assert row["noise_share"] == 0.05


@pytest.mark.parametrize(
    "options",
    [
        {"shares": []},
        {"shares": [0.0]},
        {"shares": ["a"]},
        {"shares": 0.1},
        {"shares": [10]},
        {"seed": -1},
        {"draws": 0},
        {"tokens": 1.5},
        {"size": 3},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DegenError, match="fragility"):
        Fragility.check(options)


def test_a_model_in_training_is_measured_and_left_as_it_is(corpus: Path, tmp_path: Path) -> None:
    model = make_model("gpt2").train()
    before, kind = state_bytes(model), model.config._attn_implementation
    options = {"fragility": {"shares": (0.1,), "draws": 1, "tokens": 200}}
    row = measure_model(
        model, make_tokenizer(tmp_path), corpus=corpus, tokens=400, context=80, options=options,
        probes=["loss", "sinks", "fragility"],
    )  # fmt: skip
    assert row["reason"] is None
    assert row["fragility"] != 0
    assert 0 < row["sink_attention"] < 1
    assert state_bytes(model) == before
    assert (model.training, model.config._attn_implementation) == (True, kind)
    assert all(parameter.requires_grad for parameter in model.parameters())
