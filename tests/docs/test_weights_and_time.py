"""What docs/weights_and_time.md says of the demo is what the probes measure there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import degen
from degen.demo import series_paths
from degen.similarity.compare_checkpoints import measure_similarity

PAGE = " ".join((Path(__file__).parents[2] / "docs" / "weights_and_time.md").read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> degen.Run:
    """Return a run of the demo's broken series around its break."""
    (path,) = (path for path in series_paths() if path.name == "broken")
    probes = ["lens", "sinks", "states", "weights"]
    out = tmp_path_factory.mktemp("broken") / "run"
    return degen.scan(path, steps="2000,2025,2050,2100", probes=probes, out=out, corpus="demo", threads=1)


def by_step(run: degen.Run, table: str) -> dict[int, list[dict[str, Any]]]:
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in run.table(table).to_pylist():
        rows.setdefault(row["step"], []).append(row)
    return rows


def test_the_break_shows_in_the_blocks_and_not_in_the_head(broken: degen.Run) -> None:
    ranks = {row["step"]: row["weights_stable_rank"] for row in broken.checkpoints()}
    heads = {
        step: next(row["stable_rank"] for row in rows if row["kind"] == "head")
        for step, rows in by_step(broken, "weights").items()
    }
    assert f"falls from {ranks[2000]:.2f} at step 2,000 to {ranks[2100]:.2f} at 2,100" in PAGE
    assert f"that of the head stays at {heads[2000]:.2f}" in PAGE


def test_the_head_reads_the_embedding_as_well_as_before(broken: degen.Run) -> None:
    losses = {
        step: {(row["layer"], row["site"]): row["lens_loss"] for row in rows}
        for step, rows in by_step(broken, "layers").items()
    }
    embedding = [losses[step][0, "embedding"] for step in (2050, 2000)]
    assert f"({embedding[0]:.2f} and {embedding[1]:.2f} nats)" in PAGE
    last = [losses[step][3, "block"] for step in (2000, 2050)]
    assert f"third block its loss went from {last[0]:.2f} to {last[1]:.2f}" in PAGE


def test_sinks_appear_with_the_break(broken: degen.Run) -> None:
    shares = {row["step"]: (row["sink_share"], row["sink_share_se"]) for row in broken.checkpoints()}
    assert shares[2000][0] == 0
    assert f"a share of {shares[2025][0]:.3f} (± {shares[2025][1]:.3f}) 25 steps after it" in PAGE


def test_states_change_and_the_head_hardly(broken: degen.Run) -> None:
    rows = {
        row["site"]: row
        for row in measure_similarity(broken).rows
        if (row["step"], row["against"]) == (2025, "previous") and row["site"].startswith("head")
    }
    assert f"`broken` moves by {rows['head']['displacement']:.0%}".replace("%", " %") in PAGE
    assert f"keep a CKA of {rows['head_input']['cka']:.2f} with those before" in PAGE


def test_noise_costs_more_the_longer_the_training(tmp_path: Path) -> None:
    (path,) = (path for path in series_paths() if path.name == "healthy")
    run = degen.scan(
        path, steps="500,3000", probes=["loss", "fragility"], out=tmp_path / "run", corpus="demo", threads=1
    )
    first, last = run.checkpoints()
    assert f"the loss of `healthy` falls from {first['loss']:.2f} to {last['loss']:.2f}" in PAGE
    assert f"rises from {first['fragility']:.3f} to {last['fragility']:.3f} nats" in PAGE
