from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from degen.probes import anisotropy
from degen.probes.anisotropy import OF_CHECKPOINT, Anisotropy, mean_cosine, sums_in_float32, window_sums
from hypothesis import given
from hypothesis import strategies as st

from degen.probe import Batch, Site
from degen.text.windows import Sample, Window

HEAD = Site(3, "head_input")
shapes = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), min_size=2, max_size=7)  # (document, length)
seeds = st.integers(0, 2**32 - 1)


def a_sample(windows: list[tuple[int, int]]) -> Sample:
    return Sample(
        "t",
        tuple(Window(i, doc, None, 0, n, np.arange(n, dtype=np.int32)) for i, (doc, n) in enumerate(windows)),
    )


def some_states(windows: list[tuple[int, int]], seed: int, width: int = 5, drift: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    centre = drift * rng.normal(size=width)
    return [centre + rng.normal(size=(n, width)) for _, n in windows]


def feed(
    probe: Anisotropy,
    states: list[np.ndarray],
    rows: list[int],
    behind: float = 0.0,
    dtype: torch.dtype = torch.float64,
) -> None:
    """Feed the windows `rows` as one padded batch; `behind` fills the padding after a short window."""
    longest = max(len(states[i]) for i in rows)
    padded = np.full((len(rows), longest, states[0].shape[1]), behind)
    mask = np.zeros((len(rows), longest), dtype=bool)
    for row, i in enumerate(rows):
        padded[row, : len(states[i])] = states[i]
        mask[row, : len(states[i])] = True
    windows = np.asarray(rows, dtype=np.int64)
    batch = Batch(
        torch.zeros(mask.shape, dtype=torch.int64),
        None if mask.all() else torch.from_numpy(mask),
        windows,
        probe.sample.document_slots[windows],
    )
    probe.update_states(batch, HEAD, torch.from_numpy(padded).to(dtype))


def measured(windows: list[tuple[int, int]], states: list[np.ndarray], **options: Any) -> dict[str, Any]:
    probe = Anisotropy(a_sample(windows))
    feed(probe, states, list(range(len(windows))), **options)
    (row,) = probe.finish()["layers"]
    return row


def explicit(windows: list[tuple[int, int]], states: list[np.ndarray]) -> dict[str, float | None]:
    """Return means over the pairs themselves."""
    vectors = np.concatenate(states)
    documents = np.repeat([d for d, _ in windows], [n for _, n in windows])
    norms = np.linalg.norm(vectors, axis=1)
    vectors, documents = vectors[norms > 0] / norms[norms > 0, None], documents[norms > 0]
    cosines, apart = vectors @ vectors.T, ~np.eye(len(vectors), dtype=bool)
    same = documents[:, None] == documents

    def mean(chosen: np.ndarray) -> float | None:
        return float(cosines[chosen].mean()) if chosen.any() else None

    left = []
    for d in sorted(set(documents.tolist())):
        keep = documents != d
        left.append(mean(apart & keep & keep[:, None]))
    error = None
    if len(left) > 1 and None not in left:
        error = math.sqrt((len(left) - 1) / len(left) * sum((x - np.mean(left)) ** 2 for x in left))
    return {
        "anisotropy": mean(apart),
        "anisotropy_se": error,
        "anisotropy_jackknife_min": None if error is None else min(x for x in left if x is not None),
        "anisotropy_jackknife_max": None if error is None else max(x for x in left if x is not None),
        "anisotropy_within": mean(same & apart),
        "anisotropy_across": mean(~same),
    }


def same(row: dict[str, Any], expected: dict[str, Any], tolerance: float = 1e-12) -> None:
    for name, value in expected.items():
        assert row[name] == (None if value is None else pytest.approx(value, abs=tolerance)), name


@given(shapes, seeds, st.integers(1, 9))
def test_every_figure_is_the_mean_over_the_pairs_themselves(windows: Any, seed: int, width: int) -> None:
    states = some_states(windows, seed, width)
    same(measured(windows, states), explicit(windows, states), 1e-10)


@given(shapes, seeds)
def test_the_length_of_a_vector_does_not_matter(windows: Any, seed: int) -> None:
    states = some_states(windows, seed)
    rng = np.random.default_rng(seed + 1)
    scaled = [s * 10.0 ** rng.uniform(-6, 6, size=(len(s), 1)) for s in states]
    names = ("anisotropy", "anisotropy_se", "anisotropy_within", "anisotropy_across")
    row = measured(windows, states)
    same(measured(windows, scaled), {name: row[name] for name in names}, 1e-10)


@given(shapes, seeds)
def test_a_rotation_changes_no_figure(windows: Any, seed: int) -> None:
    states = some_states(windows, seed)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(5, 5)))
    same(measured(windows, [s @ rotation for s in states]), measured(windows, states), 1e-10)


