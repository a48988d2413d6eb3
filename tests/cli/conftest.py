"""Figures that a command writes, so that tests can read their axes and numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair
import pytest

from degen.figures import export
from degen.figures.figure import Figure


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved while a test runs, in order, all of them valid; their files are written as always."""
    saved: list[Figure] = []
    save = export.save_figure

    def record(figure: Figure, file: Path, *args: Any) -> None:
        altair.Chart.from_dict(figure.spec, validate=True)
        saved.append(figure)
        save(figure, file, *args)

    monkeypatch.setattr(export, "save_figure", record)
    return saved
