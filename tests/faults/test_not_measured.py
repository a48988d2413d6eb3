"""No figure for what was not measured: copies that are none, files replaced, parts damaged, heads of zeros."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from faults import spoil
from faults.command import SMALL, degen
from faults.test_kill import files
from safetensors.torch import load_file, save_file
from tiny import make_series

from degen import read_run

COPIES = {"duplicate", "equals_final"}  # verdicts of an audit


def reinterpret(checkpoint: Path, dtype: torch.dtype) -> None:
    """The same bytes under another type, in every matrix of a checkpoint."""
    file = checkpoint / "model.safetensors"
    tensors = load_file(file)
    save_file({k: t.view(dtype) if t.dim() == 2 else t for k, t in tensors.items()}, file, metadata={"format": "pt"})


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """A series of float16 checkpoints of which step200 has the bytes of step100."""
    series = make_series(tmp_path / "halves", (0, 100), dtype="float16")
    shutil.copytree(series / "step100", series / "step200")
    return series


def spectra(series: Path, out: Path) -> list[dict[str, Any]]:
    result = degen("scan", series, "--probes", "spectrum", "--out", out)
    result.assert_no_fault()
    return read_run(out).checkpoints()


def test_equal_bytes_of_other_types_are_no_copy(halves: Path, tmp_path: Path) -> None:
    before = spectra(halves, tmp_path / "before")
    assert [row["status"] for row in before] == ["ok", "ok", "duplicate"]
    assert COPIES & {row["verdict"] for row in degen("audit", halves, "--json").json()["rows"]}
    reinterpret(halves / "step200", torch.bfloat16)
    after = spectra(halves, tmp_path / "after")
    assert [row["status"] for row in after] == ["ok", "ok", "ok"]
    assert after[1]["head_sha256"] == after[2]["head_sha256"]
    assert after[1]["singular_entropy"] != after[2]["singular_entropy"]
    audited = degen("audit", halves, "--json").json()["rows"]
    assert not any("identical" in (row["reason"] or "") for row in audited)
    assert not COPIES & {row["verdict"] for row in audited}


@pytest.mark.parametrize("pair", [(torch.int8, torch.uint8), (torch.uint8, torch.float8_e4m3fn)])
def test_equal_bytes_of_one_byte_types_are_no_copy(pair: tuple[torch.dtype, torch.dtype], tmp_path: Path) -> None:
    series = make_series(tmp_path / "bytes", (100,))
    file = series / "step100" / "model.safetensors"
    values = {k: torch.randint(0, 100, t.shape).to(torch.uint8) for k, t in load_file(file).items()}
    for step, dtype in zip((100, 200), pair, strict=True):
        if step == 200:
            shutil.copytree(series / "step100", series / "step200")
        typed = {k: t.view(dtype) for k, t in values.items()}
        save_file(typed, series / f"step{step}" / "model.safetensors", metadata={"format": "pt"})
    rows = spectra(series, tmp_path / "run")
    assert "duplicate" not in [row["status"] for row in rows]
    assert rows[0]["status"] == "failed"  # whole numbers stand for other values
    assert not COPIES & {row["verdict"] for row in degen("audit", series, "--json").json()["rows"]}


def test_the_same_types_in_another_format_are_a_copy(tmp_path: Path) -> None:
    series = make_series(tmp_path / "formats", (100,), dtype="bfloat16")
    shutil.copytree(series / "step100", series / "step200")
    torch.save(load_file(series / "step200" / "model.safetensors"), series / "step200" / "pytorch_model.bin")
    (series / "step200" / "model.safetensors").unlink()
    assert [row["status"] for row in spectra(series, tmp_path / "run")] == ["ok", "duplicate"]


def copy_with_time(source: Path, target: Path) -> None:
    """As `cp -p`, `rsync -a` and `tar` do."""
    shutil.copy2(source, target)


REPLACED: dict[str, Callable[[Path, Path], None]] = {
    "older": lambda other, own: (os.utime(other, (1, 1)), copy_with_time(other, own))[1],
    "much newer": lambda other, own: (os.utime(other, (4e9, 4e9)), copy_with_time(other, own))[1],
    "renamed": lambda other, own: (os.utime(other, (1, 1)), other.replace(own))[1],
}


@pytest.mark.parametrize("kind", REPLACED)
def test_a_checkpoint_whose_files_were_replaced_is_measured_again(kind: str, tmp_path: Path) -> None:
    series, others = make_series(tmp_path / "tiny", (0, 100)), make_series(tmp_path / "others", (7,))
    first = spectra(series, tmp_path / "run")
    REPLACED[kind](others / "step7" / "model.safetensors", series / "step100" / "model.safetensors")
    second = spectra(series, tmp_path / "run")
    assert second[0] == first[0]
    assert second[1]["head_sha256"] != first[1]["head_sha256"]


def test_one_of_several_files_with_an_older_time_is_noticed(tmp_path: Path) -> None:
    series = make_series(tmp_path / "tiny", (0, 100))
    first = spectra(series, tmp_path / "run")
    config = series / "step100" / "config.json"
    config.write_text(config.read_text() + "\n")
    os.utime(config, (1, 1))
    result = degen("scan", series, "--probes", "spectrum", "--out", tmp_path / "run")
    assert "1 of 2 checkpoints are measured already" in result.err
    assert read_run(tmp_path / "run").checkpoints() == first


def test_a_run_of_an_earlier_version_is_not_measured_again(tmp_path: Path) -> None:
    series = make_series(tmp_path / "tiny", (0, 100))
    spectra(series, tmp_path / "run")
    for part in (tmp_path / "run" / "timing").rglob("*.parquet"):
        table = pq.ParquetFile(part).read()
        versions = [v.partition(", files ")[0] for v in table["source_version"].to_pylist()]
        i = table.schema.get_field_index("source_version")
        pq.write_table(table.set_column(i, table.schema.field(i), pa.array(versions, pa.string())), part)
    result = degen("scan", series, "--probes", "spectrum", "--out", tmp_path / "run")
    assert "2 of 2 checkpoints are measured already" in result.err


def cut(part: Path) -> None:
    os.truncate(part, part.stat().st_size // 2)


def flip(part: Path) -> None:
    """Another byte in a page, which its checksum alone shows."""
    data = bytearray(part.read_bytes())
    data[60] ^= 0xFF
    part.write_bytes(data)


def empty(part: Path) -> None:
    part.write_bytes(b"")


def other_columns(part: Path) -> None:
    table = pq.ParquetFile(part).read()
    pq.write_table(table.drop_columns(table.column_names[-1]), part)


DAMAGE = {"cut": cut, "flipped": flip, "empty": empty, "of other columns": other_columns, "gone": Path.unlink}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, series: Path, corpus: Path) -> tuple[Path, tuple[object, ...]]:
    out = tmp_path_factory.mktemp("measured") / "run"
    args = ("scan", series, "--corpus", corpus, *SMALL, "--out")
    assert degen(*args, out).code == 0
    return out, args


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("table", ["checkpoints", "layers", "windows", "spectrum", "timing"])
def test_a_damaged_part_says_what_to_do_and_is_repaired_by_a_scan(
    table: str, damage: str, measured: tuple[Path, tuple[object, ...]], tmp_path: Path
) -> None:
    whole, args = measured
    out = Path(shutil.copytree(whole, tmp_path / "run"))
    part = out / table / "tiny" / "step100.parquet"
    DAMAGE[damage](part)
    read = degen("export", out, "--table", table, "--to", tmp_path / "a.csv")
    if damage == "gone":
        assert read.code == 0
    else:
        assert read.code == 2
        assert str(part) in read.message
        assert "`degen scan`" in read.message
        assert "anew" in read.message
    again = degen(*args, out)
    assert again.code == 0
    assert "2 of 3 checkpoints are measured already" in again.err
    assert files(out) == files(whole)


def test_a_damaged_sample_is_drawn_again(measured: tuple[Path, tuple[object, ...]], tmp_path: Path) -> None:
    whole, args = measured
    out = Path(shutil.copytree(whole, tmp_path / "run"))
    cut(out / "sample.parquet")
    cut(out / "layers" / "tiny" / "step0.parquet")
    assert degen(*args, out).code == 0
    assert files(out) == files(whole)


def test_a_head_of_zeros_has_a_reason_and_no_figure(tmp_path: Path, corpus: Path) -> None:
    series = make_series(tmp_path / "tiny", (0, 100))
    spoil.edit_weights(series / "step100", lambda tensors: tensors["embed_out.weight"].zero_())
    spoil.flatten(Path(shutil.copytree(series / "step0", series / "step200")))
    result = degen("scan", series, "--corpus", corpus, *SMALL, "--out", tmp_path / "run")
    assert result.code == 0, result.out
    rows = {row["step"]: row for row in read_run(tmp_path / "run").checkpoints()}
    assert rows[0]["reason"] is None
    for step in (100, 200):
        row = rows[step]
        assert row["status"] == "ok"
        assert "no spectrum: the LM head holds zeros alone" in row["reason"]
        assert row["singular_entropy"] is row["effective_rank"] is row["stable_rank"] is None
        assert row["loss"] == pytest.approx(np.log(416), rel=1e-6)
        assert not any(isinstance(value, float) and np.isnan(value) for value in row.values())
    assert rows[100]["anisotropy"] is not None
    assert "the LM head holds zeros alone" in degen("show", tmp_path / "run").out
    gate = degen("gate", tmp_path / "run", "--rule", "singular_entropy[step=100] < 9")
    assert gate.code == 3
    assert "no spectrum" in gate.out
