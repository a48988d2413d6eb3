"""What a table of models lacks for slopes, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from degen import DegenError
from degen.scaling.architectures.families import compare_architectures
from degen.scaling.architectures.options import CompareOptions
from degen.scaling.read_points import read_points

SIZES = (1e6, 3e6, 1e7, 3e7, 1e8)


def table(path: Path, columns: str, rows: list[str]) -> Path:
    path.write_text("\n".join([f"architecture,{columns}", *rows]) + "\n")
    return path


def reasons(path: Path, **columns: str) -> dict[str, str | None]:
    """Return the reason of each pair of quantities; None where a line is fitted."""
    rows = compare_architectures(read_points(path, columns), CompareOptions()).rows
    return {row["pair"]: row["reason"] for row in rows if row["axes"] == "semi-log"}


def test_compute_without_tokens_is_missing_because_tokens_are(tmp_path: Path) -> None:
    rows = [f"a,{n:g},,{5 - 0.3 * i}" for i, n in enumerate(SIZES)]
    found = reasons(table(tmp_path / "t.csv", "params,tokens,loss", rows))
    assert found["flops-upstream"] == (
        "flops are missing in every row, because tokens are; name another column with --columns"
    )
    assert found["parameters-upstream"] is None


def test_a_column_of_compute_that_is_empty_is_missing_itself(tmp_path: Path) -> None:
    rows = [f"a,{n:g},,{5 - 0.3 * i}" for i, n in enumerate(SIZES)]
    found = reasons(table(tmp_path / "t.csv", "params,flops,loss", rows))
    assert found["flops-upstream"] == "flops are missing in every row; name another column with --columns"


def test_without_any_line_every_reason_is_given_once(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "loss", [f"a,{5 - 0.3 * i}" for i in range(5)])
    with pytest.raises(DegenError) as error:
        reasons(path)
    message = str(error.value)
    assert message.startswith(
        f"{path}: no line can be fitted; no column of flops, nor columns of parameters and tokens"
    )
    assert message.count("no column of flops") == 1
    assert "; no column of parameters; name it with --columns parameters=COLUMN" in message
