"""Restricted heads of every architecture, against heads that are multiplied out in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from families.test_families import WITH_BOS, Twin
from heads import PLAIN
from tiny import FAMILIES, make_series

import degen
from degen.model.logit_transform import LogitTransform

RANKS = (1, 5, 16, 32)
METHODS = ("svd", "whitened")
TRANSFORMS = {  # written by hand, from the configurations
    "gemma2": LogitTransform(cap=5.0),
    "cohere": LogitTransform(0.25),
    "granite": LogitTransform(1 / 3.0),
}
BIASED = {"gptj", "phi"}  # their heads have a bias


@pytest.fixture(scope="module", params=list(FAMILIES))
def scanned(request: pytest.FixtureRequest, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    family, root = request.param, tmp_path_factory.mktemp("rank")
    series = make_series(root / family, steps=(64,), family=family, bos=family in WITH_BOS)
    options = {"rank": {"ranks": RANKS, "methods": METHODS}}
    run = degen.scan(series, corpus=texts, tokens=401, context=48, batch_size=3, probes=["loss", "rank"],
                     options=options, out=root / "run")  # fmt: skip
    assert [(row["status"], row["reason"]) for row in run.checkpoints()] == [("ok", None)]
    return run, Twin(series / "step64", family, pq.read_table(root / "run" / "sample.parquet").to_pylist())


def in_fit_half(sample: list[dict[str, Any]]) -> list[bool]:
    """Return for every window whether ranks are fitted on it: each document goes to the half with fewer tokens."""
    size: dict[int, int] = {}
    for window in sample:
        size[window["document"]] = size.get(window["document"], 0) + len(window["tokens"])
    first, sums = {}, [0, 0]
    for document, tokens in size.items():
        half = 0 if sums[0] <= sums[1] else 1
        sums[half] += tokens
        first[document] = half == 0
    return [first[window["document"]] for window in sample]


def restricted(W: np.ndarray, C: np.ndarray, method: str, rank: int) -> np.ndarray:
    """Return the head of a rank, multiplied out: W C^{1/2} is decomposed whole, and U Uᵀ W formed."""
    values, E = np.linalg.eigh(C)
    root = E @ np.diag(np.sqrt(np.clip(values, 0, None))) @ E.T
    U = np.linalg.svd(W if method == "svd" else W @ root, full_matrices=False)[0][:, :rank]
    return U @ U.T @ W


def test_losses_are_those_of_heads_multiplied_out(scanned: Any) -> None:
    run, twin = scanned
    head = twin.model.lm_head
    W = head.weight.detach().numpy()
    states = [p["sites"][2, "head_input"].numpy() for p in twin.passed]
    fit = in_fit_half(twin.sample)
    gathered = np.concatenate([h for h, is_fit in zip(states, fit, strict=True) if is_fit])
    C = gathered.T @ gathered / len(gathered)
    rows = {(r["method"], r["rank"]): r for r in run.table("ranks").to_pylist()}
    ranks = sorted({min(rank, W.shape[1]) for rank in RANKS})
    assert set(rows) == {(m, r) for m in METHODS for r in ranks}
    transform = TRANSFORMS.get(twin.family, PLAIN)
    for method in METHODS:
        for rank in ranks:
            A = restricted(W, C, method, rank)
            losses, full, documents = [], [], []
            for window, h, passed, is_fit in zip(twin.sample, states, twin.passed, fit, strict=True):
                if is_fit:
                    continue
                z = torch.from_numpy(h[:-1] @ A.T)
                z = transform(z if head.bias is None else z + head.bias)
                ids = torch.tensor(window["tokens"][1:])
                losses.append(torch.nn.functional.cross_entropy(z, ids, reduction="none").detach().numpy())
                full.append(passed["losses"].numpy())
                documents += [window["document"]] * len(ids)
            row = rows[method, rank]
            theirs, whole = np.concatenate(losses), np.concatenate(full)
            assert row["loss"] == pytest.approx(theirs.mean(), abs=2e-5)
            assert row["loss_gap"] == pytest.approx((theirs - whole).mean(), abs=2e-5)
            assert row["w_error"] == pytest.approx(np.linalg.norm(W - A) / np.linalg.norm(W), abs=1e-6)


def test_full_rank_is_the_models_own_loss(scanned: Any) -> None:
    run, twin = scanned
    fit = in_fit_half(twin.sample)
    losses = np.concatenate([p["losses"].numpy() for p, is_fit in zip(twin.passed, fit, strict=True) if not is_fit])
    for row in run.table("ranks").to_pylist():
        if row["rank"] == twin.model.lm_head.weight.shape[1]:
            assert row["loss"] == pytest.approx(losses.mean(), abs=1e-5)
            assert abs(row["loss_gap"]) < 1e-5
            assert row["w_error"] == pytest.approx(0, abs=1e-9)
    assert (twin.model.lm_head.bias is not None) == (twin.family in BIASED)
