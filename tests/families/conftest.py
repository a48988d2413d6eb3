from __future__ import annotations

from pathlib import Path

import pytest
from tiny import make_corpus, pile


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write nine documents, long and short ones in turn."""
    return make_corpus(tmp_path_factory.mktemp("texts") / "texts.jsonl", pile(9, ragged=True))
