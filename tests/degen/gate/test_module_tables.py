from __future__ import annotations

import pytest

from degen.gate.module_tables import MODULE_TABLES, module_table


@pytest.mark.parametrize("name", MODULE_TABLES)
def test_a_table_and_a_column_are_named(name: str) -> None:
    assert module_table(f"{name}.rank") == (MODULE_TABLES[name], "rank")


@pytest.mark.parametrize("metric", ["", ".", ".rank", "delta", "delta.", "loss", "loss.rise", "other.rank"])
def test_what_names_no_table_or_no_column_is_none(metric: str) -> None:
    assert module_table(metric) is None
