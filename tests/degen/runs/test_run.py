"""Run folders: continued, refused, emptied, equal to the bit, and readable by others."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
from tiny import make_checkpoint, make_series

import degen
from degen import DegenError

TABLES = ("checkpoints", "domains", "layers", "spectrum", "timing", "windows")
SETTINGS: dict[str, Any] = {"tokens": 400, "context": 32, "batch_size": 4}


@pytest.fixture(scope="module")
def scanned(series: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> degen.Run:
    """Return one run of the session's series; not to be written to."""
    return degen.scan(series, corpus=corpus, out=tmp_path_factory.mktemp("scanned") / "run", **SETTINGS)


def parts(folder: Path, timing: bool = True) -> dict[str, str]:
    """Return the SHA-256 of every file of a run but its lock."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != ".lock")
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in files
        if timing or "timing" not in p.parts
    }


def rows(run: degen.Run, table: str, revision: str) -> list[dict[str, Any]]:
    return [row for row in run.table(table).to_pylist() if row["revision"] == revision]


def test_the_files_of_a_run_are_the_documented_ones(scanned: degen.Run) -> None:
    expected = {f"{t}/tiny/step{s}.parquet" for t in TABLES for s in (0, 100, 1000)}
    assert set(parts(scanned.path)) == expected | {"run.json", "sample.parquet"}
    assert scanned.tables == list(TABLES)
    assert [row["revision"] for row in scanned.checkpoints()] == ["step0", "step100", "step1000"]
    assert scanned.failed == []


def test_every_part_has_the_full_schema_and_its_provenance(scanned: degen.Run) -> None:
    hashes = set()
    for table in TABLES:
        schemas = [pq.read_schema(p) for p in (scanned.path / table).rglob("*.parquet")]
        assert len(schemas) == 3
        for schema in schemas:
            assert schema.equals(schemas[0])
            assert schema.names[:3] == ["model", "revision", "step"]
            assert all(field.metadata[b"definition"] for field in schema)
            assert schema.metadata[b"degen.schema_version"] == b"6"
            assert schema.metadata[b"degen.version"] == degen.__version__.encode()
            hashes.add(schema.metadata[b"degen.config_hash"])
        assert len({s.metadata[b"degen.source_hash"] for s in schemas}) == 3
    assert len(hashes) == 1
    assert hashes == {scanned.info["config_hash"].encode()}


def test_every_table_reads_whole_without_degen(scanned: degen.Run) -> None:
    for table in TABLES:
        folder = scanned.path / table
        count = len(scanned.table(table))
        assert len(pq.read_table(folder)) == count
        assert len(pd.read_parquet(folder)) == count
        assert len(pl.read_parquet(folder / "**" / "*.parquet")) == count
        assert duckdb.sql(f"select count(*) from '{folder}/**/*.parquet'").fetchall() == [(count,)]
    by_hand = pl.read_parquet(scanned.path / "checkpoints" / "**" / "*.parquet").sort("step")
    assert by_hand["loss"].to_list() == [row["loss"] for row in scanned.checkpoints()]
    assert by_hand.schema["step"] == pl.Int64


def test_run_json_holds_settings_versions_and_sample(scanned: degen.Run, series: Path) -> None:
    info = json.loads((scanned.path / "run.json").read_text())
    assert info["asked"]["series"] == [str(series)]
    assert (info["asked"]["tokens"], info["asked"]["context"], info["asked"]["seed"]) == (400, 32, 0)
    assert torch.__version__.startswith(info["versions"]["torch"])  # metadata may leave out "+cu124"
    assert info["tables"] == ["checkpoints", "layers", "domains", "windows", "spectrum", "timing"] or set(
        info["tables"]
    ) == set(TABLES)
    ((fingerprint, windows),) = info["sample"]["windows"].items()
    assert pq.read_table(scanned.path / "sample.parquet")["tokenizer"].unique().to_pylist() == [fingerprint]
    assert windows["tokens"] == 400
    assert info["batch_tokens"] == {"tiny@step0": 4 * 32}


def test_a_repeated_scan_changes_no_byte(scanned: degen.Run, series: Path, corpus: Path) -> None:
    before, times = parts(scanned.path), [p.stat().st_mtime_ns for p in sorted(scanned.path.rglob("*.parquet"))]
    again = degen.scan(series, corpus=corpus, out=scanned.path, **SETTINGS)
    assert parts(scanned.path) == before
    assert [p.stat().st_mtime_ns for p in sorted(scanned.path.rglob("*.parquet"))] == times
    assert again.checkpoints() == scanned.checkpoints()


def test_two_runs_are_equal_to_the_bit(scanned: degen.Run, series: Path, corpus: Path, tmp_path: Path) -> None:
    again = degen.scan(series, corpus=corpus, out=tmp_path / "again", **SETTINGS)
    assert parts(again.path, timing=False) == parts(scanned.path, timing=False)


def test_a_run_without_some_parts_is_continued_with_these_alone(
    scanned: degen.Run, series: Path, corpus: Path, tmp_path: Path
) -> None:
    shutil.copytree(scanned.path, tmp_path / "run")
    whole = parts(tmp_path / "run", timing=False)
    for table in ("checkpoints", "spectrum"):  # killed between two parts: the one of `checkpoints` is the last
        (tmp_path / "run" / table / "tiny" / "step100.parquet").unlink()
    (tmp_path / "run" / "checkpoints" / "tiny" / ".leftover.partial").write_bytes(b"half a part")
    modified = (tmp_path / "run" / "checkpoints" / "tiny" / "step0.parquet").stat().st_mtime_ns
    degen.scan(series, corpus=corpus, out=tmp_path / "run", **SETTINGS)
    continued = parts(tmp_path / "run", timing=False)
    continued.pop("checkpoints/tiny/.leftover.partial", None)
    assert continued == whole
    assert (tmp_path / "run" / "checkpoints" / "tiny" / "step0.parquet").stat().st_mtime_ns == modified


def test_a_new_checkpoint_is_measured_and_parts_of_the_others_stay(series: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(series, tmp_path / "m")
    shutil.rmtree(tmp_path / "m" / "step1000")
    first = degen.scan(tmp_path / "m", corpus=corpus, out=tmp_path / "run", **SETTINGS)
    before = parts(first.path)
    shutil.copytree(series / "step1000", tmp_path / "m" / "step1000")
    second = degen.scan(tmp_path / "m", corpus=corpus, out=tmp_path / "run", **SETTINGS)
    assert [row["revision"] for row in second.checkpoints()] == ["step0", "step100", "step1000"]
    del before["run.json"]  # which says what was to be measured
    assert {name: digest for name, digest in parts(second.path).items() if name in before} == before


def test_a_checkpoint_whose_files_changed_is_measured_again(series: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(series, tmp_path / "m")
    first = degen.scan(tmp_path / "m", corpus=corpus, out=tmp_path / "run", **SETTINGS).checkpoints()
    make_checkpoint(tmp_path / "m" / "step100", seed=77)
    second = degen.scan(tmp_path / "m", corpus=corpus, out=tmp_path / "run", **SETTINGS).checkpoints()
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, False, True]
    assert first[1]["loss"] != second[1]["loss"]


def test_a_failed_checkpoint_is_tried_again(series: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(series, tmp_path / "m")
    weights = tmp_path / "m" / "step100" / "model.safetensors"
    sound = weights.read_bytes()
    weights.write_bytes(sound[:2000])
    first = degen.scan(tmp_path / "m", corpus=corpus, out=tmp_path / "run", **SETTINGS)
    (failed,) = first.failed
    assert (failed["revision"], failed["loss"]) == ("step100", None)
    assert "model.safetensors" in failed["reason"]
    assert [row["status"] for row in first.checkpoints()] == ["ok", "failed", "ok"]
    weights.write_bytes(sound)
    second = degen.scan(tmp_path / "m", corpus=corpus, out=tmp_path / "run", **SETTINGS)
    assert second.failed == []
    reference = degen.scan(series, corpus=corpus, out=tmp_path / "reference", **SETTINGS)
    drop = ("model",)
    for row, expected in zip(second.checkpoints(), reference.checkpoints(), strict=True):
        assert {k: v for k, v in row.items() if k not in drop} == {k: v for k, v in expected.items() if k not in drop}


@pytest.mark.parametrize("change", [{"tokens": 300}, {"context": 16}, {"seed": 1}, {"steps": "0"}, {"batch_size": 2}])
def test_other_settings_in_the_same_folder_are_refused(
    change: dict[str, Any], scanned: degen.Run, series: Path, corpus: Path
) -> None:
    before = parts(scanned.path)
    (name,) = change
    with pytest.raises(DegenError, match=f"scanned with other settings: {name} .*--fresh"):
        degen.scan(series, corpus=corpus, out=scanned.path, **(SETTINGS | change))
    assert parts(scanned.path) == before


def test_fresh_starts_over_and_touches_nothing_else(
    scanned: degen.Run, series: Path, corpus: Path, tmp_path: Path
) -> None:
    shutil.copytree(scanned.path, tmp_path / "run")
    (tmp_path / "run" / "notes.txt").write_text("mine")
    run = degen.scan(series, corpus=corpus, out=tmp_path / "run", fresh=True, probes=["loss"], steps="100", **SETTINGS)
    assert run.tables == ["checkpoints", "domains", "timing", "windows"]
    assert [row["revision"] for row in run.checkpoints()] == ["step100"]
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "run" / "spectrum").exists()


def test_a_folder_of_other_files_is_refused(series: Path, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for fresh in (False, True):
        with pytest.raises(DegenError, match="holds files and is no run folder"):
            degen.scan(series, corpus=corpus, out=tmp_path, fresh=fresh, **SETTINGS)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_scans_do_not_share_a_folder(series: Path, corpus: Path, scanned: degen.Run) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", "import filelock, sys\nwith filelock.FileLock(sys.argv[1]):\n"
         " print('held', flush=True)\n sys.stdin.read()", str(scanned.path / ".lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DegenError, match="another scan is at work in it"):
            degen.scan(series, corpus=corpus, out=scanned.path, **SETTINGS)
    finally:
        holder.communicate("")
    assert degen.scan(series, corpus=corpus, out=scanned.path, **SETTINGS).failed == []


def test_figures_are_equal_for_any_batch_size(scanned: degen.Run, series: Path, corpus: Path, tmp_path: Path) -> None:
    reference = scanned.checkpoints()
    lengths = pq.read_table(scanned.path / "sample.parquet")["tokens"].combine_chunks().value_lengths().to_pylist()
    assert len(set(lengths)) > 3  # so that a batch of several is padded
    for size in (1, 3, None):
        run = degen.scan(series, corpus=corpus, out=tmp_path / f"b{size}", **(SETTINGS | {"batch_size": size}))
        for row, expected in zip(run.checkpoints(), reference, strict=True):
            for name in ("loss", "loss_se", "anisotropy", "anisotropy_se", "bits_per_byte"):
                assert row[name] == pytest.approx(expected[name], abs=1e-6)
            assert row["singular_entropy"] == expected["singular_entropy"]
        for row, expected in zip(run.table("layers").to_pylist(), scanned.table("layers").to_pylist(), strict=True):
            assert row["anisotropy"] == pytest.approx(expected["anisotropy"], abs=1e-6)
            assert row["mean_norm"] == pytest.approx(expected["mean_norm"], rel=1e-6)


def test_a_copied_checkpoint_is_a_duplicate_with_its_metrics(series: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(series, tmp_path / "m")
    shutil.copytree(series / "step0", tmp_path / "m" / "step2-tokens4K")
    run = degen.scan(tmp_path / "m", corpus=corpus, out=tmp_path / "run", **SETTINGS)
    original, duplicate, *_ = run.checkpoints()
    assert (duplicate["status"], duplicate["duplicate_of"], duplicate["step"]) == ("duplicate", "step0", 2)
    assert (original["status"], original["duplicate_of"]) == ("ok", None)
    differing = ("revision", "step", "tokens_seen", "training_flops", "status", "duplicate_of")
    assert {k: v for k, v in duplicate.items() if k not in differing} == {
        k: v for k, v in original.items() if k not in differing
    }
    assert duplicate["tokens_seen"] == 4000
    assert duplicate["training_flops"] == 4000 * duplicate["flops_per_token"] == 4000 * original["flops_per_token"]
    for table in ("layers", "windows", "spectrum"):
        copied, first = rows(run, table, "step2-tokens4K"), rows(run, table, "step0")
        assert len(copied) > 0
        for a, b in zip(copied, first, strict=True):
            assert {k: v for k, v in a.items() if k not in differing} == {
                k: v for k, v in b.items() if k not in differing
            }
    assert {r["phase"] for r in rows(run, "timing", "step2-tokens4K")} == {"fetch", "load", "total"}
    before = parts(run.path)
    degen.scan(tmp_path / "m", corpus=corpus, out=tmp_path / "run", **SETTINGS)
    assert parts(run.path) == before


def two_bodies_under_one_head(series: Path, folder: Path) -> None:
    """Make two checkpoints, the first two of a series, the second with the head of the first."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(series, folder)
    shutil.rmtree(folder / "step1000")
    file = folder / "step100" / "model.safetensors"
    tensors = load_file(file)
    tensors["embed_out.weight"] = load_file(folder / "step0" / "model.safetensors")["embed_out.weight"]
    save_file(tensors, file, {"format": "pt"})


