"""Plots that a command writes, as matplotlib's figures, so that tests can read axes, labels and lines."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are saved while a test runs, in order; their files are written as always."""
    from matplotlib.figure import Figure

    saved: list[Any] = []
    save = Figure.savefig

    def record(figure: Any, *args: Any, **options: Any) -> None:
        saved.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", record)
    return saved
