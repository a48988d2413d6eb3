"""Published figures come with the package, each with a source."""

from __future__ import annotations

from importlib.resources import files

import pytest

from degen import DegenError
from degen.published import published_table
from degen.readers.table_file import read_table_file

FILES = sorted(entry.name for entry in files("degen.published").iterdir() if entry.name.endswith(".csv"))


def test_there_are_seven_published_tables() -> None:
    assert len(FILES) == 7


@pytest.mark.parametrize("name", FILES)
def test_each_published_table_is_read_and_has_a_source(name: str) -> None:
    assert read_table_file(published_table(name.removesuffix(".csv"))).num_rows > 5
    text = files("degen.published").joinpath("README.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}`")]
    assert "arXiv" in row or "the same, figure" in row


def test_an_unknown_table_is_refused_with_the_closest_name() -> None:
    with pytest.raises(DegenError, match="'pythia_loss'; did you mean 'pythia_pile_loss'"):
        published_table("pythia_loss")
