from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trainings import load_tokenizer


@pytest.fixture(scope="session")
def tokenizer(series: Path) -> Any:
    """Return the tokenizer of the series."""
    return load_tokenizer(series)
