"""Figures of states by domain: the windows of a domain measured alone give the row of the domain."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.common_mode import CommonMode
from degen.probes.isoscore import IsoScore
from degen.probes.massive_activations import MassiveActivations
from degen.probes.outlier_dimensions import OutlierDimensions
from degen.probes.participation_ratio import ParticipationRatio
from degen.probes.rankme import RankMe
from degen.probes.self_similarity import SelfSimilarity
from degen.probes.state_spectrum import StateSpectrum
from degen.probes.two_nn import TwoNN
from hypothesis import given, settings
from hypothesis import strategies as st
from state_feeds import SITE, cloud, feed_all, sample_of, seeds, shared_probes, split

from degen.states.chosen_rows import Reservoir
from degen.states.moments import Moments
from degen.states.sample_domains import MOST_DOMAINS, SampleDomains, kept_domains
from degen.states.shared_states import StateProbe
from degen.tables import DOMAINS
from degen.text.windows import Sample, Window

PROBES: list[type[StateProbe]] = [
    CommonMode, IsoScore, MassiveActivations, OutlierDimensions, ParticipationRatio, RankMe, SelfSimilarity,
    StateSpectrum, TwoNN,
]  # fmt: skip
LENGTHS = [9, 14, 5, 16, 7, 12, 11, 3]
OF = ["web", None, "code", "web", None, "web", "code", "web"]


def in_domains(sample: Sample, domains: list[str | None]) -> Sample:
    windows = (Window(w.number, w.document, d, w.start, w.bytes, w.tokens)
               for w, d in zip(sample.windows, domains, strict=True))  # fmt: skip
    return Sample(sample.tokenizer, tuple(windows))


def rows_of(sample: Sample, states: list[np.ndarray], batches: list[list[int]], table: str) -> list[dict[str, Any]]:
    """Return the joined rows of all probes."""
    probes = shared_probes(PROBES, sample)
    for rows in batches:
        feed_all(probes, states, rows)
    joined: dict[Any, dict[str, Any]] = {}
    for probe in probes:
        for row in probe.finish()[table]:
            found = joined.setdefault(row.get("domain"), {})
            reason = "; ".join(str(r["reason"]) for r in (found, row) if r.get("reason"))
            found |= row | {"reason": reason}
    return list(joined.values())


def same(row: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if isinstance(value, float):
            assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-11), name
        else:
            assert row[name] == value, name


@settings(max_examples=10)
@given(seeds, st.integers(2, 6), st.permutations(range(8)), st.integers(1, 8))
def test_the_windows_of_a_domain_measured_alone_give_its_row(
    seed: int, width: int, order: list[int], size: int
) -> None:
    values = split(cloud(seed, sum(LENGTHS), width), LENGTHS)
    sample = in_domains(sample_of(LENGTHS), OF)
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    rows = {row["domain"]: row for row in rows_of(sample, values, batches, DOMAINS)}
    assert list(rows) == ["web", None, "code"]
    for name, row in rows.items():
        own = [i for i, domain in enumerate(OF) if domain == name]
        alone = Sample(sample.tokenizer, tuple(sample.windows[i] for i in own))
        (expected,) = rows_of(alone, [values[i] for i in own], [list(range(len(own)))], "layers")
        assert row["documents"] == len(own)
        same(row, expected)


def test_domains_leave_the_figures_of_all_text_as_they_are() -> None:
    values = split(cloud(5, sum(LENGTHS), 5), LENGTHS)
    plain, batches = sample_of(LENGTHS), [[3, 1, 0], [2, 4, 5, 6, 7]]
    (before,) = rows_of(plain, values, batches, "layers")
    (after,) = rows_of(in_domains(plain, OF), values, batches, "layers")
    same(after, before)


def test_more_positions_than_are_kept_are_those_of_the_domain_alone() -> None:
    lengths = [700] * 6
    sample = in_domains(sample_of(lengths), ["a", "b"] * 3)
    values = split(cloud(1, sum(lengths), 2), lengths)
    probe = TwoNN(sample)
    feed_all([probe], values, [0, 1, 2, 3, 4, 5])
    of_whole, *of_domains = (probe.shared.get(Reservoir).states(SITE, domain) for domain in (None, 0, 1))
    assert [len(of) for of in (of_whole, *of_domains)] == [2000, 2000, 2000]
    alone = TwoNN(Sample("t", sample.windows[1::2]))
    feed_all([alone], values[1::2], [0, 1, 2])
    assert np.array_equal(of_domains[1], alone.shared.get(Reservoir).states(SITE))


def test_three_domains_with_the_most_tokens_are_kept_apart_and_the_others_have_a_reason() -> None:
    lengths = [8 + i for i in range(11)]
    sample = in_domains(sample_of(lengths), [f"d{i}" for i in range(11)])
    probe = IsoScore(sample)
    feed_all([probe], split(cloud(1, sum(lengths), 3), lengths), list(range(11)))
    rows = probe.finish()[DOMAINS]
    assert [row["domain"] for row in rows] == [f"d{i}" for i in reversed(range(11))]
    assert [row.get("isoscore") is not None for row in rows] == [True] * 3 + [False] * 8
    assert rows[-1]["reason"] == "states are kept apart for the 3 domains with the most tokens alone"
    sums = probe.shared.get(Moments)
    assert sum(sums.of(SITE, domain).count for domain in range(MOST_DOMAINS)) == sum(lengths[8:])
    assert sums.of(SITE).count == sum(lengths)


def test_massive_activations_are_of_eight_domains() -> None:
    sample = in_domains(sample_of([6] * 11), [f"d{i}" for i in range(11)])
    probe = MassiveActivations(sample)
    feed_all([probe], split(cloud(1, 66, 3), [6] * 11), list(range(11)))
    assert [row.get("max_activation") is not None for row in probe.finish()[DOMAINS]] == [True] * 8 + [False] * 3


def test_few_domains_of_wide_states_are_kept_apart_within_256_mebibytes_a_site() -> None:
    assert [kept_domains(width**2) for width in (768, 2048, 4096, 8192)] == [3, 3, 2, 0]
    assert [Reservoir.kept(width) for width in (768, 4096, 8192)] == [3, 3, 2]


def test_states_too_wide_for_any_domain_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("degen.states.sample_domains.MOST_NUMBERS", 8)
    rows = rows_of(in_domains(sample_of([6, 6]), ["a", "b"]), split(cloud(1, 12, 3), [6, 6]), [[0, 1]], DOMAINS)
    assert {row["isoscore"] for row in rows if "isoscore" in row} == set()
    assert any("those of one take more than 256 MiB a site" in row["reason"] for row in rows)


def test_a_domain_of_which_no_position_is_left_has_a_reason() -> None:
    sample = in_domains(sample_of([6, 30]), ["short", "long"])
    values = [v[8:] for v in split(cloud(2, 36, 3), [6, 30])]
    probes = shared_probes(PROBES, sample)
    domains = SampleDomains(sample, 8)
    assert (domains.names, domains.documents) == (["long", "short"], [1, 1])
    from degen.probe import Batch

    batch = Batch(torch.zeros(1, 22, dtype=torch.int64), None, np.array([1]), np.array([1]), first=8)
    for probe in probes:
        probe.shared.first = 8
        probe.update_states(batch, SITE, torch.from_numpy(values[1]).unsqueeze(0))
        rows = {row["domain"]: row for row in probe.finish()[DOMAINS]}
        assert rows["short"]["reason"], type(probe)
        figures = [v for k, v in rows["short"].items() if isinstance(v, float)]
        assert all(math.isfinite(v) for v in figures)
        assert len([v for v in rows["long"].values() if isinstance(v, float | int)]) > len(figures)


def test_merged_halves_have_the_domains_of_the_whole() -> None:
    values = split(cloud(3, sum(LENGTHS), 4), LENGTHS)
    sample = in_domains(sample_of(LENGTHS), OF)
    expected = {row["domain"]: row for row in rows_of(sample, values, [list(range(8))], DOMAINS)}
    halves = [shared_probes(PROBES, sample) for _ in range(2)]
    for half, rows in zip(halves, ([6, 1, 3], [0, 2, 4, 5, 7]), strict=True):
        feed_all(half, values, rows)
    for probe, other in zip(*halves, strict=True):
        probe.merge(other)
    for probe in halves[0]:
        for row in probe.finish()[DOMAINS]:
            same({**expected[row["domain"]], "reason": row.get("reason")}, row)
