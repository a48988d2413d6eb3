"""Sums of losses by window, and how many documents their errors come from."""

from __future__ import annotations

import numpy as np
import pytest

from degen.rank.rank_losses import RankLosses
from degen.text.windows import Sample, Window


@pytest.mark.parametrize(
    ("scored", "freedom"),
    [
        ([10, 10, 10, 0], 0.8),  # documents 0 and 1 have 20 and 10 tokens: 30² / 500 - 1
        ([10, 10, 20, 0], 1.0),
        ([10, 10, 20, 20], 2.0),
        ([0, 0, 20, 0], 0.0),
    ],
)
def test_degrees_of_freedom_are_those_of_documents_of_equal_weight(scored: list[int], freedom: float) -> None:
    windows = [Window(i, d, None, 0, 0, np.zeros(21, dtype=np.int32)) for i, d in enumerate((0, 0, 1, 2))]
    losses = RankLosses(Sample("t", tuple(windows)), 1)
    losses.scored += scored
    assert losses.freedom == pytest.approx(freedom)
