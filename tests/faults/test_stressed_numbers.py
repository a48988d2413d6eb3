"""Checkpoints at the edge of what numbers hold: each figure is right, or absent with a reason."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import PADDED, VOCABULARY, make_checkpoint, make_corpus, make_tokenizer
from transformers import AutoModelForCausalLM

import degen

Tensors = dict[str, torch.Tensor]
WEIGHTS, HEAD, NORM, EMBEDDING = (
    "model.safetensors", "embed_out.weight", "gpt_neox.final_layer_norm", "gpt_neox.embed_in.weight"
)  # fmt: skip
OF_STATES = (
    "common_mode", "isoscore", "massive_activations", "outlier_dimensions", "participation_ratio", "rankme",
    "self_similarity", "state_spectrum", "two_nn",
)  # fmt: skip
OF_HEAD = ("spectrum", "head_spectra", "head_tail", "head_frequency", "isotropy", "unargmaxable")
PROBES = ("loss", "anisotropy", *OF_STATES, *OF_HEAD, "rank", "weights", "lens", "sinks", "fragility")
# Columns that are empty where there is nothing to say: names of what a row is not of, and what was not asked for.
NO_FIGURES = {"reason", "duplicate_of", "domain", "layer", "matrix", "baseline", "tokens_seen", "training_flops"}
MORE = pytest.mark.faults  # alike others that `make test` tries
SCAN: dict[str, Any] = {"tokens": 640, "context": 64, "threads": 1, "options": {"rank": {"ranks": [1]}}}


def add_massive(tensors: Tensors) -> None:
    tensors[EMBEDDING][:, 3] += 1e5


def add_one_massive(tensors: Tensors) -> None:
    tensors[EMBEDDING][7, 3] = 1e5


def clear_states(tensors: Tensors) -> None:
    tensors[f"{NORM}.weight"].zero_()
    tensors[f"{NORM}.bias"].zero_()


def make_constant(tensors: Tensors) -> None:
    tensors[f"{NORM}.weight"].zero_()
    tensors[f"{NORM}.bias"].fill_(0.7)


def clear_embedding(tensors: Tensors) -> None:
    tensors[EMBEDDING].zero_()


def clear_half_the_embedding(tensors: Tensors) -> None:
    tensors[EMBEDDING][::2].zero_()


def lower_rank(tensors: Tensors) -> None:
    draw = torch.Generator().manual_seed(0)
    rows, width = tensors[HEAD].shape
    tensors[HEAD].copy_(torch.randn(rows, 5, generator=draw) @ torch.randn(5, width, generator=draw))


def make_rows_equal(tensors: Tensors) -> None:
    tensors[HEAD].fill_(1.0)


def scale_head(factor: float) -> Callable[[Tensors], None]:
    def scale(tensors: Tensors) -> None:
        tensors[HEAD].mul_(factor)

    return scale


def put(key: str, index: Any, value: float) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[key][index] = value

    return change


def checkpoint(folder: Path, change: Callable[[Tensors], None] | None, **options: Any) -> Path:
    """Make a tiny GPT-NeoX whose stored tensors are changed."""
    make_tokenizer(make_checkpoint(folder, **options))
    if change is not None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    return folder


def tables(run: degen.Run) -> dict[str, list[dict[str, Any]]]:
    return {name: run.table(name).to_pylist() for name in sorted(run.tables) if name != "timing"}


def check_nothing_silent(
    rows_of: dict[str, list[dict[str, Any]]], plain: dict[str, list[dict[str, Any]]], one_document: bool = False
) -> None:
    """Check that no value is NaN, and that none is absent without a reason that a sound checkpoint has.

    Infinite may be what is above all numbers of float64: a perplexity, and the condition of a singular matrix.
    Of one document there is no standard error, which a note of the scan says, and nothing across documents.
    """
    for table, rows in rows_of.items():
        expected = {name for row in plain[table] for name, value in row.items() if value is not None}
        for row in rows:
            for name, value in row.items():
                where = table, name, {k: row[k] for k in row if k in ("layer", "site", "variant", "rank")}
                for number in value if isinstance(value, list) else [value]:
                    assert not (isinstance(number, float) and math.isnan(number)), where
                    if isinstance(number, float) and math.isinf(number):
                        assert name in ("perplexity", "condition_number"), where
                may_be_absent = name.endswith("_reason") or (
                    one_document and ("_se" in name or "_jackknife" in name or name == "anisotropy_across")
                )
                if value is None and name in expected - NO_FIGURES and not may_be_absent:
                    assert row.get("reason"), where


def brute_force(folder: Path, run: degen.Run) -> dict[str, float | None]:
    """Return loss and anisotropy in float64, a window at a time, and the singular entropy of the used rows."""
    sample = pq.read_table(run.path / "sample.parquet").to_pylist()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).double().eval()
    states: list[torch.Tensor] = []
    model.get_output_embeddings().register_forward_pre_hook(lambda _module, args: states.append(args[0][0]))
    losses = []
    with torch.no_grad():
        for window in sample:
            ids = torch.tensor([window["tokens"]])
            logits = model(input_ids=ids).logits[0, :-1]
            losses.append(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none"))
    h = torch.cat(states)
    h = h[h.norm(dim=1) > 0]
    units = h / h.norm(dim=1, keepdim=True)
    n = len(units)
    cosines = (units @ units.T).sum() - n
    p = torch.linalg.svdvals(load_file(folder / WEIGHTS)[HEAD][:VOCABULARY].double()) ** 2
    p = (p / p.sum()).numpy()
    return {
        "loss": float(torch.cat(losses).mean()),
        "anisotropy": float(cosines / (n * (n - 1))) if n else None,
        "singular_entropy": math.log(len(p)) + float(np.sum(p[p > 0] * np.log(p[p > 0]))),
    }


@pytest.fixture(scope="module")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("stress") / "corpus.jsonl", 24)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, small_corpus: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of a sound checkpoint."""
    folder = tmp_path_factory.mktemp("plain")
    made = checkpoint(folder / "step1", None)
    return tables(degen.scan(made, corpus=small_corpus, out=folder / "run", probes=PROBES, **SCAN))


