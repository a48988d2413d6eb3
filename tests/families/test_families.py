"""Every architecture against a twin in float64 that shares no line with the engine."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file
from tiny import FAMILIES, LAYERS, VOCABULARY, make_series
from transformers import AutoModelForCausalLM

import degen
from degen.model.logit_transform import LogitTransform

# Where each family keeps its blocks, what its files call the head, and its learned positions; everything here is
# written by hand, so that a guess of the engine has something to be wrong against.
BLOCKS = {
    "gpt_neox": "gpt_neox.layers",
    "gpt2": "transformer.h",
    "gptj": "transformer.h",
    "falcon": "transformer.h",
    "bloom": "transformer.h",
    "opt": "model.decoder.layers",
    "opt-350m": "model.decoder.layers",
    "mamba": "backbone.layers",
}
HEADS = {
    "gpt_neox": "embed_out.weight",
    "gpt2": "transformer.wte.weight",
    "falcon": "transformer.word_embeddings.weight",
    "bloom": "transformer.word_embeddings.weight",
    "opt": "model.decoder.embed_tokens.weight",
    "opt-350m": "model.decoder.embed_tokens.weight",
    "mamba": "backbone.embeddings.weight",
    "gemma": "model.embed_tokens.weight",
    "gemma2": "model.embed_tokens.weight",
    "gemma3_text": "model.embed_tokens.weight",
    "cohere": "model.embed_tokens.weight",
}
POSITION_ROWS = {"gpt2": 256, "opt": 256 + 2, "opt-350m": 256 + 2}
TIED = {"gpt2", "falcon", "bloom", "opt", "opt-350m", "mamba", "gemma", "gemma2", "gemma3_text", "cohere"}
WITH_BOS = {"gemma", "gemma2", "gemma3_text", "llama"}


@dataclass
class Twin:
    """All states, losses and weights of a checkpoint, each window run alone and unpadded in float64."""

    folder: Path
    family: str
    sample: list[dict[str, Any]]

    @cached_property
    def model(self) -> Any:
        return (
            AutoModelForCausalLM.from_pretrained(
                self.folder, dtype=torch.float32, experts_implementation="eager" if self.family == "mixtral" else None
            )
            .double()
            .eval()
        )

    @cached_property
    def blocks(self) -> Any:
        return self.model.get_submodule(BLOCKS.get(self.family, "model.layers"))

    @cached_property
    def passed(self) -> list[dict[str, Any]]:
        passed: list[dict[str, Any]] = []
        caught: dict[str, torch.Tensor] = {}

        def first(_module: Any, args: Any, kwargs: Any) -> None:
            caught["first"] = args[0] if args else kwargs["hidden_states"]

        def last(_module: Any, _args: Any, out: Any) -> None:
            caught["last"] = out[0] if isinstance(out, tuple) else out

        def head(_module: Any, args: Any) -> None:
            caught["head"] = args[0]

        handles = [
            self.blocks[0].register_forward_pre_hook(first, with_kwargs=True),
            self.blocks[-1].register_forward_hook(last),
            self.model.lm_head.register_forward_pre_hook(head),
        ]
        with torch.no_grad():
            for window in self.sample:
                ids = torch.tensor([window["tokens"]])
                out = self.model(input_ids=ids, output_hidden_states=True, use_cache=False)
                losses = torch.nn.functional.cross_entropy(out.logits[0, :-1], ids[0, 1:], reduction="none")
                inner = out.hidden_states[:LAYERS] if self.family == "mamba" else out.hidden_states[1:LAYERS]
                sites = {(0, "embedding"): caught["first"][0], (LAYERS, "head_input"): caught["head"][0]}
                sites |= {(i, "block"): h[0] for i, h in enumerate(inner[: LAYERS - 1], 1)}
                sites[LAYERS, "block"] = caught["last"][0]
                passed.append({"sites": sites, "losses": losses, "out": out})
        for handle in handles:
            handle.remove()
        return passed

    @cached_property
    def documents(self) -> np.ndarray:
        """Return the document of every token."""
        return np.concatenate([[w["document"]] * len(w["tokens"]) for w in self.sample])

    def states(self, site: tuple[int, str]) -> np.ndarray:
        return torch.cat([p["sites"][site] for p in self.passed]).double().numpy()

    @cached_property
    def losses(self) -> np.ndarray:
        return torch.cat([p["losses"] for p in self.passed]).numpy()

    @cached_property
    def scored_documents(self) -> np.ndarray:
        return np.concatenate([[w["document"]] * (len(w["tokens"]) - 1) for w in self.sample])

    @cached_property
    def head(self) -> np.ndarray:
        return load_file(self.folder / "model.safetensors")[HEADS.get(self.family, "lm_head.weight")]


def mean_cosine(states: np.ndarray) -> float:
    unit = states / np.linalg.norm(states, axis=1, keepdims=True)
    cosines = unit @ unit.T
    return float(cosines[~np.eye(len(unit), dtype=bool)].mean())


def without_each(documents: np.ndarray, statistic: Any) -> float:
    """Return the delete-one-document jackknife error, everything computed anew without the document."""
    left = [statistic(documents != d) for d in sorted(set(documents.tolist()))]
    count = len(left)
    mean = sum(left) / count
    return math.sqrt((count - 1) / count * sum((x - mean) ** 2 for x in left))


@pytest.fixture(scope="module", params=list(FAMILIES))
def scanned(request: pytest.FixtureRequest, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Scan a family's series end to end; return the run and the twin of each checkpoint."""
    family, root = request.param, tmp_path_factory.mktemp("family")
    steps = (0, 64) if family in ("gpt_neox", "opt-350m", "gemma2") else (64,)
    series = make_series(root / family, steps=steps, family=family, bos=family in WITH_BOS)
    run = degen.scan(series, corpus=texts, tokens=401, context=48, batch_size=4, out=root / "run")
    assert [(row["status"], row["reason"]) for row in run.checkpoints()] == [("ok", None)] * len(steps)
    sample = pq.read_table(root / "run" / "sample.parquet").to_pylist()
    assert len({len(w["tokens"]) for w in sample}) > 3  # some windows are padded
    return run, {step: Twin(series / f"step{step}", family, sample) for step in steps}