def test_the_same_head_on_another_body_is_no_duplicate(series: Path, corpus: Path, tmp_path: Path) -> None:
    two_bodies_under_one_head(series, tmp_path / "m")
    run = degen.scan(tmp_path / "m", corpus=corpus, out=tmp_path / "run", **SETTINGS)
    first, second = run.checkpoints()
    assert first["head_sha256"] == second["head_sha256"]
    assert first["singular_entropy"] == second["singular_entropy"]
    assert (second["status"], second["duplicate_of"]) == ("ok", None)
    assert first["loss"] != second["loss"]


def test_a_copy_of_the_second_of_two_bodies_under_one_head_is_found(series: Path, corpus: Path, tmp_path: Path) -> None:
    two_bodies_under_one_head(series, tmp_path / "m")
    shutil.copytree(tmp_path / "m" / "step100", tmp_path / "m" / "step200")
    run = degen.scan(tmp_path / "m", corpus=corpus, out=tmp_path / "run", **SETTINGS)
    assert [(r["status"], r["duplicate_of"]) for r in run.checkpoints()] == [
        ("ok", None), ("ok", None), ("duplicate", "step100"),
    ]  # fmt: skip


def test_tables_come_in_the_order_of_training_stages_before_steps(corpus: Path, tmp_path: Path) -> None:
    root = make_series(tmp_path / "m", steps=())
    names = ["stage1-step20-tokens1K", "stage1-step100-tokens2K", "stage2-step7-tokens3K"]
    for seed, name in enumerate(names):
        make_checkpoint(root / name, seed=seed)
    run = degen.scan(root, corpus=corpus, probes=["spectrum"], out=tmp_path / "run")
    assert [row["revision"] for row in run.checkpoints()] == names