@pytest.mark.parametrize(
    ("change", "options"),
    [
        pytest.param(None, {"dtype": "float16"}, id="float16", marks=MORE),
        pytest.param(None, {"dtype": "bfloat16"}, id="bfloat16"),
        pytest.param(add_massive, {}, id="massive activations in one dimension", marks=MORE),
        pytest.param(add_massive, {"dtype": "bfloat16"}, id="the same in bfloat16"),
        pytest.param(add_one_massive, {}, id="a massive activation of one token", marks=MORE),
        pytest.param(clear_states, {}, id="states of zero before the head"),
        pytest.param(make_constant, {}, id="one state before the head"),
        pytest.param(clear_embedding, {}, id="embeddings of zero", marks=MORE),
        pytest.param(clear_half_the_embedding, {}, id="every second embedding zero", marks=MORE),
        pytest.param(
            None, {"hidden_size": 1, "num_attention_heads": 1, "intermediate_size": 4}, id="a state of one number"
        ),
        pytest.param(
            None, {"hidden_size": 2, "num_attention_heads": 1, "intermediate_size": 4}, id="of two", marks=MORE
        ),
        pytest.param(None, {"hidden_size": 480, "intermediate_size": 16}, id="wider than its vocabulary"),
        pytest.param(lower_rank, {}, id="a head of rank 5", marks=MORE),
        pytest.param(make_rows_equal, {}, id="a head of equal rows"),
        pytest.param(scale_head(1e6), {}, id="logits of millions", marks=MORE),
        pytest.param(scale_head(1e30), {}, id="logits near the end of float32"),
        pytest.param(scale_head(1e-30), {}, id="logits of next to nothing", marks=MORE),
    ],
)
def test_figures_of_a_stressed_checkpoint_are_right_or_absent_with_a_reason(
    change: Callable[[Tensors], None] | None,
    options: dict[str, Any],
    small_corpus: Path,
    plain: dict[str, list[dict[str, Any]]],
    tmp_path: Path,
) -> None:
    folder = checkpoint(tmp_path / "step1", change, **options)
    run = degen.scan(folder, corpus=small_corpus, out=tmp_path / "run", probes=PROBES, batch_size=1, **SCAN)
    rows = tables(run)
    check_nothing_silent(rows, plain)
    (row,) = rows["checkpoints"]
    assert row["status"] == "ok", row["reason"]
    for name, value in brute_force(folder, run).items():
        if value is None:
            assert row[name] is None
        else:
            assert row[name] == pytest.approx(value, rel=2e-5, abs=2e-5), name
    other = tables(degen.scan(folder, corpus=small_corpus, out=tmp_path / "other", probes=PROBES, batch_size=7, **SCAN))
    check_alike(rows, other)