def rows_of(run: Any, table: str, step: int) -> list[dict[str, Any]]:
    return [row for row in run.table(table).to_pylist() if row["step"] == step]


def each(scanned: Any) -> Any:
    run, twins = scanned
    for step, twin in twins.items():
        yield run, step, twin, rows_of(run, "checkpoints", step)[0]


def test_loss_is_that_of_the_whole_model_in_float64(scanned: Any) -> None:
    for _run, _step, twin, row in each(scanned):
        assert row["tokens_scored"] == len(twin.losses) == 401 - len(twin.sample)
        assert row["loss"] == pytest.approx(twin.losses.mean(), abs=1e-5)
        assert row["perplexity"] == pytest.approx(math.exp(row["loss"]), rel=1e-12)
        size = sum(w["bytes"] for w in twin.sample)
        assert row["bits_per_byte"] == pytest.approx(twin.losses.sum() / math.log(2) / size, abs=1e-5)
        error = without_each(twin.scored_documents, lambda keep, twin=twin: twin.losses[keep].mean())
        assert row["loss_se"] == pytest.approx(error, abs=1e-5)
        assert error > 0


def test_every_window_has_its_own_loss(scanned: Any) -> None:
    for run, step, twin, _row in each(scanned):
        windows = rows_of(run, "windows", step)
        assert [w["window"] for w in windows] == list(range(len(twin.sample)))
        for window, drawn, passed in zip(windows, twin.sample, twin.passed, strict=True):
            assert (window["document"], window["domain"]) == (drawn["document"], drawn["domain"])
            assert window["tokens"] == len(drawn["tokens"]) - 1
            assert window["loss"] == pytest.approx(float(passed["losses"].mean()), abs=3e-5)


