"""The time left of a series, and the bar in a notebook, by itself and in a real kernel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import degen
from degen.scanning.notebook_progress import NotebookProgress, usual_progress
from degen.scanning.progress import Progress
from degen.scanning.series_clock import SeriesClock, format_seconds


class Seconds:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(0, 5), st.integers(1, 20), st.integers(1, 20), st.floats(0.1, 1000))
def test_checkpoints_of_one_pace_leave_the_time_of_the_rest(before: int, measured: int, rest: int, pace: float) -> None:
    seconds = Seconds()
    clock = SeriesClock(seconds)
    clock.begin(before + measured + rest, before)
    assert clock.seconds_left is None
    for _ in range(measured):
        clock.begin_checkpoint(100)
        seconds.now += pace
        assert clock.finish_checkpoint() == pytest.approx(pace)
    assert clock.seconds_left == pytest.approx(rest * pace)
    clock.begin_checkpoint(100)
    clock.advance(50)
    seconds.now += pace / 2
    assert clock.share == 0.5
    assert clock.seconds_left == pytest.approx((rest - 0.5) * pace)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (12_000, "3 h 20 min")]
)
def test_durations_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_one_line_says_what_is_done_and_what_is_left(series: Path, corpus: Path, tmp_path: Path) -> None:
    shown: list[tuple[str, str, bool]] = []
    progress = NotebookProgress(lambda *line: shown.append(line))
    degen.scan(series, corpus=corpus, tokens=256, context=32, threads=1, out=tmp_path / "run", progress=progress)
    texts = [text for text, _, _ in shown]
    for words in (
        "finding checkpoints",
        "0/3  tokenising text",
        "0/3  tiny@step0 loading",
        "2/3  tiny@step1000 measuring",
    ):
        assert any(text.startswith(words) for text in texts), words
    assert texts[-1] == "3/3  3 ok"
    assert any(re.fullmatch(r"2/3  tiny@step1000 loading  \d+ s left", text) for text in texts)
    assert [again for _, _, again in shown] == [False] + [True] * (len(shown) - 1)
    assert '<progress max="3" value="3.000"></progress> 3/3  3 ok' in shown[-1][1]


def test_outside_a_notebook_progress_goes_to_the_log() -> None:
    assert type(usual_progress()) is Progress


@pytest.fixture
def notebook(series: Path, corpus: Path, tmp_path: Path) -> Any:
    """A notebook that was executed in a real kernel, and scanned the series."""
    import nbclient
    import nbformat

    code = (
        f"import degen\nrun = degen.scan({str(series)!r}, corpus={str(corpus)!r}, tokens=256, context=32, threads=1, "
        f"out={str(tmp_path / 'run')!r})\nlen(run.checkpoints())"
    )
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    return book


@pytest.mark.extras
@pytest.mark.filterwarnings("default")
def test_a_notebook_shows_one_bar(notebook: Any) -> None:
    outputs = notebook.cells[0].outputs
    bars = [output for output in outputs if output.output_type == "display_data"]
    assert len(bars) == 1
    assert bars[0].data["text/plain"] == "3/3  3 ok"
    assert "<progress" in bars[0].data["text/html"]
    assert outputs[-1].data["text/plain"] == "3"
