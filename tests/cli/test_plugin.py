"""A probe in a package of its own: installed beside degen, found, measured, and not a line of degen changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.command import SMALL, CommandResult, degen, degen_process
from probe_packages import install_packages

from degen import read_run
from degen.probe_registry import bundled

Install = Callable[[str], Path]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folder of its own into which each package was installed: the first by pip, the others unpacked."""
    return install_packages(tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("sites"))


@pytest.fixture
def install(sites: dict[str, Path]) -> Install:
    """Return a function that gives the folder where the package with a probe is installed."""
    return sites.__getitem__


def degen_with(site: Path, *args: object) -> CommandResult:
    """`degen …` with that folder on the path."""
    return degen_process(*args, PYTHONPATH=str(site))


def test_probe_of_another_package_fills_its_columns_and_its_table(
    install: Install, series: Path, corpus: Path, tmp_path: Path
) -> None:
    site, out = install("Norms"), tmp_path / "run"
    args = ("scan", series, "--corpus", corpus, *SMALL, "--steps", "0,100", "--out", out)
    result = degen_with(site, *args, "--probes", "norms,loss", "--json")
    assert result.code == 0, result.err
    run = read_run(out)
    assert run.tables == ["checkpoints", "domains", "layers", "longest_by_window", "timing", "windows"]
    layers, windows = run.table("layers"), run.table("longest_by_window")
    assert windows.schema.names == ["model", "revision", "step", "window", "longest", "where", "beyond_ten"]
    assert [str(t) for t in windows.schema.types] == [
        "string", "string", "int64", "int64", "double", "string", "bool"
    ]  # fmt: skip
    assert windows.schema.field("longest").metadata[b"definition"].startswith(b"largest length")
    for row in result.json()["rows"]:
        of_row = [w for w in windows.to_pylist() if w["revision"] == row["revision"]]
        assert [w["window"] for w in of_row] == list(range(len(of_row)))
        assert row["longest_state"] == max(w["longest"] for w in of_row) > 0
        assert all(w["beyond_ten"] == (w["longest"] > 10) and w["where"] == "head_input" for w in of_row)
        sites = {(x["layer"], x["site"]): x for x in layers.to_pylist() if x["revision"] == row["revision"]}
        assert list(sites) == [(0, "embedding"), (1, "block"), (2, "block"), (2, "head_input")]
        assert sites[2, "head_input"]["longest"] == row["longest_state"]
        assert row["loss"] > 0
    phases = {row["phase"] for row in run.table("timing").to_pylist()}
    assert phases == {"fetch", "load", "forward", "loss", "norms", "total"}
    printed = degen_with(site, "show", out)
    assert "longest_state" in printed.out
    assert "longest_state" in CommandResult(*without(out)).out  # a run can be read where the probe is not installed


def without(run: Path) -> tuple[int, str, str]:
    result = degen_process("show", run)
    assert result.code == 0
    return result.code, result.out, result.err


def test_probe_of_another_package_is_listed(install: Install) -> None:
    rows: dict[str, Any] = {r["name"]: r for r in degen_with(install("Norms"), "probes", "--json").json()["rows"]}
    assert list(rows) == sorted([*bundled(), "norms"])
    assert {"anisotropy", "delta", "loss", "rank", "spectrum"} <= set(rows)
    assert rows["norms"] == {
        "name": "norms",
        "default": False,
        "measures": "largest length of a hidden state, by layer and by window",
        "needs": ["states"],
        "fills": {
            "checkpoints": ["longest_state"],
            "layers": ["longest"],
            "longest_by_window": ["longest", "where", "beyond_ten"],
        },
        "cost": "",
        "metrics": [],
    }
    shown = degen_with(install("Norms"), "probes", "norms").out
    assert "norms: largest length of a hidden state, by layer and by window" in shown
    assert "cost: not stated" in shown
    assert "formula, source, range and meaning: not stated" in shown


