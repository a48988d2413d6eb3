"""Plain lines of progress where there is no terminal, as in CI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from degen.cli.progress import ConsoleProgress

from degen.checkpoints.local_series import from_path
from degen.checkpoints.series import Grammar


def test_a_plain_line_says_how_much_time_is_left_of_a_long_series(
    series: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = from_path(series, Grammar(), lambda _: None)
    checkpoints: list[Any] = [*found.checkpoints]
    seconds = 0.0
    with ConsoleProgress(lambda: seconds) as progress:
        progress.start_scan(checkpoints, 0)
        for checkpoint, taken in zip(checkpoints, (300.0, 20.0, 1.0), strict=True):
            progress.start_checkpoint(checkpoint, 100)
            seconds += taken
            progress.finish_checkpoint(checkpoint, "ok", "")
    assert capsys.readouterr().err.splitlines() == [
        "[1/3] tiny@step0 ok 300.0 s, 10 min left",
        "[2/3] tiny@step100 ok 20.0 s, 3 min left",
        "[3/3] tiny@step1000 ok 1.0 s",
    ]
