"""The columns of the probes of 0.1.0: a run is continued only where name, type, unit and definition are the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from degen.hashing import fingerprint
from degen.probe_registry import load_probes

COLUMNS: dict[str, str] = json.loads((Path(__file__).parent / "data" / "columns-0.1.0.json").read_text())


@pytest.mark.parametrize("name", COLUMNS)
def test_a_run_of_an_earlier_version_can_be_continued(name: str) -> None:
    """A definition that now says something else is a new version of the schema; one that is worded anew is none."""
    (probe,) = load_probes([name]).values()
    columns = {table: [[c.name, c.type, c.unit, c.definition] for c in own] for table, own in probe.columns.items()}
    assert fingerprint(columns)[:16] == COLUMNS[name]
