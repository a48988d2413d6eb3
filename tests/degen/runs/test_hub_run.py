"""Runs that lie on the hub: read as if they lay here, online and offline, and never written to."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.command import degen
from hub_repo import Repo
from hub_scans import Scans, packed
from hub_traffic import Fault

import degen as package
from degen.errors import DegenError
from degen.gate import judge, parse_rule
from degen.runs.hub_run import parse_dataset
from degen.stores.urls import url_of

URL = "hf://datasets/org/measured"
LFS = (".parquet",)


@pytest.fixture
def served(scans: Scans, run: package.Run) -> Scans:
    """Return a hub with the run as a dataset, on a branch of its own, too."""
    files = {name: content for name, content in packed(run.path).items() if not name.startswith((".", "sample"))}
    few = {name: content for name, content in files.items() if "step1000" not in name}
    scans.hub.repos["org/measured"] = Repo({"main": files, "few": few}, kind="dataset", lfs=LFS)
    return scans


def test_every_table_is_the_same(served: Scans, run: package.Run) -> None:
    there = package.read_run(URL)
    assert there.tables == run.tables
    assert all(there.table(name).equals(run.table(name)) for name in run.tables)
    assert served.cache in there.path.parents
    assert there.name == URL


def test_a_branch_and_a_commit_are_read_and_nothing_twice(served: Scans, run: package.Run) -> None:
    package.read_run(f"{URL}@few")
    before = len(served.hub.requests_for(r"/resolve/"))
    commit = served.hub.repos["org/measured"].commit("few")
    assert [row["revision"] for row in package.read_run(f"{URL}@{commit}").checkpoints()] == ["step0", "step100"]
    assert len(served.hub.requests_for(r"/resolve/")) == before


def test_offline_what_was_read_before_is_read_again(served: Scans, run: package.Run) -> None:
    package.read_run(URL)
    served.offline()
    served.hub.requests.clear()
    assert package.read_run(URL).table("layers").equals(run.table("layers"))
    assert served.hub.requests == []
    with pytest.raises(DegenError, match="HF_HUB_OFFLINE"):
        package.read_run(f"{URL}@few")


def test_a_download_that_broke_off_is_no_run_offline(served: Scans) -> None:
    served.hub.faults.append(Fault("layers/tiny/step100", status=404, times=None))
    with pytest.raises(DegenError):
        package.read_run(URL)
    served.offline()
    with pytest.raises(DegenError, match="HF_HUB_OFFLINE"):
        package.read_run(URL)


def test_a_gate_compares_with_it(served: Scans, run: package.Run) -> None:
    rule = parse_rule("loss.rise < 1e-9")
    with_folder = judge([rule], run.path, baseline=run.path)
    assert judge([rule], run.path, baseline=URL) == with_folder
    assert judge([rule], Path(URL), baseline=URL).exit_code == 0
    result = degen("gate", run.path, "--rule", "loss.rise < 1e-9", "--baseline", URL)
    assert result.code == 0, result.err


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (("loss.rise[step=7] < 1",), f"{URL}: tiny has no checkpoint at step 7"),
        (("los < 1",), f"{URL}: table checkpoints has no metric 'los'"),
        (("anisotropy[layer=9] < 1",), f"{URL}: tiny has no layer 9"),
        (("anisotropy[model=x,layer=last] < 1",), f"{URL}"),
        (("loss[domain=x] < 1",), f"{URL}: no text of the domain 'x'"),
    ],
)
def test_messages_of_a_gate_name_its_address_and_not_the_copy(
    served: Scans, rules: tuple[str, ...], message: str
) -> None:
    result = degen("gate", URL, *(word for rule in rules for word in ("--rule", rule)))
    assert message in result.message
    assert str(served.cache) not in result.err


def test_a_baseline_that_is_not_used_or_on_other_text_is_named_by_its_address(
    served: Scans, run: package.Run, series: Path, corpus: Path, tmp_path: Path
) -> None:
    unused = degen("gate", run.path, "--rule", "loss < 99", "--baseline", URL)
    assert f"the baseline {URL} is not used" in unused.err
    options = ("--corpus", corpus, "--tokens", 256, "--context", 16, "--threads", 1, "--out", tmp_path / "other")
    assert degen("scan", series, *options).code == 0
    judged = degen("gate", tmp_path / "other", "--rule", "loss.rise < 1", "--baseline", URL)
    assert judged.code == 3
    assert "measured on other text, which is not stored with it" in judged.out
    assert str(served.cache) not in unused.err + judged.out + judged.err


def test_a_baseline_of_degen_toml_may_lie_there(served: Scans, run: package.Run, tmp_path: Path) -> None:
    file = tmp_path / "degen.toml"
    file.write_text(f'[gate]\nrules = ["loss.rise < 1e-9"]\nbaseline = "{URL}"\n')
    result = degen("gate", run.path, "--config", file)
    assert result.code == 0, result.err


def test_show_compare_saturation_export_and_report_read_it(
    served: Scans, run: package.Run, run_copy: Path, tmp_path: Path
) -> None:
    def lines(text: str) -> list[str]:
        return [line for line in text.splitlines() if "degen " not in line]

    assert lines(degen("show", URL).out) == lines(degen("show", run.path).out)
    assert degen("show", URL, "--json").json()["run"] == URL
    compared = degen("compare", run.path, URL, "--json").json()
    assert compared["second"] == URL
    assert {row["difference"] for row in compared["rows"]} == {0.0}
    verdicts = [degen("saturation", path, "--json").json()["rows"] for path in (URL, run_copy)]
    assert verdicts[0] == verdicts[1]
    out = tmp_path / "layers.csv"
    assert degen("export", URL, "--table", "layers", "--out", out).code == 0
    assert out.stat().st_size
    assert degen("report", URL, "--out", tmp_path / "page.html").code == 0
    assert not list(served.cache.rglob("saturation"))  # the copy is not written to


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("hf://datasets/org/none", "no such repository"),
        (f"{URL}@none", "no such revision"),
        ("hf://datasets/org", "must have the form"),
        ("hf://org/model", "must have the form"),
        ("nostore://host/run", "no such kind of URL"),
    ],
)
def test_what_is_no_run_is_refused_in_one_line(served: Scans, url: str, message: str) -> None:
    result = degen("show", url)
    assert message in result.message
    assert result.code == 2


def test_a_dataset_without_a_run_is_refused(served: Scans) -> None:
    served.hub.repos["org/other"] = Repo({"main": {"data.csv": b""}}, kind="dataset")
    assert "no run of degen" in degen("show", "hf://datasets/org/other").message


def test_names() -> None:
    assert parse_dataset("hf://datasets/org/name@refs%2Fpr%2F1") == ("datasets/org/name", "refs/pr/1")
    assert url_of(Path(URL)) == URL
    assert url_of("runs/a") is None
    assert url_of("C:/runs") is None
    assert url_of("/a/b:/c") is None
