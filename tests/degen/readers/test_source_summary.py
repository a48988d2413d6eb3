"""The line that says what was understood of a table."""

from __future__ import annotations

from pathlib import Path

from degen.readers.source_summary import SourceSummary


def test_names_are_listed_up_to_four() -> None:
    names = ("a", "b", "c", "d", "e")
    four = SourceSummary(Path("t.csv"), "table", 1, models=names[:4], metrics=names[:4], errors=names[:4])
    five = SourceSummary(Path("t.csv"), "table", 2, models=names, metrics=names, errors=names)
    assert four.line == (
        "t.csv: table, 1 row, 4 models (a, b, c, d), metrics a, b, c, d, standard errors from a, b, c, d"
    )
    assert five.line == (
        "t.csv: table, 2 rows, 5 models (a, b, c, d and 1 more), metrics a, b, c, d and 1 more, "
        "standard errors from a, b, c, d and 1 more"
    )


def test_errors_that_are_unknown_are_said_and_those_without_use_are_not() -> None:
    known = SourceSummary(Path("t.csv"), "table", 2, {"step": "s"}, left_out=("lists (x)",), remarks=("steps are s",))
    assert known.line == "t.csv: table, 2 rows, step from s, no standard errors, left out: lists (x); steps are s"
    assert SourceSummary(Path("t.csv"), "table", 0, errors=None).line == "t.csv: table, 0 rows"
