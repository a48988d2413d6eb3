"""Published figures that tests read where they are at hand; nothing of them is in the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "shared" / "data"


def published(name: str) -> Path:
    """A file of published figures; the test is skipped where it is not there."""
    file = FOLDER / name
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    return file
