"""`bench/peers.py`: what its rows measure in this process, how they are kept, and the page that is made of them."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from degen.runs.run import Run

ROOT = Path(__file__).parents[2]
RATIO = {"median": 0.5, "low": 0.4, "high": 0.6}
ROW = {
    "ours": {"wall": 1.0, "cpu": 2.0}, "other": {"wall": 2.0, "cpu": 4.0}, "wall": RATIO, "cpu": RATIO, "pairs": 3,
    "what": "a scan", "peer": "a script", "unit": "s", "bar": {"wall": 0.45}, "notes": ["a note"], "took": 1.0,
    "load_before": 0.5, "date": "2026-01-02",
}  # fmt: skip
ABOUT = {
    "processor": "P", "cores": 2, "threads": 2, "system": "S", "python": "3", "torch": "2", "transformers": "5",
    "numpy": "2",
}  # fmt: skip


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    for folder in ("docs", "bench"):
        monkeypatch.syspath_prepend(str(ROOT / folder))


def test_rows_are_kept_as_they_come_and_read_again_under_the_same_conditions(tmp_path: Path, modules: Any) -> None:
    from peers import Results

    file = tmp_path / "rows.json"
    Results(file, ABOUT).add("rolling", ROW)
    again = Results(file, ABOUT)
    again.add("bare.160m", ROW)
    assert again.rows.keys() == {"rolling", "bare.160m"}
    assert [*json.loads(file.read_text())["rows"]] == ["bare.160m", "rolling"]  # as they stand in the table
    assert Results(file, ABOUT | {"threads": 1}).rows == {}
    assert list(tmp_path.iterdir()) == [file]


def printed(script: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> dict[str, Any]:
    """Run a script of the rows in this process, and return the document that it prints."""
    module = importlib.import_module(f"peer_rows.{script}_script")
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    module.main()
    document: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return document


def test_every_kind_of_pass_has_its_costs(modules: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    threads = str(torch.get_num_threads())
    document = printed("pass", ["tiny", threads, "1", "512", "1024"], monkeypatch, capsys)
    assert {kind: len(costs) for kind, costs in document["costs"].items()} == {"bare": 1, "scan": 1, "products": 1}
    assert document["costs"]["products"][0]["wall"] > 0
    # 2·(12·3·128² + 8192·128) and what biases and norms add, and attention's 4·128·3·(512 + 1)/2
    assert document["facts"]["flops_per_token"] == pytest.approx(3.28e6 + 0.394e6, rel=0.01)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from /proc")
def test_the_naive_script_gives_the_figures_of_a_scan(
    series: Path, run: Run, modules: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    row = run.checkpoints()[-1]
    sample = run.path / "sample.parquet"
    document = printed("naive", [str(series / row["revision"]), str(sample), "4"], monkeypatch, capsys)
    layers = [r for r in run.table("layers").to_pylist() if r["revision"] == row["revision"]]
    layers = [r for r in layers if r["site"] != "block" or r["layer"] < row["layers"]]
    assert document["figures"]["loss"] == pytest.approx(row["loss"], abs=1e-5)
    expected = [r["anisotropy"] for r in sorted(layers, key=lambda r: r["layer"])]
    assert document["figures"]["anisotropy"] == pytest.approx(expected, abs=1e-5)


def test_ratios_are_of_pairs_in_turn(modules: Any) -> None:
    from peer_rows.costs import Cost, compare, in_turn

    order: list[str] = []
    costs = in_turn({n: lambda n=n: order.append(n) or Cost(1, 1) for n in "ab"}, 3)  # type: ignore[misc]
    assert ("".join(order), len(costs["a"])) == ("abbaab", 3)
    row = compare([Cost(1, 2, 10), Cost(2, 2, 10), Cost(9, 2, 10)], [Cost(2, 4, 100), Cost(2, 4, 50), Cost(3, 8, 20)])
    assert row["wall"] == {"median": 1.0, "low": 0.5, "high": 3.0}
    assert row["cpu"] == {"median": 0.5, "low": 0.25, "high": 0.5}
    assert row["peak"] == {"median": 0.2, "low": 0.1, "high": 0.5}


@pytest.mark.parametrize(("fixed", "power"), [(3.0, 1.0), (0.5, 1.2), (0.0, 0.9), (20.0, 1.0)])
def test_the_exponent_of_growth_is_found_beside_a_fixed_cost(fixed: float, power: float, modules: Any) -> None:
    from peer_rows.growth import exponent

    sizes = 20 * 2.0 ** np.arange(5)
    found = exponent(sizes, fixed + 0.02 * sizes**power)
    assert found == pytest.approx((fixed, power), abs=1e-3)


def test_an_extrapolation_is_exact_on_a_line_and_a_square(modules: Any) -> None:
    from peer_rows.naive import _quadratic

    assert _quadratic([2, 10], [3 * 4 + 7 * 2, 3 * 100 + 7 * 10], 50) == pytest.approx(3 * 2500 + 7 * 50)


def test_the_page_states_ratios_bars_tokens_and_what_is_missing(tmp_path: Path, modules: Any) -> None:
    from performance_page import performance

    assert "Nothing was measured yet" in performance(tmp_path / "none.json")
    growth = {"what": "layers", "sizes": [4, 8], "seconds": [1.0, 2.0], "fixed": 0.1, "exponent": 1.014, "pairs": 3}
    errors = {"errors": [{"model": "demo", "tokens": 50_000, "loss": 0.02, "anisotropy": 0.005}]}
    stamps = {"load_before": 1.5, "date": "2026-01-03"}
    rows = {"a": ROW, "g": growth | stamps, "e": errors | stamps, "m": {"missing": "no such package"} | stamps}
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({"schema": 1, "about": ABOUT, "rows": rows}))
    page = performance(file)
    assert "| a scan | a script | 1 / 2 s | clock 0.50 (0.40 to 0.60), bar 0.45 **missed**<br>processor 0.50" in page
    assert "| layers | 4, 8 | 1, 2 | 0.1 | 1.01 |" in page
    assert "| demo | 8,000 | 50,000 | 200,000 | 3,100 | 12,000 | 50,000 |" in page
    assert "- `m`: no such package." in page
    assert "2026-01-02 to 2026-01-03; at most 1.5 processes" in page
