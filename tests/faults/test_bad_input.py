"""Every kind of bad input in one table: how it is made, what is typed, how it ends and what the user is told."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults import spoil
from faults.command import SMALL, CommandResult, degen
from faults.spoil import Args, Workspace, garbled, lines, parquet, zst

from degen import read_run


@dataclass(frozen=True)
class Refused:
    """Bad input that ends with exit code 2 and one message with these words."""

    make: Callable[[Workspace], Args]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Spoiled:
    """A checkpoint that fails with a reason of these words, exit code 4, while the others are measured."""

    make: Callable[[Path], object]
    words: tuple[str, ...]


def scan(*args: object) -> Callable[[Workspace], Args]:
    """Return the command `degen scan` of the healthy series with these options."""
    return lambda p: p.scan(*args)


def text(name: str, content: str | bytes) -> Callable[[Workspace], Args]:
    """Return the command `degen scan` of a corpus of that content."""
    return lambda p: p.scan("--corpus", p.file(name, content))


LATIN = ("Grüße aus Köln, und noch viel mehr davon. " * 40).encode("latin-1")
OUTSIDE = '{"weight_map": {"embed_out.weight": "../step0/model.safetensors"}}'
UP = "gpt_neox.layers.1.mlp.dense_h_to_4h.weight"
DAMAGED = '{"schema'
PROBES = "anisotropy, common_mode, delta, "  # and so on, by name

KINDS: dict[str, Refused | Spoiled] = {
    # what is named as a series
    "folder missing": Refused(lambda p: p.scan(p.folder / "nosuch"), ("nosuch", "no such folder")),
    "folder empty": Refused(
        lambda p: (p.folder / "hollow").mkdir() or p.scan(p.folder / "hollow"),
        ("hollow", "no checkpoint in it", "config.json"),
    ),
    "folder without config.json": Refused(
        lambda p: p.scan(p.folder_with("odd/weights.bin")), ("odd", "no checkpoint in it", "config.json", "step1000")
    ),
    "file that is no gguf": Refused(lambda p: p.scan(p.file("model.txt")), ("model.txt", ".gguf", "folder")),
    "gguf damaged, and nothing else": Refused(
        lambda p: p.scan(spoil.damaged_gguf_alone(p)), ("model.gguf", "cannot be loaded")
    ),
    "label without series": Refused(lambda p: p.scan("mine="), ("mine=", "label=SERIES")),
    "label of nothing": Refused(lambda p: p.scan("mine=/nowhere/at/all"), ("/nowhere/at/all", "no such folder")),
    "two series of one name": Refused(
        lambda p: p.scan(p.series, spoil.namesake(p)), ("both be called 'tiny'", "other=")
    ),
    "two steps alike": Refused(
        lambda p: p.scan(spoil.twins(p)), ("step100", "checkpoint-100", "both step 100", "move one")
    ),
    # what is typed
    "unknown probe, nearly right": Refused(scan("--probes", "spectrun"), ("'spectrun'", "did you mean 'spectrum'?")),
    "unknown probe": Refused(scan("--probes", "xyzzy"), ("'xyzzy'", f"there are {PROBES}")),
    "no probe at all": Refused(scan("--probes", ""), ("no probe is called ''", PROBES)),
    "unknown option": Refused(scan("--token", "5"), ("--token", "--tokens", "degen scan --help")),
    "unknown command": Refused(lambda p: ("scann",), ("'scann'", "scan", "degen --help")),
    "argument missing": Refused(lambda p: ("show",), ("RUN", "degen show --help")),
    "option missing": Refused(lambda p: ("scaling", "fit"), ("TABLE", "degen scaling fit --help")),
    "value missing": Refused(lambda p: ("scan", "--tokens"), ("--tokens", "argument", "--help")),
    "--tokens 0": Refused(scan("--tokens", 0), ("--tokens 0", "at least 16")),
    "--tokens many": Refused(scan("--tokens", "many"), ("--tokens", "integer")),
    "--context 3": Refused(scan("--context", 3), ("--context 3", "at least 16")),
    "--seed -1": Refused(scan("--seed", -1), ("--seed -1", "at least 0")),
    "--threads 0": Refused(scan("--threads", 0), ("--threads 0", "at least 1")),
    "--batch-size x": Refused(scan("--batch-size", "x"), ("--batch-size x", "number", "auto")),
    "--batch-size 0": Refused(scan("--batch-size", 0), ("--batch-size 0", "at least 1")),
    "--steps nonsense": Refused(scan("--steps", "soon"), ("--steps soon", "log:20")),
    "--steps nonsense, series without steps": Refused(
        lambda p: p.scan(spoil.single(p), "--steps", "soon"), ("--steps soon", "log:20")
    ),
    "--steps backwards": Refused(scan("--steps", "1000:0:100"), ("--steps 1000:0:100", "first:last:stride")),
    "--steps log:0": Refused(scan("--steps", "log:0"), ("log:N", "1 or more")),
    "--context beyond learned positions": Refused(
        lambda p: p.scan(spoil.gpt2(p)), ("gpt2@step1", "24 learned positions", "--context 24")
    ),
    "--dtype float8": Refused(scan("--dtype", "float8"), ("--dtype float8", "float32", "bfloat16")),
    "--device nosuch": Refused(scan("--device", "nosuch"), ("--device nosuch", "not available")),
    "--device without memory": Refused(scan("--device", "meta"), ("--device meta", "not available")),
    # tokenizers and samples
    "loss without a tokenizer": Refused(
        lambda p: p.scan(spoil.without_tokenizer(p), "--probes", "loss"),
        ("loss", "no series has a tokenizer", "--tokenizer"),
    ),
    "tokenizer corrupt": Refused(
        lambda p: p.scan(spoil.corrupt_tokenizer(p)), ("tiny", "tokenizer", "cannot be loaded", "--tokenizer")
    ),
    "tokenizer missing": Refused(scan("--tokenizer", "/nowhere/tokenizer"), ("/nowhere/tokenizer", "no such folder")),
    "tokenizer folder without one": Refused(
        lambda p: p.scan("--tokenizer", p.folder_with("t/x")), ("/t", "the folder holds no tokenizer", "tokenizer.json")
    ),
    "sample of another tokenizer": Refused(
        lambda p: p.scan("--sample", spoil.foreign_sample(p)), ("sample.parquet", "another tokenizer", "tiny")
    ),
    "sample that is no Parquet": Refused(
        lambda p: p.scan("--sample", p.file("sample.parquet", "x" * 50)), ("sample.parquet", "not a sample")
    ),
    "sample of other columns": Refused(
        lambda p: p.scan("--sample", parquet(p, text=["x"])), ("corpus.parquet", "not a sample")
    ),
    "sample missing": Refused(
        scan("--sample", "/nowhere/sample.parquet"), ("/nowhere/sample.parquet", "cannot be read", "check the path")
    ),
    "sample is a run folder": Refused(
        lambda p: p.scan("--sample", p.folder_with("earlier/run.json")), ("earlier", "is a folder", "sample.parquet")
    ),
    # corpora
    "corpus missing": Refused(
        scan("--corpus", "/nowhere/pile.jsonl"), ("/nowhere/pile.jsonl", "no such file or folder", "hf://")
    ),
    "corpus of unknown format": Refused(text("corpus.docx", "x"), ("corpus.docx", "not a corpus file", ".jsonl")),
    "corpus folder of unknown formats": Refused(
        lambda p: p.scan("--corpus", p.folder_with("texts/a.docx")), ("texts", "holds no corpus file", ".txt")
    ),
    "corpus empty": Refused(text("corpus.jsonl", ""), ("corpus.jsonl", "the corpus is empty")),
    "corpus line not JSON": Refused(
        text("corpus.jsonl", '{"text": "a"}\nnot json\n'), ("corpus.jsonl, line 2", "not JSON")
    ),
    "corpus line of bytes that are no text": Refused(
        text("corpus.jsonl", b'{"text": "\xff\xfe"}\n'), ("corpus.jsonl, line 1", "not JSON")
    ),
    "corpus line nested too deep": Refused(text("corpus.jsonl", b"[" * 100_000), ("corpus.jsonl, line 1", "not JSON")),
    "corpus without text field": Refused(
        text("corpus.jsonl", '{"content": "a"}\n'), ("corpus.jsonl, line 1", "must have a field 'text'")
    ),
    "zst corrupt": Refused(
        text("corpus.jsonl.zst", garbled(zst(lines()))), ("corpus.jsonl.zst", "not a zstandard file")
    ),
    "zst truncated": Refused(
        text("corpus.jsonl.zst", zst(lines())[:-300]), ("corpus.jsonl.zst", "zstandard", "truncated")
    ),
    "zst truncated in its second frame": Refused(
        text("corpus.jsonl.zst", zst(lines()) + zst(lines())[:-300]), ("corpus.jsonl.zst", "zstandard", "truncated")
    ),
    "zst that is none": Refused(text("corpus.jsonl.zst", lines()), ("corpus.jsonl.zst", "not a zstandard file")),
    "gz corrupt": Refused(
        text("corpus.jsonl.gz", garbled(gzip.compress(lines()))), ("corpus.jsonl.gz", "cannot be read to its end")
    ),
    "gz truncated": Refused(
        text("corpus.jsonl.gz", gzip.compress(lines())[:-300]), ("corpus.jsonl.gz", "cannot be read to its end")
    ),
    "gz that is none": Refused(text("corpus.jsonl.gz", lines()), ("corpus.jsonl.gz", "cannot be read")),
    "parquet without text": Refused(
        lambda p: p.scan("--corpus", parquet(p, content=["a"])),
        ("corpus.parquet", "must have a column 'text'", "content"),
    ),
    "parquet of numbers": Refused(
        lambda p: p.scan("--corpus", parquet(p, text=[1, 2])), ("corpus.parquet, row", "must have a field 'text'")
    ),
    "parquet that is none": Refused(text("corpus.parquet", "x" * 100), ("corpus.parquet", "not a Parquet file")),
    "txt not UTF-8": Refused(text("corpus.txt", LATIN), ("corpus.txt", "not UTF-8", "byte 2")),
    "no window of 16 tokens": Refused(
        text("corpus.jsonl", '{"text": "a"}\n' * 9), ("corpus.jsonl", "16 tokens", "9 documents")
    ),
    "hf:// malformed": Refused(scan("--corpus", "hf://pile"), ("hf://pile", "hf://org/dataset")),
    # the run folder
    "out is a file": Refused(lambda p: p.scan("--out", p.file("run")), ("run", "is a file", "--out")),
    "out holds other files": Refused(
        lambda p: p.scan("--out", p.folder_with("work/thesis.tex")), ("work", "holds files", "--out")
    ),
    "out cannot be made": Refused(scan("--out", "/proc/degen/run"), ("/proc/degen/run", "cannot be written", "--out")),
    "out below a file": Refused(
        lambda p: p.scan("--out", p.file("file") / "run"), ("file/run", "cannot be written", "--out")
    ),
    "settings changed": Refused(
        lambda p: p.measured() and p.spectra("--dtype", "bfloat16"),
        ("run", "dtype auto (now bfloat16)", "--out", "--fresh"),
    ),
    "run.json damaged": Refused(
        lambda p: spoil.run_json(p, DAMAGED) and p.spectra(), ("run.json", "damaged", "--fresh")
    ),
    "run of another schema": Refused(
        lambda p: ("show", spoil.run_json(p, '{"schema_version": 99}')), ("run.json", "version 99", "reads 1 and 2")
    ),
    "show of a damaged run": Refused(lambda p: ("show", spoil.run_json(p, "[]")), ("run.json", "damaged")),
    "show of a damaged part": Refused(lambda p: ("show", spoil.truncated_part(p)), ("checkpoints", "cannot be read")),
    "show of no run": Refused(lambda p: ("show", p.folder), ("not a run folder", "run.json")),
    "export of no run": Refused(
        lambda p: ("export", p.folder, "--table", "x", "--to", "a.csv"), ("not a run folder", "run.json")
    ),
    "export of an unknown table": Refused(
        lambda p: p.export("nosuch", "a.csv"), ("'nosuch'", "checkpoints, spectrum, timing")
    ),
    "export to an unknown ending": Refused(
        lambda p: p.export("checkpoints", "a.xls"), ("a.xls", ".parquet, .csv, .json, .duckdb")
    ),
    "export to where nothing can be": Refused(
        lambda p: p.export("checkpoints", "/proc/degen/a.csv"), ("/proc/degen/a.csv", "cannot be written")
    ),
    "export into what is no DuckDB file": Refused(
        lambda p: p.export("checkpoints", p.file("a.duckdb", "x" * 5000)), ("a.duckdb", "not a DuckDB file")
    ),
    # checkpoints
    "safetensors truncated": Spoiled(
        lambda c: spoil.truncate(spoil.weights(c), 0.6), ("model.safetensors", "truncated?")
    ),
    "safetensors of no bytes": Spoiled(lambda c: spoil.truncate(spoil.weights(c), 0), ("model.safetensors", "0 bytes")),
    "safetensors, header longer than the file": Spoiled(
        spoil.endless_header, ("model.safetensors", "not a sound safetensors")
    ),
    "safetensors, header lies of offsets": Spoiled(
        lambda c: spoil.lying_header(c, data_offsets=[0, 2**33]), ("model.safetensors", "not a sound safetensors")
    ),
    "safetensors, header lies of a shape": Spoiled(
        lambda c: spoil.lying_header(c, shape=[416, 999]), ("model.safetensors", "not a sound safetensors")
    ),
    "shard missing": Spoiled(spoil.lose_shard, ("model-00002-of-00002.safetensors", "index names", "missing")),
    "index not JSON": Spoiled(
        lambda c: spoil.shard(c, '{"weight_map": {'), ("model.safetensors.index.json", "not a shard index")
    ),
    "index without a map": Spoiled(
        lambda c: spoil.shard(c, "{}"), ("model.safetensors.index.json", "not a shard index")
    ),
    "index of another shape": Spoiled(
        lambda c: spoil.shard(c, '{"weight_map": {"a": 1}}'), ("model.safetensors.index.json", "not a shard index")
    ),
    "index that names nothing": Spoiled(
        lambda c: spoil.shard(c, '{"weight_map": {}}'), ("model.safetensors.index.json", "names no shard")
    ),
    "index that points outside": Spoiled(lambda c: spoil.shard(c, OUTSIDE), ("index.json", "outside the checkpoint")),
    "config not JSON": Spoiled(lambda c: spoil.write(c, "config.json", "{'a': 1}"), ("config.json", "not JSON")),
    "config not UTF-8": Spoiled(lambda c: spoil.write(c, "config.json", b'{"a": "\xff"}'), ("config.json", "not JSON")),
    "config nested too deep": Spoiled(
        lambda c: spoil.write(c, "config.json", "[" * 100_000), ("config.json", "not JSON")
    ),
    "config missing": Spoiled(lambda c: (c / "config.json").unlink(), ("no config.json",)),
    "config without model_type": Spoiled(
        lambda c: spoil.edit_config(c, model_type=None), ("config.json", "no model_type")
    ),
    "config of an unknown model_type": Spoiled(
        lambda c: spoil.edit_config(c, model_type="nosuch"), ("cannot be used", "nosuch")
    ),
    "config that brings code": Spoiled(
        spoil.brings_code, ("needs Python code that comes with it", "--trust-remote-code")
    ),
    "config of no causal LM": Spoiled(
        lambda c: spoil.write(c, "config.json", '{"model_type": "t5", "d_model": 32}'),
        ("parameters by its configuration", "bytes in its files"),
    ),
    "config of impossible sizes": Spoiled(
        lambda c: spoil.edit_config(c, hidden_size=31), ("cannot be used", "not divisible")
    ),
    "config of words for numbers": Spoiled(
        lambda c: spoil.edit_config(c, hidden_size="wide"), ("cannot be used", "hidden_size")
    ),
    "tensor missing": Spoiled(
        lambda c: spoil.drop(c, "gpt_neox.final_layer_norm.weight"), ("do not hold", "final_layer_norm.weight")
    ),
    "head missing": Spoiled(lambda c: spoil.drop(c, "embed_out.weight"), ("do not hold", "lm_head.weight")),
    "tensors of wrong shapes": Spoiled(
        lambda c: spoil.edit_config(c, intermediate_size=48), ("mlp.dense_4h_to_h.weight is 32 × 64", "32 × 48 by")
    ),
    "head of a wrong shape": Spoiled(
        lambda c: spoil.edit_config(c, vocab_size=500), ("weight is 416 × 32", "500 × 32 by the configuration")
    ),
    "NaN in the head": Spoiled(
        lambda c: spoil.poison(c, "embed_out.weight", "nan"), ("LM head", "NaN or infinity", "1 of its rows")
    ),
    "Inf in the body": Spoiled(lambda c: spoil.poison(c, UP, "inf"), ("NaN or infinity", UP, "holds 1 such")),
    "bin that would run code": Spoiled(
        spoil.hostile_zip, ("pytorch_model.bin", "not readable as weights alone", "mkdir")
    ),
    "bare pickle that would run code": Spoiled(
        spoil.hostile_pickle, ("pytorch_model.bin", "not readable as weights alone", "mkdir")
    ),
    "bin truncated": Spoiled(spoil.truncated_bin, ("pytorch_model.bin", "not readable as weights alone")),
    "bin of no table": Spoiled(spoil.bin_of_no_table, ("pytorch_model.bin", "list", "not a table of tensors")),
    "no weights": Spoiled(lambda c: spoil.weights(c).unlink(), ("no weights", "model.safetensors")),
    "weights are a folder": Spoiled(spoil.weights_folder, ("no weights", "model.safetensors")),
    "tokenizer of another model": Spoiled(spoil.crop_vocabulary, ("tokenizer gives id", "100 rows")),
    "context longer than learned positions": Spoiled(
        spoil.few_positions, ("32 tokens", "24 learned positions", "--context 24")
    ),
    "gguf that is none": Spoiled(spoil.gguf_junk, (".gguf", "cannot be used")),
    "gguf truncated": Spoiled(spoil.gguf_truncated, (".gguf", "truncated?")),
}
REFUSED = [name for name, kind in KINDS.items() if isinstance(kind, Refused)]
SPOILED = [name for name, kind in KINDS.items() if isinstance(kind, Spoiled)]


def test_the_table_has_a_hundred_kinds_each_with_words_of_its_message() -> None:
    assert len(KINDS) >= 100
    assert all(kind.words and all(kind.words) for kind in KINDS.values())


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_input_gets_one_message(kind: str, workspace: Workspace) -> None:
    result = degen(*KINDS[kind].make(workspace))
    assert result.code == 2
    assert_words(KINDS[kind].words, result.message)
    assert len(result.message) < 600
    assert result.out == ""


@dataclass(frozen=True)
class Scanned:
    """One series of every kind of spoiled checkpoint between two healthy ones, scanned once."""

    result: CommandResult
    rows: dict[str, dict[str, object]]
    folder: Path


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory, series: Path, corpus: Path) -> Scanned:
    folder = tmp_path_factory.mktemp("spoiled")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / "many").mkdir(exist_ok=True)
        shutil.copy(series / name, folder / "many" / name)
    shutil.copytree(series / "step0", folder / "many" / "step0")
    shutil.copytree(series / "step1000", folder / "many" / "step1000")
    for number, name in enumerate(SPOILED, 1):
        KINDS[name].make(Path(shutil.copytree(series / "step100", folder / "many" / f"step{number}")))
    result = degen("scan", folder / "many", "--corpus", corpus, *SMALL, "--out", folder / "run")
    return Scanned(result, {row["revision"]: row for row in read_run(folder / "run").checkpoints()}, folder)


@pytest.mark.parametrize("kind", SPOILED)
def test_a_bad_checkpoint_is_a_row_with_its_reason(kind: str, scanned: Scanned) -> None:
    row = scanned.rows[f"step{SPOILED.index(kind) + 1}"]
    assert row["status"] == "failed"
    assert_words(KINDS[kind].words, row["reason"])
    assert "\n" not in row["reason"]
    assert len(row["reason"]) < 600
    assert row["loss"] is row["anisotropy"] is row["singular_entropy"] is None
    lines = [line for line in scanned.result.err.splitlines() if f"many@{row['revision']} failed" in line]
    assert len(lines) == 1
    assert lines[0].endswith(row["reason"])


def test_beside_bad_checkpoints_the_others_are_measured_and_kept(scanned: Scanned) -> None:
    assert scanned.result.code == 4
    scanned.result.assert_no_fault()
    assert "error:" not in scanned.result.err
    assert not (scanned.folder / "executed").exists()
    assert len(scanned.rows) == len(SPOILED) + 2
    ok = {name: row for name, row in scanned.rows.items() if row["status"] == "ok"}
    assert list(ok) == ["step0", "step1000"]
    for row in ok.values():
        assert row["reason"] is None
        assert row["loss"] > 0
        assert row["anisotropy_se"] > 0
        assert row["effective_rank"] > 1


def test_without_a_tokenizer_the_weights_are_measured_and_the_reason_given(workspace: Workspace) -> None:
    result = degen(*workspace.scan(spoil.without_tokenizer(workspace)))
    assert result.code == 0
    assert (
        "warning: tiny: anisotropy, loss, massive_activations not measured: the series has no tokenizer" in result.err
    )
    rows = read_run(workspace.run).checkpoints()
    assert [row["revision"] for row in rows] == ["step0", "step100", "step1000"]
    for row in rows:
        assert row["status"] == "ok"
        assert_words(
            ("anisotropy, loss, massive_activations not measured", "no tokenizer", "--tokenizer"), row["reason"]
        )
        assert row["singular_entropy"] > 0
        assert row["vocab_used"] == row["vocab_size"]
        assert row["loss"] is row["anisotropy"] is None


def assert_words(words: tuple[str, ...], message: str) -> None:
    missing = [word for word in words if word not in message]
    assert not missing, f"{missing} not in: {message}"