def test_anisotropy_of_every_site_is_the_mean_of_the_cosine_matrix(scanned: Any) -> None:
    for run, step, twin, row in each(scanned):
        layers = {(r["layer"], r["site"]): r for r in rows_of(run, "layers", step)}
        blocks = [(i, "block") for i in range(1, LAYERS + 1)]
        assert list(layers) == [(0, "embedding"), *blocks, (LAYERS, "head_input")]
        same = twin.documents[:, None] == twin.documents
        for site, layer in layers.items():
            states = twin.states(site)
            unit = states / np.linalg.norm(states, axis=1, keepdims=True)
            cosines, apart = unit @ unit.T, ~np.eye(len(unit), dtype=bool)
            assert layer["anisotropy"] == pytest.approx(cosines[apart].mean(), abs=1e-6), site
            assert layer["anisotropy_within"] == pytest.approx(cosines[same & apart].mean(), abs=1e-6), site
            assert layer["anisotropy_across"] == pytest.approx(cosines[~same].mean(), abs=1e-6), site
            assert layer["mean_norm"] == pytest.approx(np.linalg.norm(states, axis=1).mean(), rel=1e-5), site
            assert layer["zero_vectors"] == 0
            error = without_each(twin.documents, lambda keep, states=states: mean_cosine(states[keep]))
            assert layer["anisotropy_se"] == pytest.approx(error, abs=1e-6), site
        last = layers[LAYERS, "head_input"]
        assert (row["anisotropy"], row["anisotropy_se"]) == (last["anisotropy"], last["anisotropy_se"])
        assert abs(last["anisotropy"] - layers[LAYERS, "block"]["anisotropy"]) > 1e-6 or twin.family == "opt-350m"


def test_spectrum_is_numpys_of_the_used_rows(scanned: Any) -> None:
    for run, step, twin, row in each(scanned):
        stored = twin.head
        assert (row["vocab_size"], row["head_size"]) == stored.shape
        assert row["vocab_used"] == VOCABULARY < len(stored)
        assert row["head_sha256"] == hashlib.sha256(stored.tobytes()).hexdigest()
        values = np.linalg.svd(stored[:VOCABULARY].astype(np.float64), compute_uv=False)
        spectrum = rows_of(run, "spectrum", step)
        assert [s["index"] for s in spectrum] == list(range(stored.shape[1]))
        assert np.allclose([s["singular_value"] for s in spectrum], values, rtol=1e-12, atol=0)
        p, q = values**2 / (values**2).sum(), values / values.sum()
        assert row["singular_entropy"] == pytest.approx((p * np.log(p * len(p))).sum(), abs=1e-9)
        assert row["singular_entropy_sigma"] == pytest.approx((q * np.log(q * len(q))).sum(), abs=1e-9)
        assert row["effective_rank"] == pytest.approx(math.exp(-(q * np.log(q)).sum()), abs=1e-9)
        assert row["stable_rank"] == pytest.approx((values**2).sum() / values[0] ** 2, abs=1e-9)
        assert row["top_singular_share"] == pytest.approx(p[0], abs=1e-9)


def test_columns_that_describe_the_model_are_those_of_transformers(scanned: Any) -> None:
    for _run, _step, twin, row in each(scanned):
        model, family = twin.model, twin.family
        assert row["architecture"] == type(model).__name__
        assert row["parameters"] == model.num_parameters()
        assert row["tied"] is (family in TIED)
        embeddings = model.get_input_embeddings().weight.numel() + POSITION_ROWS.get(family, 0) * 32
        embeddings += 0 if row["tied"] else model.lm_head.weight.numel()
        assert row["parameters_non_embedding"] == model.num_parameters() - embeddings
        assert (row["layers"], row["hidden_size"]) == (LAYERS, 32)
        assert row["head_size"] == (16 if family == "opt-350m" else 32)


def test_the_reference_model_has_the_states_that_its_head_receives(scanned: Any) -> None:
    """Its own hooks against what transformers hands out, so that a fault of the twin cannot excuse one of ours."""
    for _run, _step, twin, _row in each(scanned):
        passed = twin.passed[0]
        head, out = passed["sites"][LAYERS, "head_input"], passed["out"]
        logits = head @ twin.model.lm_head.weight.T
        logits = logits + twin.model.lm_head.bias if getattr(twin.model.lm_head, "bias", None) is not None else logits
        if twin.family == "cohere":
            logits = logits * 0.25
        if twin.family == "granite":
            logits = logits / 3.0
        if twin.family == "gemma2":
            assert logits.abs().max() > 2.5  # the cap of 5 bends them
            logits = 5.0 * torch.tanh(logits / 5.0)
        rounding = 1e-5 if twin.family == "mamba" else 1e-9  # Mamba hands out float32
        assert torch.allclose(logits, out.logits[0].double(), rtol=rounding, atol=rounding)
        if twin.family == "opt-350m":
            assert out.hidden_states[-1].shape[-1] == 16  # no 32-wide last block in it at all
        assert torch.equal(out.hidden_states[-1][0], head)
        if twin.family != "mamba":
            assert torch.equal(out.hidden_states[0][0], passed["sites"][0, "embedding"])