def test_several_series_are_one_run_in_the_order_they_were_named(series: Path, corpus: Path, tmp_path: Path) -> None:
    other = make_series(tmp_path / "zeta", steps=(5,), family="gpt2", bos=True)
    run = degen.scan([f"zz={series}", other], corpus=corpus, steps="0,5", out=tmp_path / "run", **SETTINGS)
    assert [(r["model"], r["revision"], r["status"]) for r in run.checkpoints()] == [
        ("zz", "step0", "ok"), ("zeta", "step5", "ok"),
    ]  # fmt: skip
    assert len(pq.read_table(run.path / "sample.parquet")["tokenizer"].unique()) == 2
    assert (run.path / "layers" / "zz" / "step0.parquet").is_file()


def test_a_model_name_with_a_slash_is_one_folder(series: Path, corpus: Path, tmp_path: Path) -> None:
    run = degen.scan(f"org/name={series}", probes=["spectrum"], steps="0", out=tmp_path / "run")
    assert [p.name for p in (run.path / "checkpoints").iterdir()] == ["org%2Fname"]
    assert run.checkpoints()[0]["model"] == "org/name"
    assert len(pq.read_table(run.path / "checkpoints")) == 1


def test_the_head_alone_is_measured_without_the_model(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was loaded")

    reference = degen.scan(series, probes=["spectrum"], out=tmp_path / "reference")
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", loaded)
    run = degen.scan(series, probes=["spectrum"], out=tmp_path / "run")
    assert run.tables == ["checkpoints", "spectrum", "timing"]
    assert not (run.path / "sample.parquet").exists()
    assert run.checkpoints() == reference.checkpoints()
    assert all(row["singular_entropy"] > 0 and row["parameters"] > 0 for row in run.checkpoints())
    assert {"forward", "loss"}.isdisjoint(row["phase"] for row in run.table("timing").to_pylist())


def test_a_series_without_a_tokenizer_gets_the_weight_probes_and_a_reason(corpus: Path, tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "m" / "step1")
    run = degen.scan(tmp_path / "m", corpus=corpus, out=tmp_path / "run", **SETTINGS)
    (row,) = run.checkpoints()
    assert row["status"] == "ok"
    assert "anisotropy, loss, massive_activations not measured: the series has no tokenizer" in row["reason"]
    assert row["loss"] is row["anisotropy"] is None
    assert (row["vocab_used"], row["vocab_size"]) == (416, 416)
    assert row["singular_entropy"] > 0
    with pytest.raises(DegenError, match="loss need text, and no series has a tokenizer"):
        degen.scan(tmp_path / "m", corpus=corpus, probes=["loss"], out=tmp_path / "other", **SETTINGS)


def test_one_probe_may_be_given_without_a_list(series: Path, tmp_path: Path) -> None:
    run = degen.scan(series, probes="spectrum", steps="0", out=tmp_path / "run")
    assert run.tables == ["checkpoints", "spectrum", "timing"]


def test_degen_scan_stays_a_function_after_imports() -> None:
    """A submodule of the same name would take its place after the first import."""
    code = "import degen; degen.scan; from degen.cli import scan; import degen.scanning; print(callable(degen.scan))"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert completed.stdout == "True\n"