def check_alike(rows_of: dict[str, list[dict[str, Any]]], others_of: dict[str, list[dict[str, Any]]]) -> None:
    """Check that tables are equal to 10⁻⁶, texts and absent values to the letter.

    The corrected participation ratio, where one state is 10⁵ long, is a difference of fourth powers: 10⁻⁴.
    """
    assert rows_of.keys() == others_of.keys()
    for table, rows in rows_of.items():
        for row, other in zip(rows, others_of[table], strict=True):
            for name, value in row.items():
                if isinstance(value, float) and isinstance(other[name], float):
                    relative = 1e-4 if name == "participation_ratio_corrected" else 1e-6
                    assert other[name] == pytest.approx(value, rel=relative, abs=1e-6), (table, name, row.get("layer"))
                else:
                    assert other[name] == value, (table, name)


@pytest.mark.parametrize(
    ("change", "options", "reason"),
    [
        pytest.param(
            add_massive, {"dtype": "float16"}, rf"{EMBEDDING} holds {PADDED} such values", id="beyond float16"
        ),
        pytest.param(put(HEAD, (5, 2), math.inf), {}, rf"{HEAD}\) holds NaN or infinity", id="in a row of the head"),
        pytest.param(
            put(HEAD, (VOCABULARY + 3, 2), math.inf), {}, "lm_head.weight holds 1 such values", id="in an unused row"
        ),
        pytest.param(put(f"{NORM}.weight", 0, math.nan), {}, rf"{NORM}.weight holds 1 such", id="in the final norm"),
        pytest.param(put(f"{EMBEDDING}", (300, 0), math.nan), {}, "", id="in the embedding of a rare token"),
    ],
)
def test_numbers_that_are_not_finite_are_named_where_they_lie(
    change: Callable[[Tensors], None], options: dict[str, Any], reason: str, small_corpus: Path, tmp_path: Path
) -> None:
    folder = checkpoint(tmp_path / "step1", change, **options)
    run = degen.scan(folder, corpus=small_corpus, out=tmp_path / "run", tokens=640, context=64, threads=1)
    (row,) = run.checkpoints()
    assert row["status"] == "failed"
    assert re.search(reason, row["reason"]), row["reason"]


@pytest.mark.parametrize("sizes", [{"tokens": 16, "context": 16}, {"tokens": 32, "context": 16}, {"tokens": 64}])
def test_a_handful_of_tokens_gives_figures_or_reasons(
    sizes: dict[str, int], small_corpus: Path, plain: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    probes = [name for name in PROBES if name != "rank"]  # which needs two documents, and fails a checkpoint otherwise
    run = degen.scan(
        checkpoint(tmp_path / "step1", None), corpus=small_corpus, out=tmp_path / "run", probes=probes, threads=1,
        **sizes,
    )  # fmt: skip
    assert [row["status"] for row in run.checkpoints()] == ["ok"]
    documents = {window["document"] for window in pq.read_table(run.path / "sample.parquet").to_pylist()}
    check_nothing_silent(tables(run), plain, one_document=len(documents) == 1)
