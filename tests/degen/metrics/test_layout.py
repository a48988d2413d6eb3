"""Which column of a table is what."""

from __future__ import annotations

from degen.metrics.layout import FACTS, NAMES_CHECKPOINT
from degen.tables import CHECKPOINTS, ENGINE_TABLES


def test_no_column_of_the_engine_is_taken_for_a_metric_where_checkpoints_are_read_as_a_table() -> None:
    """Numbers would become metrics, and text would tell apart what is one curve."""
    columns = {c.name for c in ENGINE_TABLES[CHECKPOINTS] if c.type != "bool"}
    assert columns - FACTS - NAMES_CHECKPOINT - {"model"} == set()
