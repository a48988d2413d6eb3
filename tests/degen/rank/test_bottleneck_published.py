"""The bottleneck rank of published curves of rank-restricted heads."""

from __future__ import annotations

import csv

import pytest

from degen.published import published_table
from degen.rank.bottleneck_rank import bottleneck_rank


@pytest.mark.parametrize(("model", "rank"), [("pythia-410m", 768), ("pythia-1b", 1536), ("llama-7b", 2048)])
def test_bottleneck_rank_of_published_curves(model: str, rank: int) -> None:
    with published_table("rank_restricted_head_loss").open() as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == model]
    ranks, losses = [int(row["rank"]) for row in rows], [float(row["val_loss_nats"]) for row in rows]
    full = losses[ranks.index(max(ranks))]
    columns = bottleneck_rank(ranks, [loss - full for loss in losses], [None] * len(rows))
    assert list(columns.values()) == [rank, None, None]  # no errors are published
