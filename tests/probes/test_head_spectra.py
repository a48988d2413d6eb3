from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.head_spectra import HeadSpectra
from degen.probes.spectrum import Spectrum
from head_matrices import head_of, measured, normal, rotation
from hypothesis import given
from hypothesis import strategies as st

from degen.arrays import Floats
from degen.model.lm_head import Head
from degen.rank.head_factor import head_factor
from degen.tables import Row

sizes = st.tuples(st.integers(3, 40), st.integers(2, 8)).filter(lambda s: s[0] > s[1] + 1)
seeds = st.integers(0, 2**31)


def rows_of(head: Head) -> dict[str, Row]:
    return {row.pop("variant"): row for row in measured(HeadSpectra, head)["head_spectra"]}


def twin(W: Floats) -> Row:
    σ = np.linalg.svd(W, compute_uv=False)
    p, q = σ**2 / (σ**2).sum(), σ / σ.sum()
    return {
        "singular_entropy": (p * np.log(p * len(p))).sum(),
        "singular_entropy_sigma": (q * np.log(q * len(q))).sum(),
        "effective_rank": math.exp(-(q * np.log(q)).sum()),
        "stable_rank": (σ**2).sum() / σ[0] ** 2,
        "top_singular_share": p[0],
        "condition_number": σ[0] / σ[-1],
        "spectral_gap": 1 - σ[1] / σ[0],
        **{f"k{s}": int((np.cumsum(p) < s / 100 - 1e-12).sum()) + 1 for s in (90, 95, 99)},
    }


@given(sizes, seeds, st.floats(0, 20))
def test_every_figure_of_every_variant_equals_numpys(size: Any, seed: int, shift: float) -> None:
    W, gamma = normal(size, seed, shift), np.random.default_rng(seed).uniform(0.5, 2, size=size[1])
    centred = W - W.mean(axis=0)
    expected = {"raw": W, "centred": centred, "folded": W * gamma, "centred_folded": centred * gamma}
    rows = rows_of(head_of(W, gamma=gamma))
    assert set(rows) == set(expected)
    for variant, matrix in expected.items():
        assert rows[variant] == pytest.approx(twin(matrix), abs=1e-8, rel=1e-8), variant


@given(sizes, seeds, st.integers(1, 7))
def test_centring_a_block_at_a_time_is_centring_the_whole(size: Any, seed: int, rows: int) -> None:
    W = normal(size, seed, 5.0)

    class Blocks(Head):
        def blocks(self, _rows: int = 0) -> Any:
            return super().blocks(rows)

    whole, there = head_of(W), head_of(W)
    factors = [
        head_factor(Blocks(whole.tensors, whole.key, None)),
        head_factor(Head(there.tensors, there.key, None, CPU)),
    ]
    for factor in factors:
        assert factor is not None
        assert np.allclose(factor.mean, W.mean(axis=0), atol=1e-12)
        gram = factor.centred.T @ factor.centred
        assert np.allclose(gram, np.cov(W.T, bias=True).reshape(size[1], -1) * size[0], atol=1e-9)
        assert np.allclose(factor.raw.T @ factor.raw, W.T @ W, atol=1e-9 * size[0] * 25)


CPU = torch.device("cpu")  # in place of an accelerator


@given(sizes, seeds, st.integers(-200, 200))
def test_order_of_rows_rotation_and_scale_change_no_figure(size: Any, seed: int, exponent: int) -> None:
    W, rng = normal(size, seed, 2.0), np.random.default_rng(seed)
    plain = rows_of(head_of(W))
    for other in (W[rng.permutation(size[0])], W @ rotation(size[1], seed), np.ldexp(W, exponent)):
        changed = rows_of(head_of(other))
        for variant in ("raw", "centred"):
            assert changed[variant] == pytest.approx(plain[variant], rel=1e-8, abs=1e-9)


@given(sizes, seeds, st.floats(0, 50))
def test_a_shift_of_all_rows_changes_no_figure_of_the_centred_head(size: Any, seed: int, shift: float) -> None:
    W = normal(size, seed)
    shifted = rows_of(head_of(W + shift))["centred"]
    assert shifted == pytest.approx(rows_of(head_of(W))["centred"], rel=1e-8, abs=1e-8)


def test_the_raw_figures_are_those_of_the_default_probe() -> None:
    head = head_of(normal((500, 20), 3, 1.0))
    (default,) = measured(Spectrum, head)["checkpoints"]
    assert {name: rows_of(head)["raw"][name] for name in default} == pytest.approx(default, rel=1e-10)


def test_a_gaussian_head_is_as_far_from_flat_as_marchenko_and_pastur_say() -> None:
    raw = rows_of(head_of(normal((20000, 100), 0)))["raw"]
    assert raw["singular_entropy"] == pytest.approx(100 / 40000, rel=0.05)
    assert raw["singular_entropy_sigma"] == pytest.approx(100 / 160000, rel=0.05)


def test_a_head_without_a_known_norm_is_not_folded_and_says_so() -> None:
    rows = rows_of(head_of(normal((20, 4), 0)))
    for variant in ("folded", "centred_folded"):
        assert rows[variant] == {"reason": "the weight of the final norm is not known by its name, or there is none"}


def test_a_singular_head_says_its_rank() -> None:
    raw = rows_of(head_of(normal((20, 2), 0) @ normal((2, 5), 1)))["raw"]
    assert raw["condition_number"] == math.inf
    assert raw["reason"] == "infinite condition number: the rank is 2, of 5"


@pytest.mark.parametrize(("W", "why"), [(np.zeros((9, 3)), "holds zeros alone"), (np.ones((9, 3)), None)])
def test_zeros_have_no_figure(W: Floats, why: str | None) -> None:
    rows = rows_of(head_of(W))
    assert rows["centred"]["reason"] == "no spectrum: the LM head holds zeros alone"
    assert rows["centred"]["stable_rank"] is None
    if why is not None:
        assert rows["raw"]["reason"] == f"no spectrum: the LM head {why}"


def test_a_head_of_no_used_row_has_no_figure() -> None:
    rows = rows_of(head_of(normal((9, 3), 0), used=np.zeros(0, dtype=np.int64)))
    assert rows["raw"]["reason"] == "no spectrum: the LM head has no row that the tokenizer uses"


def test_only_used_rows_count() -> None:
    W, used = normal((30, 4), 1), np.array([0, 3, 4, 9, 20, 21, 22])
    assert rows_of(head_of(W, used=used))["raw"] == pytest.approx(rows_of(head_of(W[used]))["raw"])
