"""Training tokens are filled into a run that is there, and other settings are refused in plain words."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import degen
from degen import DegenError
from degen.saturation import find_saturation, write_result
from degen.scanning.extend import adds_only

SCAN = {"tokens": 256, "context": 32, "threads": 1, "probes": ("loss", "spectrum")}


def parts(run: Path) -> dict[str, tuple[int, bytes]]:
    """Modification time and bytes of every part."""
    files = sorted(run.rglob("*.parquet"))
    return {str(f.relative_to(run)): (f.stat().st_mtime_ns, f.read_bytes()) for f in files}


def test_tokens_given_later_are_those_of_a_run_that_had_them_from_the_beginning(
    series: Path, corpus: Path, tmp_path: Path
) -> None:
    early = degen.scan(series, corpus=corpus, out=tmp_path / "early", tokens_per_step=2048, **SCAN)
    late = degen.scan(series, corpus=corpus, out=tmp_path / "late", **SCAN)
    assert {row["tokens_seen"] for row in late.checkpoints()} == {None}
    write_result(find_saturation(late.path), late)
    before = parts(late.path)
    late = degen.scan(series, corpus=corpus, out=tmp_path / "late", tokens_per_step=2048, **SCAN)
    after = parts(late.path)
    touched = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert touched == {
        *(f"checkpoints/tiny/step{step}.parquet" for step in (0, 100, 1000)), "saturation/tiny.parquet",
    }  # fmt: skip
    assert "saturation/tiny.parquet" not in after  # its verdicts knew of no tokens
    for name in touched & after.keys():
        mine, other = (pq.ParquetFile(run.path / name).read() for run in (late, early))
        assert mine.equals(other)
        assert mine.schema.equals(other.schema, check_metadata=True)
    assert late.info["asked"]["tokens_per_step"] == 2048
    again = degen.scan(series, corpus=corpus, out=tmp_path / "late", **SCAN)  # which says nothing of them now
    assert again.info == late.info
    assert parts(late.path) == after


def test_a_fill_that_was_cut_off_is_finished(series: Path, corpus: Path, tmp_path: Path) -> None:
    run = degen.scan(series, corpus=corpus, out=tmp_path / "run", tokens_per_step=2048, **SCAN)
    part = run.path / "checkpoints" / "tiny" / "step100.parquet"
    table = pq.ParquetFile(part).read()
    filled = table.to_pylist()
    for name in ("tokens_seen", "training_flops"):
        i = table.schema.get_field_index(name)
        table = table.set_column(i, table.schema.field(i), pa.nulls(1, table.schema.field(i).type))
    pq.write_table(table, part)
    degen.scan(series, corpus=corpus, out=tmp_path / "run", **SCAN)
    assert pq.ParquetFile(part).read().to_pylist() == filled
    assert filled[0]["tokens_seen"] == 204_800


def test_other_tokens_than_before_are_refused(series: Path, corpus: Path, tmp_path: Path) -> None:
    degen.scan(series, corpus=corpus, out=tmp_path / "run", tokens_per_step=2048, **SCAN)
    with pytest.raises(DegenError, match=r"other settings: tokens_per_step 2048 \(now 4096\)"):
        degen.scan(series, corpus=corpus, out=tmp_path / "run", tokens_per_step=4096, **SCAN)


def test_no_other_setting_is_an_addition() -> None:
    old = {"tokens_per_step": None, "seed": 0}
    assert adds_only(old, old | {"skip_first": 0})  # a run that knew no such setting
    assert not adds_only(old, old | {"skip_first": 2})
    assert not adds_only(old | {"skip_first": 2}, old | {"skip_first": 0})
    assert adds_only(old, {"tokens_per_step": 5, "seed": 0})
    assert not adds_only(old, {"tokens_per_step": 5, "seed": 1})
    assert not adds_only({"tokens_per_step": 4, "seed": 0}, {"tokens_per_step": 5, "seed": 0})


@pytest.mark.parametrize(
    ("before", "now", "adds"),
    [
        (["pythia:70m"], ["pythia:70m,160m"], True),
        (["pythia:160m,70m"], ["pythia"], True),
        (["pythia:70m"], ["pythia:70m", "org/name"], True),
        (["pythia:70m,160m"], ["pythia:160m"], False),
        (["org/name"], ["org/name,other"], False),
        (["a=pythia:70m"], ["pythia:70m"], False),
    ],
)
def test_further_models_of_a_suite_are_an_addition(before: list[str], now: list[str], adds: bool) -> None:
    assert adds_only({"series": before, "seed": 0}, {"series": now, "seed": 0}) is adds


def test_options_of_probes_are_named_one_by_one(series: Path, corpus: Path, tmp_path: Path) -> None:
    options = {"rank": {"ranks": [4], "methods": ["svd"]}}
    scan = SCAN | {"probes": ("loss", "rank"), "steps": "100", "corpus": corpus, "out": tmp_path / "run"}
    degen.scan(series, options=options, **scan)
    with pytest.raises(DegenError) as error:
        degen.scan(series, options={"rank": options["rank"] | {"ranks": [8]}}, **scan)
    told = "was scanned with other settings: ranks of rank 4 (now 8); choose another --out, or --fresh"
    assert str(error.value) == f"{tmp_path / 'run'}: {told}"
    with pytest.raises(DegenError) as error:
        degen.scan(series, **scan)
    assert "{" not in str(error.value)
    assert "ranks of rank 4 (now by default)" in str(error.value)
