"""`degen rank` as a user runs it, on the bundled series."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.command import degen

import degen as package

DEMO = Path(package.__file__).parent / "demo" / "series" / "healthy"
SMALL = ("--tokens", "4000", "--context", "128", "--steps", "3000", "--threads", "1")


def test_a_table_of_ranks_and_the_bottleneck(tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = degen("rank", DEMO, "--ranks", "12,24,48", "--method", "svd,whitened", "-o", out, *SMALL)
    assert said.code == 0
    rows = [line.split() for line in said.out.splitlines() if " svd " in line or " whitened " in line]
    assert [(r[2], r[3]) for r in rows] == [(m, r) for m in ("svd", "whitened") for r in ("12", "24", "48")]
    assert "bottleneck_rank" in said.out
    again = degen("rank", DEMO, "--ranks", "12,24,48", "--method", "svd,whitened", "-o", out, *SMALL, "--json")
    found = again.json()
    assert [row["rank"] for row in found["rows"]] == [12, 24, 48, 12, 24, 48]
    assert found["checkpoints"][0]["bottleneck_rank"] in (24, 48)


def test_other_ranks_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    assert degen("rank", DEMO, "--ranks", "12", "-o", tmp_path / "run", *SMALL).code == 0
    said = degen("rank", DEMO, "--ranks", "24", "-o", tmp_path / "run", *SMALL)
    assert said.code == 2
    assert "other settings" in said.message


def test_a_figure_is_drawn_and_the_gradient_measured(tmp_path: Path) -> None:
    figure = tmp_path / "ranks.png"
    said = degen("rank", DEMO, "--gradient", "--plot", figure, "-o", tmp_path / "run", *SMALL, "--json")
    assert said.code == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
    (row,) = said.json()["checkpoints"]
    assert 0 < row["gradient_lost"] < 1
    ranks = [r["rank"] for r in said.json()["rows"]]
    assert ranks == [1, 2, 4, 8, 16, 32, 48]


def test_the_probe_measures_in_a_scan_beside_the_others(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert degen("scan", DEMO, "--probes", "loss,rank,anisotropy,spectrum", "-o", out, *SMALL).code == 0
    run = package.read_run(out)
    (row,) = run.checkpoints()
    assert None not in (row["loss"], row["anisotropy"], row["singular_entropy"], row["bottleneck_rank"])
    assert {r["method"] for r in run.table("ranks").to_pylist()} == {"whitened"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--ranks", "a,b"), "--ranks a,b"),
        (("--ranks", "0"), "--ranks 0"),
        (("--method", "magic"), "--method magic"),
        (("--init", "zeros", "--method", "trained"), "--init zeros"),
        (("--within", "-1"), "--within"),
        (("--plot", "figure.exe"), "--plot figure.exe"),
        (("--plot", "no/such/folder/x.png"), "no such folder"),
    ],
)
def test_wrong_options_are_one_message_before_anything_is_measured(
    words: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    said = degen("rank", DEMO, "-o", tmp_path / "run", *SMALL, *words)
    assert said.code == 2
    assert told in said.message
    assert not (tmp_path / "run").exists()