@given(shapes, seeds, st.floats(0, 100))
def test_anisotropy_lies_between_its_bounds(windows: Any, seed: int, drift: float) -> None:
    count = sum(n for _, n in windows)
    anisotropy = measured(windows, some_states(windows, seed, drift=drift))["anisotropy"]
    assert -1 / (count - 1) - 1e-12 <= anisotropy <= 1 + 1e-12


@given(shapes, seeds)
def test_equal_directions_give_one_everywhere(windows: Any, seed: int) -> None:
    direction = np.random.default_rng(seed).normal(size=5)
    row = measured(windows, [np.tile(direction, (n, 1)) * (1 + i) for i, (_, n) in enumerate(windows)])
    for name in ("anisotropy", "anisotropy_within", "anisotropy_across"):
        assert row[name] is None or row[name] == pytest.approx(1, abs=1e-12)
    assert row["anisotropy"] is not None


@given(st.integers(2, 12))
def test_orthogonal_vectors_give_zero_and_a_simplex_the_lower_bound(count: int) -> None:
    windows = [(0, count), (1, 1)]
    axes = np.eye(count + 1)
    assert measured(windows, [axes[:count], axes[count:]])["anisotropy"] == pytest.approx(0, abs=1e-12)
    simplex = axes - 1 / (count + 1)
    assert measured(windows, [simplex[:count], simplex[count:]])["anisotropy"] == pytest.approx(-1 / count, abs=1e-12)


@given(shapes, seeds, st.integers(1, 4))
def test_zero_vectors_are_counted_and_left_out(windows: Any, seed: int, zeros: int) -> None:
    states = some_states(windows, seed)
    with_zeros = [np.concatenate([s, np.zeros((zeros, 5))]) for s in states]
    longer = [(d, n + zeros) for d, n in windows]
    row = measured(longer, with_zeros)
    assert row["zero_vectors"] == zeros * len(windows)
    same(row, explicit(windows, states), 1e-10)
    lengths = np.linalg.norm(np.concatenate(with_zeros), axis=1)
    assert row["mean_norm"] == pytest.approx(lengths.mean(), rel=1e-12)


def test_zero_vectors_alone_give_null_instead_of_nan() -> None:
    row = measured([(0, 3), (1, 2)], [np.zeros((3, 5)), np.zeros((2, 5))])
    assert [row[n] for n in ("anisotropy", "anisotropy_se", "anisotropy_within", "anisotropy_across")] == [None] * 4
    assert (row["zero_vectors"], row["mean_norm"]) == (5, 0)


@given(shapes, seeds, st.integers(1, 6))
def test_merged_halves_are_one_pass(windows: Any, seed: int, cut: int) -> None:
    states, sample = some_states(windows, seed), a_sample(windows)
    cut = min(cut, len(windows) - 1)
    first, second = Anisotropy(sample), Anisotropy(sample)
    feed(first, states, list(range(cut)))
    feed(second, states, list(range(cut, len(windows))))
    first.merge(second)
    whole = measured(windows, states)
    same(first.finish()["layers"][0], whole)


