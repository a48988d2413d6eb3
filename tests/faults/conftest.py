from __future__ import annotations

from pathlib import Path

import pytest
from faults.spoil import Workspace
from faults.warm import Warm, warm_server


@pytest.fixture(scope="session")
def warm() -> Warm:
    """Return the process that forks for each command."""
    return warm_server()


@pytest.fixture
def workspace(tmp_path: Path, series: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A folder that commands are given in, with a series and a corpus."""
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path, series, corpus)
