from __future__ import annotations

from pathlib import Path

import pytest
from made_points import points_of, profiles

from degen.laws.law import HOFFMANN
from degen.scaling.fit import FitOptions, fit
from degen.scaling.read_points import read_points
from degen.stats.bootstrap import Bootstrap


def warnings_of(folder: Path, text: str, **columns: str) -> list[str]:
    """Warnings of reading a table, without its path."""
    file, lines = folder / "t.csv", []
    file.write_text(text)
    read_points(file, columns, lines.append)
    return [line.removeprefix(f"{file}: ") for line in lines]


def test_two_columns_of_one_quantity_that_differ_cause_a_warning(tmp_path: Path) -> None:
    text = "parameters,N,tokens,loss,val_loss\n1e8,2e8,2e9,3,3\n2e8,4e8,4e9,2.5,2.5\n"
    expected = (
        "parameters is read from column 'parameters', but column 'N' holds other values for it; "
        "use --columns parameters=N to read that one"
    )
    assert warnings_of(tmp_path, text) == [expected]
    assert warnings_of(tmp_path, text, N="N") == []
    assert warnings_of(tmp_path, text, N="parameters") == []
    assert warnings_of(tmp_path, text, tokens="N") == []


@pytest.mark.parametrize(("compute", "count"), [("6e17", 0), ("6e18", 0), ("1e-2", 1), ("6e20", 1)])
def test_compute_far_from_6nd_causes_a_warning(compute: str, count: int, tmp_path: Path) -> None:
    lines = warnings_of(tmp_path, f"params,tokens,compute,loss\n1e8,1e9,{compute},3\n2e8,5e8,{compute},3.1\n")
    assert len(lines) == count
    assert all("times 6ND; if compute is in PF-days" in line for line in lines)
    days = f"params,tokens,pf_days,loss\n1e8,1e9,{6e17 / 8.64e19},3\n"
    assert warnings_of(tmp_path, days) == []


def test_sizes_in_millions_cause_a_warning() -> None:
    points = profiles(HOFFMANN)
    small = points_of(parameters=points.parameters / 1e6, tokens=points.tokens / 1e9, loss=points.loss)
    options = FitOptions(fixed={"alpha": 0.34, "beta": 0.28}, bootstrap=Bootstrap(draws=0))
    assert any("if that is in millions or billions" in line for line in fit(small, options)[1].warnings)
    assert fit(points, options)[1].warnings == []