@given(shapes, seeds)
def test_within_and_across_weigh_up_to_the_whole(windows: Any, seed: int) -> None:
    row = measured(windows, some_states(windows, seed))
    count: dict[int, int] = {}
    for d, n in windows:
        count[d] = count.get(d, 0) + n
    total = sum(count.values())
    within = sum(n * (n - 1) for n in count.values())
    across = total**2 - sum(n**2 for n in count.values())
    assert within + across == total * (total - 1)
    assert (row["anisotropy_across"] is None) == (len(count) == 1)
    parts = within * (row["anisotropy_within"] or 0) + across * (row["anisotropy_across"] or 0)
    assert row["anisotropy"] == pytest.approx(parts / (total * (total - 1)), abs=1e-12)


@pytest.mark.parametrize("behind", [1e30, math.inf, math.nan])
def test_padding_behind_a_short_window_is_ignored(behind: float) -> None:
    """A padded position may overflow where no token does."""
    windows = [(0, 6), (1, 2), (0, 1)]
    states = some_states(windows, 3)
    same(measured(windows, states, behind=behind), measured(windows, states))


def test_the_row_of_the_checkpoint_is_that_of_the_head_input() -> None:
    windows = [(0, 4), (1, 4)]
    probe = Anisotropy(a_sample(windows))
    states = some_states(windows, 5)
    feed(probe, states, [0, 1])
    batch = Batch(torch.zeros(2, 4, dtype=torch.int64), None, np.arange(2), probe.sample.document_slots)
    other = torch.from_numpy(np.stack(some_states(windows, 6)))
    for site in (Site(3, "block"), Site(0, "embedding"), Site(10, "block")):
        probe.update_states(batch, site, other)
    rows = probe.finish()
    assert [(r["layer"], r["site"]) for r in rows["layers"]] == [
        (0, "embedding"), (3, "block"), (3, "head_input"), (10, "block"),
    ]  # fmt: skip
    head = rows["layers"][2]
    assert rows["checkpoints"] == [{n: head[n] for n in OF_CHECKPOINT}]
    assert {c.name for c in Anisotropy.columns["checkpoints"]} == set(OF_CHECKPOINT)
    assert head["anisotropy"] != rows["layers"][1]["anisotropy"]


def test_states_in_half_precision_are_upcast_first() -> None:
    """60000 is a number in float16 and its square is not."""
    states = torch.full((1, 4, 8), 60000.0, dtype=torch.float16)
    probe = Anisotropy(a_sample([(0, 4)]))
    probe.update_states(Batch(torch.zeros(1, 4), None, np.zeros(1, np.int64), np.zeros(1, np.int64)), HEAD, states)
    (row,) = probe.finish()["layers"]
    assert row["anisotropy"] == pytest.approx(1, abs=1e-12)
    assert row["mean_norm"] == pytest.approx(60_000 * math.sqrt(8), rel=1e-12)


def test_mean_cosine_of_fewer_than_two_vectors_is_not_a_number() -> None:
    assert math.isnan(mean_cosine(1.0, 1.0))
    assert math.isnan(mean_cosine(0.0, 0.0))
    assert mean_cosine(4.0, 2.0) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("masked", [False, True])
