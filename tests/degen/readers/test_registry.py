"""Which reader a file is for: tables by their ending, whatever is in them, logs by what is in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from degen.readers.registry import find_reader

LOG = '{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 2.0}\n'


@pytest.mark.parametrize("name", ["t.csv", "T.CSV", "t.csv.gz", "t.parquet", "t.tsv"])
def test_a_file_with_the_ending_of_a_table_is_for_no_reader_of_logs(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(LOG)
    assert find_reader(tmp_path / name) is None


def test_a_log_is_recognised_by_its_content(tmp_path: Path) -> None:
    for name in ("run.jsonl", "run.log", ".csv.jsonl"):
        (tmp_path / name).write_text(LOG)
        assert find_reader(tmp_path / name) is not None
    assert find_reader(tmp_path / "nothing.jsonl") is None
