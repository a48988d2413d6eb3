"""What docs/planning.md shows is what the command prints, of a hub that has configurations and sizes alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.command import degen
from hub_scans import Scans, scanned_hub
from planned_hub import add_70b, add_pythia

PAGE = Path(__file__).parents[2] / "docs" / "planning.md"
BLOCK = re.compile(r"<!-- planned by tests/docs: (.*?) -->\n```\n(.*?)```\n", re.DOTALL)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scans]:
    """Return a hub with all of Pythia and a series of 70B parameters."""
    with scanned_hub(tmp_path_factory.mktemp("planned")) as scans:
        add_pythia(scans)
        add_70b(scans)
        yield scans


def lines(text: str) -> list[str]:
    """Return the lines of a printed plan, without those that are empty or drawn."""
    return [re.sub(r"\s+", " ", line).strip() for line in text.splitlines() if line.strip() and "──" not in line]


@pytest.mark.parametrize(("command", "shown"), BLOCK.findall(PAGE.read_text(encoding="utf-8")))
def test_the_page_shows_what_is_printed(planned: Scans, command: str, shown: str) -> None:
    result = degen(*command.split())
    assert result.code == 0
    assert lines(result.out) == lines(shown)


def test_a_whole_suite_is_planned_in_a_few_requests_and_no_weights(planned: Scans) -> None:
    planned.forget()
    rows = degen("scan", "pythia", "--dry-run", "--for", "h100:8", "--json").json()["rows"]
    assert len(rows) == 1540
    assert len({row["revision"] for row in rows}) == 154
    assert len(planned.hub.requests) <= 4 * 10
    assert not [
        request for request in planned.hub.requests if "safetensors" in request.path and "resolve" in request.path
    ]