def test_sums_in_float32_as_on_an_accelerator_are_those_of_float64(dtype: torch.dtype, masked: bool) -> None:
    """Weights of two bfloat16 are exact to 2⁻¹⁷; what is behind a window may be NaN; vectors may be zero."""
    rng = np.random.default_rng(0)
    states = torch.from_numpy(rng.normal(size=(4, 40, 24)) * 10.0 ** rng.uniform(-2, 2, size=(4, 40, 1))).to(dtype)
    states[1, 3] = 0.0
    mask = None
    if masked:
        mask = torch.arange(40) < torch.tensor([40, 31, 7, 1])[:, None]
        states[~mask] = torch.nan
    unit, norms = window_sums(states, mask)
    assert unit.dtype == norms.dtype == torch.float32
    exact = states.double() if mask is None else states.double().masked_fill(~mask.unsqueeze(-1), 0.0)
    lengths = exact.norm(dim=-1)
    assert torch.allclose(norms.double(), lengths, rtol=1e-6, atol=0)
    expected = (exact / lengths.clamp(min=1e-300).unsqueeze(-1)).sum(dim=1)
    assert torch.allclose(unit.double(), expected, rtol=0, atol=1e-5 * 40**0.5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_figures_by_sums_in_float32_are_those_of_sums_in_float64(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = [(0, 6), (0, 4), (1, 5), (2, 1), (3, 6)]
    states = [
        np.concatenate([torch.from_numpy(s).to(dtype).double(), np.zeros((1, 5))]) for s in some_states(windows, 4)
    ]
    longer = [(d, n + 1) for d, n in windows]
    expected = explicit(longer, states)
    monkeypatch.setattr(anisotropy, "sums_in_float32", lambda states: True)
    probe = Anisotropy(a_sample(longer))
    for rows in ([0, 1, 4], [2, 3]):
        feed(probe, states, rows, behind=math.nan, dtype=dtype)
    (row,) = probe.finish()["layers"]
    same(row, expected, 2e-5)
    assert row["zero_vectors"] == len(windows)


def test_a_length_that_float32_does_not_hold_gives_no_figure_instead_of_a_wrong_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(anisotropy, "sums_in_float32", lambda states: True)
    windows = [(0, 3), (1, 3)]
    states = some_states(windows, 1)
    states[0][1] *= 1e30
    probe = Anisotropy(a_sample(windows))
    feed(probe, states, [0, 1], dtype=torch.bfloat16)
    (row,) = probe.finish()["layers"]
    assert row["anisotropy"] is None


def test_states_are_summed_in_float64_on_a_cpu_whatever_their_dtype() -> None:
    assert not any(sums_in_float32(torch.zeros(1, dtype=dtype)) for dtype in (torch.bfloat16, torch.float32))
    assert sums_in_float32(torch.zeros(1, dtype=torch.bfloat16, device="meta"))
    assert not sums_in_float32(torch.zeros(1, dtype=torch.float32, device="meta"))


@given(shapes, seeds)
def test_a_domain_has_the_figures_of_its_documents_alone(windows: Any, seed: int) -> None:
    """Documents of even number are of one domain, the others of none."""
    states = some_states(windows, seed)
    whole = a_sample(windows)
    named = tuple(replace(w, domain="even" if w.document % 2 == 0 else None) for w in whole.windows)
    probe = Anisotropy(Sample("t", named))
    feed(probe, states, list(range(len(windows))))
    rows = {(row["domain"], row["layer"]): row for row in probe.finish()["domains"]}
    for domain, parity in (("even", 0), (None, 1)):
        chosen = [i for i, (document, _) in enumerate(windows) if document % 2 == parity]
        if not chosen:
            assert (domain, HEAD.layer) not in rows
            continue
        own = [windows[i] for i in chosen]
        expected = explicit(own, [states[i] for i in chosen])
        same(rows[domain, HEAD.layer], expected, 1e-10)
        same(rows[domain, None], {name: expected[name] for name in OF_CHECKPOINT}, 1e-10)
        vectors = np.concatenate([states[i] for i in chosen])
        assert rows[domain, HEAD.layer]["mean_norm"] == pytest.approx(np.linalg.norm(vectors, axis=1).mean())
        documents = len({document for document, _ in own})
        assert rows[domain, None]["documents"] == documents
        assert rows[domain, None]["reason"].startswith(f"{documents} document{'s' * (documents > 1)}, below 20: pairs")


def test_the_length_of_a_domain_counts_its_zero_vectors_as_that_of_a_layer_does() -> None:
    states = [np.asarray([[3.0, 4.0], [0.0, 0.0]]), np.asarray([[0.0, 2.0]])]
    whole = a_sample([(0, 2), (1, 1)])
    probe = Anisotropy(Sample("t", tuple(replace(w, domain=str(w.document)) for w in whole.windows)))
    feed(probe, states, [0, 1])
    rows = probe.finish()
    lengths = {row["domain"]: row["mean_norm"] for row in rows["domains"] if row["layer"] is not None}
    assert lengths == {"0": 2.5, "1": 2.0}
    assert rows["layers"][0]["mean_norm"] == pytest.approx(7 / 3)
