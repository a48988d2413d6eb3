"""One way to open what a user names: runs, tables of runs, links into them; and what is none of these."""

from __future__ import annotations

from pathlib import Path

import pytest
from no_warning import no_warning

from degen.errors import DegenError
from degen.metrics.open_target import open_target
from degen.readers.open_table import OpenTable
from degen.runs.run import Run

RUN_JSON = '{"schema_version": 2, "asked": {"series": [], "corpus": "", "tokens": 16, "context": 16, "seed": 0}}'


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Make a run folder as far as opening it goes, with an empty table of checkpoints."""
    (tmp_path / "runs" / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "runs" / "run" / "run.json").write_text(RUN_JSON)
    return tmp_path / "runs" / "run"


def test_a_run_is_opened_from_its_checkpoints_and_by_a_link_to_them(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run / "checkpoints")
    for target in (run, run / "checkpoints", tmp_path / "link"):
        opened = open_target(target, no_warning)
        assert isinstance(opened, Run)
        assert opened.path == run


def test_the_folder_around_a_run_is_no_run(run: Path) -> None:
    with pytest.raises(DegenError, match=rf"runs: this folder is no run, but holds one; did you mean {run}\?"):
        open_target(run.parent, no_warning)
    (run / "timing").mkdir()
    (run / "run.json").unlink()
    with pytest.raises(DegenError, match=r"run: this run folder lacks its run\.json; copy that file, too"):
        open_target(run, no_warning)


def test_results_of_the_harness_are_opened_only_where_they_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "m-step100.json").write_text('{"results": {"arc": {"acc": 0.5}}}')
    opened = open_target(tmp_path, no_warning)
    assert isinstance(opened, OpenTable)
    assert (opened.in_order, opened.table["value"].to_pylist()) == (False, [0.5])
    with pytest.raises(DegenError, match="no Parquet part"):
        open_target(tmp_path, no_warning, only_tables=True)
    file = open_target(tmp_path / "m-step100.json", no_warning)
    assert isinstance(file, OpenTable)
    assert file.table == opened.table
    with pytest.raises(DegenError, match="not a format of tables"):
        open_target(tmp_path / "m-step100.json", no_warning, only_tables=True)


def test_rows_of_a_file_are_in_order(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("step,loss\n1,2\n")
    opened = open_target(tmp_path / "t.csv", no_warning)
    assert isinstance(opened, OpenTable)
    assert (opened.in_order, opened.path) == (True, tmp_path / "t.csv")
