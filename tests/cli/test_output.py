"""Cells and sparklines: properties that hold for all values."""

from __future__ import annotations

import math
import subprocess
import sys

from degen.cli.output import BLOCKS, format_cell, result_json, sparkline
from hypothesis import given
from hypothesis import strategies as st

FINITE = st.floats(-1e12, 1e12, allow_subnormal=False)
VALUES = st.lists(st.none() | FINITE | st.just(math.nan) | st.just(math.inf), max_size=300)


def finite(values: list[float | None]) -> list[float]:
    return [v for v in values if v is not None and math.isfinite(v)]


@given(VALUES)
def test_a_sparkline_is_as_long_as_the_values_and_sixty_at_most(values: list[float | None]) -> None:
    line = sparkline(values)
    if not finite(values):
        assert line == "" or set(line) == {" "}
    elif len(values) <= 60:
        assert len(line) == len(values)
    else:
        assert len(line) in (0, 60)
    assert set(line) <= {*BLOCKS, " "}


@given(st.lists(st.none() | FINITE, min_size=1, max_size=60))
def test_a_sparkline_has_gaps_where_values_are_missing_and_keeps_their_order(values: list[float | None]) -> None:
    line = sparkline(values)
    if not finite(values):
        return
    for value, block in zip(values, line, strict=True):
        assert (block == " ") == (value is None)
    pairs = [(v, BLOCKS.index(b)) for v, b in zip(values, line, strict=True) if v is not None]
    for (v, height), (w, other) in zip(sorted(pairs), sorted(pairs)[1:], strict=False):
        assert v == w or height <= other
    assert BLOCKS[0] in line
    heights = [v for v, _ in pairs]
    if max(heights) - min(heights) > 0.01 * max(map(abs, heights)):
        assert max(pairs)[1] == len(BLOCKS) - 1


def test_examples_of_sparklines() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == BLOCKS
    assert sparkline([7, 0, None, 7]) == "█▁ █"
    assert sparkline([3.0, 3.0]) == "▁▁"
    assert sparkline([47.69, 47.7, 47.69]) == "▁▁▁"  # noise should not look like a collapse
    assert sparkline([]) == ""
    assert sparkline([None, math.nan]) == ""
    assert sparkline([0.0] * 500 + [1.0])[-1] == "█"
    assert sparkline([1.0] + [0.0] * 500)[0] == "█"


@given(FINITE)
def test_table_cell_keeps_three_digits(value: float) -> None:
    text = format_cell(value)
    assert math.isclose(float(text), value, rel_tol=0.006)
    assert len(text) <= 10


def test_examples_of_table_cells() -> None:
    assert format_cell(None) == ""
    assert format_cell(math.nan) == "nan"
    assert format_cell(-math.inf) == "-inf"
    assert format_cell(0.0) == "0"
    assert format_cell(0.97651234) == "0.9765"
    assert format_cell(123456) == "123456"
    assert format_cell(1234567.0) == "1.23e+06"
    assert format_cell(0.00012) == "1.20e-04"
    assert format_cell(True) == "True"


@given(st.recursive(VALUES, lambda inner: st.dictionaries(st.text(), inner, max_size=3), max_leaves=5))
def test_json_has_no_nan_or_infinity(document: object) -> None:
    import contextlib
    import io
    import json

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        result_json({"rows": document})

    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads(out.getvalue(), parse_constant=refuse)


def test_interruption_in_a_destructor_ends_the_program() -> None:
    code = (
        "import os, signal, sys, time\n"
        "import degen.cli.main as main\n"
        "sys.unraisablehook = main._interrupt_again\n"
        "class Dying:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(0.01)\n"
        "try:\n"
        "    Dying()\n"
        "    time.sleep(30)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=25, check=True)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
