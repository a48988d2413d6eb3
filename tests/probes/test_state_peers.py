"""Probes of states beside the libraries of others, on clouds of every shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from degen.probes.isoscore import IsoScore
from degen.probes.participation_ratio import ParticipationRatio
from degen.probes.two_nn import TwoNN
from state_feeds import cloud, measure

CLOUDS = [(1, 500, 5, 0.0), (2, 300, 30, 2.0), (3, 64, 20, 10.0), (4, 900, 3, 1.0)]
pytestmark = pytest.mark.extras


@pytest.mark.parametrize("shape", CLOUDS)
def test_isoscore_is_that_of_its_authors(shape: tuple[int, int, int, float]) -> None:
    peer = pytest.importorskip("IsoScore.IsoScore")
    values = cloud(*shape)
    peer_value = float(peer.IsoScore(torch.from_numpy(values).double().numpy()))
    assert measure(IsoScore, values)["isoscore"] == pytest.approx(peer_value, abs=1e-6)  # it divides in float32


@pytest.mark.parametrize("shape", CLOUDS)
def test_two_nn_is_that_of_scikit_dimension(shape: tuple[int, int, int, float]) -> None:
    peer = pytest.importorskip("skdim.id")
    values = cloud(*shape)
    expected = float(peer.TwoNN().fit(values).dimension_)
    assert measure(TwoNN, values, vocabulary=10**6)["two_nn_dimension"] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("shape", CLOUDS)
def test_the_participation_ratio_is_that_of_scikit_dimension(shape: tuple[int, int, int, float]) -> None:
    peer = pytest.importorskip("skdim.id")
    values = cloud(*shape)
    expected = float(peer.lPCA(ver="participation_ratio").fit(values).dimension_)
    assert measure(ParticipationRatio, values)["participation_ratio"] == pytest.approx(expected, rel=1e-8)
    assert np.isfinite(expected)
