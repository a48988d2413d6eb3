"""A probe in a package of its own: installed beside degen, found, measured, and not a line of degen changed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.command import SMALL, CommandResult, degen, degen_process

from degen import read_run
from degen.probe_registry import bundled

PYPROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "1.2.3"
dependencies = ["degen-lm"]

[project.entry-points."degen.probes"]
{probe} = "{name}:{attribute}"

[tool.setuptools]
py-modules = ["{name}"]
"""

NORMS = '''
"""How long states and rows are."""

from degen.probe import HeadProbe, StreamProbe
from degen.tables import Column


class Norms(StreamProbe):
    """The longest state at every site, and of every window where the head stands."""

    measures = "largest length of a hidden state, by layer and by window"
    needs = frozenset({"states"})
    columns = {
        "checkpoints": (Column("longest_state", "float64", "", "largest length at the head", summary=True),),
        "layers": (Column("longest", "float64", "", "largest length of a state at this site"),),
        "longest_by_window": (
            Column("window", "int64", "", "window of sample.parquet", key=True),
            Column("longest", "float64", "", "largest length of what the head receives in this window"),
            Column("where", "string", "", "the site it was taken at"),
            Column("beyond_ten", "bool", "", "whether it is above ten"),
        ),
    }

    def __init__(self, sample):
        super().__init__(sample)
        self.longest = {}
        self.windows = {}

    def update_states(self, batch, site, states):
        lengths = states.double().norm(dim=-1)
        if batch.mask is not None:
            lengths = lengths * batch.mask
        self.longest[site] = max(self.longest.get(site, 0.0), lengths.max().item())
        if site.name == "head_input":
            self.windows.update(zip(batch.windows.tolist(), lengths.amax(dim=1).tolist()))

    def merge(self, other):
        for site, value in other.longest.items():
            self.longest[site] = max(self.longest.get(site, 0.0), value)
        self.windows.update(other.windows)

    def finish(self):
        layers = [{"layer": p.layer, "site": p.name, "longest": v} for p, v in self.longest.items()]
        windows = [
            {"window": self.sample.windows[i].number, "longest": v, "where": "head_input", "beyond_ten": v > 10}
            for i, v in sorted(self.windows.items())
        ]
        return {
            "checkpoints": [{"longest_state": max(self.windows.values())}],
            "layers": layers,
            "longest_by_window": windows,
        }


class Clash(HeadProbe):
    """Fills a column that is there."""

    measures = "nothing new"
    columns = {"checkpoints": (Column("loss", "float64", "", "another loss"),)}

    def measure(self, head):
        return {"checkpoints": [{"loss": 1.0}]}


class Engine(Clash):
    """Fills a column of the engine's."""

    columns = {"layers": (Column("site", "string", "", "another site"),)}


class Undeclared(HeadProbe):
    """Fills what it has not declared."""

    measures = "more than it says"
    columns = {"checkpoints": (Column("rows", "int64", "rows", "rows"),)}

    def measure(self, head):
        return {"checkpoints": [{"rows": head.shape[0], "secret": 1}]}


class Fails(HeadProbe):
    """Cannot measure."""

    measures = "nothing"
    columns = {"checkpoints": (Column("rows", "int64", "rows", "rows"),)}

    def measure(self, head):
        raise ZeroDivisionError("a stranger's bug\\nin two lines")


class Text(Fails):
    """Returns a text where a whole number belongs."""

    def measure(self, head):
        return {"checkpoints": [{"rows": "many"}]}


class TextOfStates(Norms):
    """Returns a text where a number belongs."""

    def finish(self):
        return {"layers": [{"layer": p.layer, "site": p.name, "longest": "far"} for p in self.longest]}


class NoProbe:
    """Not a probe."""
'''

Install = Callable[[str], Path]


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Build a package with one entry point and install it with pip into a folder of its own."""
    done: dict[str, Path] = {}

    def put(attribute: str) -> Path:
        if attribute not in done:
            folder, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
            name = f"third_party_{attribute.lower()}"
            text = PYPROJECT.format(name=name, attribute=attribute, probe=attribute.lower())
            (folder / "pyproject.toml").write_text(text)
            (folder / f"{name}.py").write_text("raise RuntimeError('no luck')" if attribute == "Broken" else NORMS)
            subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
                 "--no-build-isolation", "--no-index", "--target", str(target), str(folder)],
                check=True, capture_output=True,
            )  # fmt: skip
            done[attribute] = target
        return done[attribute]

    return put


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