@pytest.mark.parametrize("family", ["gemma2", "cohere", "granite"])
def test_a_wrong_logit_transform_fails_the_checkpoint(
    family: str, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = make_series(tmp_path / "series", steps=(1,), family=family)
    monkeypatch.setattr("degen.forward.fit_transform.fit_transform", lambda *_: (LogitTransform(), False))
    run = degen.scan(series, corpus=texts, tokens=200, context=32, out=tmp_path / "run")
    (row,) = run.checkpoints()
    assert row["status"] == "failed"
    assert f"identity check failed for model type '{family}'" in row["reason"]
    assert row["loss"] is row["anisotropy"] is row["singular_entropy"] is None
    assert run.tables == ["checkpoints", "domains", "layers", "spectrum", "timing", "windows"]
    assert all(len(run.table(name)) == 0 for name in ("layers", "windows", "spectrum"))


def test_a_wrong_head_fails_the_checkpoint(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = make_series(tmp_path / "series", steps=(1,), family="phi")
    torch_linear = torch.nn.functional.linear
    monkeypatch.setattr(
        torch.nn.functional, "linear", lambda h, W, b=None: torch_linear(h, W, b if len(W) != 416 else None)
    )
    # transformers' Linear calls the same function: give its head the bias back, so that only ours lacks it
    from transformers.models.phi.modeling_phi import PhiForCausalLM

    original = PhiForCausalLM.forward

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        out = original(self, *args, **kwargs)
        out.logits = out.logits + self.lm_head.bias
        return out

    monkeypatch.setattr(PhiForCausalLM, "forward", forward)
    run = degen.scan(series, corpus=texts, tokens=200, context=32, out=tmp_path / "run")
    assert "identity check failed for model type 'phi'" in run.checkpoints()[0]["reason"]


@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_half_precision_files_are_upcast_and_read_as_they_are(stored: str, texts: Path, tmp_path: Path) -> None:
    series = make_series(tmp_path / "series", steps=(1,), family="llama", dtype=stored)
    run = degen.scan(series, corpus=texts, tokens=301, context=32, out=tmp_path / "run")
    (row,) = run.checkpoints()
    twin = Twin(series / "step1", "llama", pq.read_table(tmp_path / "run" / "sample.parquet").to_pylist())
    assert row["loss"] == pytest.approx(twin.losses.mean(), abs=1e-5)
    assert row["anisotropy"] == pytest.approx(mean_cosine(twin.states((LAYERS, "head_input"))), abs=1e-6)
    head = twin.model.lm_head.weight[:VOCABULARY].detach().numpy()
    values = np.linalg.svd(head, compute_uv=False)
    p = values**2 / (values**2).sum()
    assert row["singular_entropy"] == pytest.approx((p * np.log(p * len(p))).sum(), abs=1e-9)


@pytest.mark.parametrize("family", ["gpt_neox", "gemma2", "opt-350m"])
def test_a_pass_in_bfloat16_holds_its_identity_and_stays_near(family: str, texts: Path, tmp_path: Path) -> None:
    series = make_series(tmp_path / "series", steps=(1,), family=family)
    run = degen.scan(series, corpus=texts, tokens=301, context=32, dtype="bfloat16", out=tmp_path / "run")
    (row,) = run.checkpoints()
    assert row["status"] == "ok"
    twin = Twin(series / "step1", family, pq.read_table(tmp_path / "run" / "sample.parquet").to_pylist())
    assert row["loss"] == pytest.approx(twin.losses.mean(), abs=0.1)
    assert {t["dtype"] for t in run.table("timing").to_pylist()} == {"bfloat16"}
