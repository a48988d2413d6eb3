"""Tables within a width: nothing is lost, nothing is broken, nothing is too long that could be shorter."""

from __future__ import annotations

from degen.cli.table_layout import cells, lay_out, wrap
from hypothesis import example, given
from hypothesis import strategies as st
from terminal import found_whole

WORD = st.text(st.characters(max_codepoint=0x24F, categories=("L", "N")), min_size=1, max_size=12)
CELL = st.lists(WORD, max_size=6).map(" ".join)
HEAD = st.lists(WORD, min_size=1, max_size=2).map(" ".join) | st.just("reason")


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]], list[bool]]:
    """The first column, which always stays in its place, holds single words."""
    heads = [draw(WORD), *draw(st.lists(HEAD, max_size=8, unique=True))]
    rest = st.lists(CELL, min_size=len(heads) - 1, max_size=len(heads) - 1)
    rows = st.lists(st.tuples(WORD, rest).map(lambda row: [row[0], *row[1]]), max_size=5)
    return heads, draw(rows), draw(st.lists(st.booleans(), min_size=len(heads), max_size=len(heads)))


@given(tables(), st.integers(30, 120))
@example((["0", "0"], [["0", ""], ["0", "0 0 0000 00000000 000000000000"]], [False, False]), 30)
@example((["0", "1", "0 0"], [["0", "0 0 0 0 0 0", "000 000"]] * 3 + [["000000000000", "1 0", "0 0"]], [False] * 3), 30)
def test_every_cell_is_found_whole_and_every_line_fits(
    table: tuple[list[str], list[list[str]], list[bool]], width: int
) -> None:
    heads, rows, numeric = table
    lines = lay_out(heads, rows, numeric, width)
    for row in rows:
        assert all(found_whole(cell, lines) for cell in row)
    assert max(map(cells, lines)) <= width


def test_an_empty_cell_is_not_said_to_hold_what_most_rows_hold() -> None:
    rows = [["first", "a long value of many words", "x y"]] * 9 + [["last-of-all-rows", "", "z"]]
    text = "\n".join(lay_out(["model", "note", "more"], rows, [False] * 3, 30))
    assert "note: a long" not in text


@given(tables())
def test_without_a_width_each_row_is_one_line(table: tuple[list[str], list[list[str]], list[bool]]) -> None:
    heads, rows, numeric = table
    lines = lay_out(heads, rows, numeric, None)
    assert len(lines) == len(rows) + 2
    assert [line.split() for line in lines[2:]] == [[w for cell in row for w in cell.split()] for row in rows]


def test_a_table_that_fits_is_laid_out_as_without_a_width() -> None:
    heads, rows = ["model", "loss", "reason"], [["a", "3.5", "ends at its best"], ["b", "12.25", ""]]
    wide = [
        " model    loss   reason",
        " ────────────────────────────────",
        " a         3.5   ends at its best",
        " b       12.25",
    ]
    for width in (None, 80, 33):
        assert lay_out(heads, rows, [False, True, False], width) == wide


def test_steps_of_shrinking() -> None:
    heads = ["model", "best step", "onset", "loss", "reason"]
    rows = [["a", "500", "5.72e-04", "3.5", "ends at its best"], ["b", "1000", "1.02e-04", "3.5", ""]]
    numeric = [False, True, True, True, False]
    assert lay_out(heads, rows, numeric, 36) == [
        " model   best step      onset   loss",
        " ───────────────────────────────────",
        " a             500   5.72e-04    3.5",
        "    ends at its best",
        " b            1000   1.02e-04    3.5",
    ]
    assert lay_out(heads, rows, numeric, 27) == [
        " loss: 3.5",
        " model  best step     onset",
        " ──────────────────────────",
        " a            500  5.72e-04",
        "    ends at its best",
        " b           1000  1.02e-04",
    ]
    assert lay_out(heads, rows, numeric, 20) == [
        " loss: 3.5",
        "       best",
        " model step    onset",
        " ───────────────────",
        " a      500 5.72e-04",
        "    ends at its best",
        " b     1000 1.02e-04",
    ]
    assert lay_out(heads, rows, numeric, 19) == [
        " loss: 3.5",
        "        best",
        " model  step",
        " ───────────",
        " a       500",
        "    onset 5.72e-04",
        "    ends at its",
        "    best",
        " b      1000",
        "    onset 1.02e-04",
    ]


def test_lines_are_cut_at_spaces_alone() -> None:
    path = "/a/very-long/path-of-a/file.parquet"
    assert wrap(f"error: {path}: no such file", 20) == f"error:\n{path}:\nno such file"
    assert wrap("two\nlines", None) == "two\nlines"