def test_probe_of_another_package_is_not_measured_by_default(
    install: Install, series: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    monkeypatch.syspath_prepend(install("Norms"))
    args = ("scan", series, "--corpus", corpus, *SMALL, "--steps", "0", "--out", out)
    assert "norms" in degen("probes").out
    assert degen(*args).code == 0
    assert "longest_by_window" not in read_run(out).tables
    assert "longest_state" not in read_run(out).table("checkpoints").schema.names


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("Clash", ("probe", "clash", "column checkpoints.loss is already filled by probe loss")),
        ("Engine", ("probe engine", "column layers.site is already filled by degen itself")),
        ("NoProbe", ("probe noprobe", "is no HeadProbe, ModelProbe, SourceProbe or StreamProbe")),
        ("Broken", ("probe broken", "cannot be imported", "no luck")),
    ],
)
def test_unusable_probe_is_refused(
    attribute: str,
    words: tuple[str, ...],
    install: Install,
    series: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "run"
    monkeypatch.syspath_prepend(install(attribute))
    result = degen("scan", series, "--probes", f"{attribute.lower()},spectrum", "--out", out)
    assert result.code == 2
    for word in words:
        assert word in result.message
    assert not out.exists()


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("Undeclared", "probe undeclared: column checkpoints.secret is not declared"),
        ("Fails", "probe fails: ZeroDivisionError: a stranger's bug in two lines"),
        ("Text", "probe text: column checkpoints.rows is of int64, not 'many'"),
        ("TextOfStates", "probe textofstates: column layers.longest is of float64, not 'far'"),
    ],
)
def test_failing_probe_fails_the_checkpoint_with_a_reason(
    attribute: str,
    words: str,
    install: Install,
    series: Path,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    args = ("scan", series, "--corpus", corpus, *SMALL, "--steps", "0", "--out", tmp_path / "run", "--json")
    monkeypatch.syspath_prepend(install(attribute))
    result = degen(*args, "--probes", attribute.lower())
    assert result.code == 4
    result.assert_no_fault()
    (row,) = result.json()["rows"]
    assert row["status"] == "failed"
    assert words in row["reason"]
    assert attribute.lower() in row["reason"]


@pytest.mark.parametrize(
    ("attribute", "others", "problem"),
    [
        ("Fails", "spectrum", "ZeroDivisionError: a stranger's bug in two lines"),
        ("Fails", "loss", "ZeroDivisionError: a stranger's bug in two lines"),
        ("Text", "spectrum", "column checkpoints.rows is of int64, not 'many'"),
    ],
)
def test_failing_probe_leaves_a_reason_and_the_others_their_figures(
    attribute: str,
    others: str,
    problem: str,
    install: Install,
    series: Path,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    args = ("scan", series, "--corpus", corpus, *SMALL, "--steps", "0", "--out", tmp_path / "run", "--json")
    monkeypatch.syspath_prepend(install(attribute))
    name = attribute.lower()
    result = degen(*args, "--probes", f"{name},{others}")
    assert result.code == 0, result.err
    (row,) = result.json()["rows"]
    assert row["status"] == "ok"
    assert row["reason"] == f"{name} not measured: probe {name}: {problem}"
    assert row["rows"] is None
    assert row["effective_rank" if others == "spectrum" else "loss"] > 0


def test_broken_probe_does_not_disturb_the_others(
    install: Install, series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not selected: the others are listed and measured."""
    site = install("Broken")
    monkeypatch.syspath_prepend(site)
    result = degen_with(site, "scan", series, "--steps", "0", "--probes", "spectrum", "--out", tmp_path / "run")
    assert result.code == 0
    assert result.err.splitlines()[0] == (
        "warning: probe broken (third_party_broken:Broken) cannot be imported: RuntimeError: no luck; it is left out"
    )
    listed = degen("probes", "--json")
    assert listed.code == 0, listed.err
    names = {row["name"]: row["measures"] for row in listed.json()["rows"]}
    assert "no luck" in names["broken"]
    assert {"anisotropy", "loss", "spectrum"} <= set(names)
