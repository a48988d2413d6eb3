"""Parts joined while they are read: the same tables as reading every file, joining all and sorting row by row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_runs import make_run

from degen import DegenError, read_run
from degen.metrics.run_parts import RunParts
from degen.runs import joined_parts
from degen.runs.parts import part_files
from degen.runs.training_positions import training_positions

MODELS = ("org/b", "org/a", "c")
TABLES = ("checkpoints", "layers", "windows", "spectrum", "timing")
Change = Callable[[Path], None]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined_parts, "BATCH", 4)


def rewrite(file: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.ParquetFile(file).read()), file)


def set_info(run: Path, **entries: Any) -> None:
    info = json.loads((run / "run.json").read_text()) | entries
    (run / "run.json").write_text(json.dumps(info))


def of_older_schema(run: Path) -> None:
    for file in part_files(run / "checkpoints"):
        rewrite(file, lambda part: part.drop_columns(["stage", "seed", "anisotropy_across"]))


def with_added_columns(run: Path) -> None:
    """Leave columns to the parts of some checkpoints alone, as where a probe is being added to a run."""
    set_info(run, probes_by_config={"made": ["loss"]})
    for file in part_files(run / "checkpoints")[:7]:
        rewrite(file, lambda part: part.drop_columns(["anisotropy", "anisotropy_se"]))


def by_polars(run: Path) -> None:
    """Write texts as polars does."""

    def enlarge(part: pa.Table) -> pa.Table:
        fields = [f.with_type(pa.large_string()) if pa.types.is_string(f.type) else f for f in part.schema]
        return part.cast(pa.schema(fields, metadata=part.schema.metadata))

    for file in part_files(run / "checkpoints"):
        rewrite(file, enlarge)


def without_models(run: Path) -> None:
    set_info(run, models=["c"])


def as_made(run: Path) -> None:
    """Change nothing."""


CHANGES: list[Change] = [as_made, of_older_schema, with_added_columns, by_polars, without_models]


@pytest.fixture(params=CHANGES, ids=lambda change: change.__name__)
def changed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    run = make_run(tmp_path / "run", MODELS, checkpoints=5, layers=1, windows=2, width=3, tables=TABLES)
    request.param(run)
    return run


def read_row_by_row(run: Path, name: str) -> pa.Table:
    """Read a table as `Run.table` defines it."""
    info = json.loads((run / "run.json").read_text())
    files = [pq.ParquetFile(file).read() for file in part_files(run / name)]
    widest = max((part.schema.names for part in files), key=len)
    table = pa.concat_tables(files, promote_options="default").select(widest)
    rows = [row for file in part_files(run / "checkpoints") for row in pq.ParquetFile(file).read().to_pylist()]
    positions = training_positions(rows, info["asked"].get("revision_pattern"))
    series = {model: i for i, model in enumerate(info["models"])}
    keys = list(zip(table["model"].to_pylist(), table["revision"].to_pylist(), strict=True))
    order = sorted(
        range(len(keys)),
        key=lambda i: (series.get(keys[i][0], len(series)), positions.get(keys[i], len(positions)), keys[i][1]),
    )
    return table.take(pa.array(order, type=pa.int64()))


def test_a_table_is_all_parts_joined_and_sorted_row_by_row(changed: Path) -> None:
    run = read_run(changed)
    for name in TABLES:
        expected = read_row_by_row(changed, name)
        assert run.table(name).equals(expected, check_metadata=True)
    checkpoints = read_row_by_row(changed, "checkpoints")
    for columns in (["loss"], ["status", "revision", "loss_se", "no_such"], list(reversed(checkpoints.column_names))):
        kept = [c for c in checkpoints.column_names if c in columns]
        assert run.table("checkpoints", columns).equals(checkpoints.select(kept), check_metadata=True)


def test_the_checkpoints_of_curves_are_parts_sorted_by_their_first_row(changed: Path) -> None:
    info = json.loads((changed / "run.json").read_text())
    parts = [pq.ParquetFile(file).read() for file in part_files(changed / "checkpoints")]
    firsts = [part.slice(0, 1).to_pylist()[0] for part in parts]
    positions = training_positions(firsts, info["asked"].get("revision_pattern"))
    series = {model: i for i, model in enumerate(info["models"])}

    def position(i: int) -> tuple[int, str, int]:
        model, revision = firsts[i]["model"], firsts[i]["revision"]
        return series.get(model, len(series)), model, positions[model, revision]

    ordered = [parts[i] for i in sorted(range(len(parts)), key=position)]
    expected = pa.concat_tables(ordered, promote_options="permissive")
    assert RunParts(read_run(changed)).checkpoints.equals(expected)


def test_a_part_with_other_columns_than_most_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", ("a",), checkpoints=9, layers=1, windows=2, width=3, tables=TABLES)
    odd = part_files(run / "checkpoints")[6]
    rewrite(odd, lambda part: part.drop_columns(["loss"]))
    with pytest.raises(DegenError, match=f"{odd.name}: cannot be read .*it has other columns than the table"):
        read_run(run).table("checkpoints")
    with pytest.raises(DegenError, match=f"{odd.name}: cannot be read .*it has other columns than the table"):
        read_run(run).table("layers")  # whose order comes from table checkpoints
    RunParts(read_run(run)).checkpoints  # noqa: B018  curves take what there is


def test_a_part_without_its_keys_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", ("a",), checkpoints=9, layers=1, windows=2, width=3, tables=TABLES)
    odd = part_files(run / "layers")[3]
    rewrite(odd, lambda part: part.set_column(0, part.schema.field(0), pa.nulls(len(part), pa.string())))
    with pytest.raises(DegenError, match=f"{odd.name}: cannot be read .*it has rows without model"):
        read_run(run).table("layers")
