"""States without the first positions of each window, against states that a model itself puts out, window by window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.anisotropy import Anisotropy
from degen.probes.common_mode import CommonMode
from degen.probes.isoscore import IsoScore
from degen.probes.loss import Loss
from degen.probes.massive_activations import MassiveActivations
from degen.probes.outlier_dimensions import OutlierDimensions
from degen.probes.participation_ratio import ParticipationRatio
from degen.probes.rank import Rank
from degen.probes.rankme import RankMe
from degen.probes.self_similarity import SelfSimilarity
from degen.probes.state_spectrum import StateSpectrum
from degen.probes.two_nn import TwoNN
from state_feeds import feed
from tiny import make_model

from degen.forward.run_pass import run_pass
from degen.probe import StreamProbe
from degen.states.shared_states import SharedStates, StateProbe
from degen.text.windows import Sample, Window

CPU = torch.device("cpu")
LENGTHS = [24, 3, 17, 24, 9, 24, 20, 24, 24, 11, 2]
OF_STATES: list[type[StreamProbe]] = [
    Anisotropy, CommonMode, IsoScore, MassiveActivations, OutlierDimensions, ParticipationRatio, RankMe, SelfSimilarity,
    StateSpectrum, TwoNN,
]  # fmt: skip


def a_sample(skip: int = 0, apart: bool = False) -> Sample:
    """Return windows without their first positions, and without the windows that have no others."""
    draw = np.random.default_rng(1)
    tokens = [draw.integers(20, size=n, dtype=np.int32) for n in LENGTHS]
    for i, ids in enumerate(tokens):  # no two windows have a state in common
        ids[0] = 300 + i
        if apart and len(ids) > skip:
            ids[skip] = 300 + i
    return Sample("t", tuple(Window(i, i // 2, None, 0, 9, t[skip:]) for i, t in enumerate(tokens) if len(t) > skip))


def states_by_itself(model: Any, skip: int) -> dict[tuple[int, str], list[np.ndarray]]:
    """Return the states of every window run alone, as the model puts them out, by layer and site."""
    found: dict[tuple[int, str], list[np.ndarray]] = {}
    for window in a_sample().windows:
        with torch.no_grad():
            states = model(torch.from_numpy(window.tokens.astype(np.int64))[None], output_hidden_states=True)
        last = len(states.hidden_states) - 1
        for layer, h in enumerate(states.hidden_states):  # the last one is behind the final norm
            site = (layer, "embedding" if layer == 0 else "head_input" if layer == last else "block")
            if len(window.tokens) > skip:
                found.setdefault(site, []).append(h[0, skip:].double().numpy())
    return found


def passed(model: Any, skip: int, overlaps: bool = False, batch_tokens: int = 60) -> dict[str, Any]:
    sample = a_sample()
    shared = SharedStates(sample, skip)
    probes: dict[str, StreamProbe] = {kind.__name__: kind(sample) for kind in OF_STATES}
    probes |= {"Loss": Loss(sample), "Rank": Rank(sample, ranks=[2, 8], methods=["svd", "whitened"])}
    for probe in probes.values():
        if isinstance(probe, StateProbe):
            probe.share(shared)
    run_pass(model, sample, probes, batch_tokens, CPU, lambda _: None, overlaps, skip)
    return {name: probe.finish() for name, probe in probes.items()}


def close(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=2e-4, abs=2e-4)
    return bool(one == other)


@pytest.mark.parametrize(("family", "skip"), [("gpt_neox", 0), ("llama", 1), ("gpt_neox", 4)])
def test_every_measure_of_states_is_that_of_the_model_run_alone_on_each_window(family: str, skip: int) -> None:
    model = make_model(family, scale=3.0)
    rows, explicit = passed(model, skip), states_by_itself(model, skip)
    for kind in OF_STATES:
        for (layer, site), states in explicit.items():
            (row,) = (r for r in rows[kind.__name__]["layers"] if (r["layer"], r["site"]) == (layer, site))
            probe = kind(a_sample(skip, apart=kind is TwoNN))
            feed(probe, states, range(len(states)))
            (expected,) = probe.finish()["layers"]
            wrong = {
                name: (row.get(name), value)
                for name, value in expected.items()
                if name not in ("layer", "site", "reason", "first_token_norm_ratio") and not close(row.get(name), value)
            }
            assert not wrong, (kind, layer, site)


def test_losses_and_restricted_heads_are_of_all_positions_whatever_is_skipped() -> None:
    model = make_model("gpt_neox")
    before, after = passed(model, 0), passed(model, 5)
    assert after["Loss"] == before["Loss"]
    assert after["Rank"] == before["Rank"]
    assert after["Anisotropy"] != before["Anisotropy"]


def test_the_ratio_of_first_tokens_is_missing_with_a_reason_where_they_are_skipped() -> None:
    for row in passed(make_model("gpt_neox"), 1)["MassiveActivations"]["layers"]:
        assert row.get("first_token_norm_ratio") is None
        assert row["reason"] == "first_token_norm_ratio has no first token to compare"


def test_a_pass_that_overlaps_and_one_of_other_batches_give_the_same() -> None:
    model = make_model("gpt_neox")
    one, two = passed(model, 4), passed(model, 4, overlaps=True)
    assert one == two
    three = passed(model, 4, batch_tokens=25)
    for name in ("IsoScore", "TwoNN", "RankMe"):
        for a, b in zip(one[name]["layers"], three[name]["layers"], strict=True):
            assert all(close(a[key], b[key]) for key in a), name
