"""Small files that would become huge: a message, in seconds and within a gigabyte."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import zstandard
from faults import spoil
from faults.command import SMALL, degen, python_process
from faults.spoil import Args, Workspace

from degen import read_run

PIECE, PIECES = 1 << 26, 32  # 2 GB together


def bomb(suffix: str, content: bytes) -> Callable[[Workspace], Args]:
    """A scan of two gigabytes in two megabytes, or less."""

    def make(p: Workspace) -> Args:
        compress = gzip.compress if suffix.endswith("gz") else zstandard.ZstdCompressor().compress
        piece = (content * (PIECE // len(content) + 1))[:PIECE]
        file = p.file(f"bomb{suffix}", compress(piece) * PIECES)
        assert file.stat().st_size < 1 << 22
        return ("saturation", file) if "csv" in suffix else p.scan("--corpus", file)

    return make


def parquet_of(column_of: Callable[[], pa.Array]) -> Callable[[Workspace], Args]:
    def make(p: Workspace) -> Args:
        column = column_of()
        pq.write_table(pa.table({"text": column, "model": column}), p.folder / "bomb.parquet", compression="zstd")
        return p.scan("--corpus", p.folder / "bomb.parquet")

    return make


def pipe(name: str, *words: str) -> Callable[[Workspace], Args]:
    """A pipe that nobody writes to."""

    def make(p: Workspace) -> Args:
        os.mkfifo(p.folder / name)
        return tuple(str(p.folder / name) if word == "PIPE" else word for word in words) or p.scan(
            "--corpus", p.folder / name
        )

    return make


def device(p: Workspace) -> Args:
    """A file of endless zeros."""
    (p.folder / "zeros.jsonl").symlink_to("/dev/zero")
    return p.scan("--corpus", p.folder / "zeros.jsonl")


FILES: dict[str, tuple[Callable[[Workspace], Args], tuple[str, ...]]] = {
    "one line of 2 GB in gzip": (bomb(".jsonl.gz", b"a"), ("bomb.jsonl.gz", "500 times its size")),
    "one line of 2 GB in zstandard": (bomb(".jsonl.zst", b"a"), ("bomb.jsonl.zst", "500 times its size")),
    "a line of 80 MB": (
        lambda p: p.scan("--corpus", p.file("long.jsonl", b"a" * 80_000_000)), ("long.jsonl, line 1", "longer than")
    ),
    "2 GB of empty lines in gzip": (bomb(".jsonl.gz", b"\n"), ("bomb.jsonl.gz", "500 times its size")),
    "2 GB of empty lines in zstandard": (bomb(".jsonl.zst", b"\n"), ("bomb.jsonl.zst", "500 times its size")),
    "2 GB of equal lines in gzip": (bomb(".jsonl.gz", b'{"text": "a"}\n'), ("bomb.jsonl.gz", "times its size")),
    "2 GB of equal lines in zstandard": (bomb(".jsonl.zst", b'{"text": "a"}\n'), ("bomb.jsonl.zst", "times its size")),
    "a table of 2 GB": (bomb(".csv.gz", b"1,1,1\n"), ("bomb.csv.gz", "times its size")),
    "a Parquet file of twenty million rows": (
        parquet_of(lambda: pa.nulls(20_000_000, pa.string())), ("bomb.parquet", "20,000,000 rows")
    ),
    "a Parquet file of one huge text": (
        parquet_of(lambda: pa.array(["a" * (3 << 25)])), ("bomb.parquet", "times its size")
    ),
    "a pipe as a corpus": (pipe("text.jsonl"), ("text.jsonl", "is a pipe")),
    "a pipe as a text": (pipe("text.txt"), ("text.txt", "is a pipe")),
    "a pipe as a sample": (pipe("s.parquet", "scan", "--sample", "PIPE"), ("s.parquet", "is a pipe")),
    "a pipe as a table": (pipe("t.csv", "saturation", "PIPE"), ("t.csv", "is a pipe")),
    "a pipe as a table of a gate": (pipe("t.parquet", "gate", "PIPE", "--rule", "a < 3"), ("t.parquet", "is a pipe")),
    "endless zeros as a corpus": (device, ("zeros.jsonl", "is a pipe or a device")),
}  # fmt: skip


SLOW = {"2 GB of equal lines in gzip"}  # of which ten million lines are read


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.faults) if kind in SLOW else kind for kind in FILES]
)
def test_a_file_that_becomes_huge_is_a_message(kind: str, workspace: Workspace) -> None:
    make, words = FILES[kind]
    result = degen(*make(workspace))
    assert result.code == 2
    missing = [word for word in words if word not in result.message]
    assert not missing, result.message


def stretched(checkpoint: Path) -> None:
    """A matrix of 2 GB, of which four bytes are stored."""
    torch.save({"embed_out.weight": torch.zeros(1).expand(416, 1 << 20)}, checkpoint / "pytorch_model.bin")
    spoil.weights(checkpoint).unlink()


def sparse(checkpoint: Path) -> None:
    torch.save({"embed_out.weight": torch.zeros(1).to_sparse().to("cpu")}, checkpoint / "pytorch_model.bin")
    spoil.weights(checkpoint).unlink()


CHECKPOINTS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "a billion layers": (
        lambda c: spoil.edit_config(c, num_hidden_layers=10**9), ("num_hidden_layers 1000000000", "more than any model")
    ),
    "a billion layers of the text": (
        lambda c: spoil.edit_config(c, text_config={"num_hidden_layers": 10**9}), ("more than any model",)
    ),
    "layers of 400 digits": (lambda c: spoil.edit_config(c, num_hidden_layers=10**400), ("num_hidden_layers 1000",)),
    "a billion experts": (lambda c: spoil.edit_config(c, num_experts=10**9), ("num_experts", "more than any model")),
    "more layers than tensors": (
        lambda c: spoil.edit_config(c, num_hidden_layers=1000), ("1,000 layers by its configuration", "tensors")
    ),
    "wider than its files": (
        lambda c: spoil.edit_config(c, intermediate_size=1 << 26), ("parameters by its configuration", "in its files")
    ),
    "a configuration of 20 MB": (
        lambda c: spoil.write(c, "config.json", '{"model_type": "' + "a" * 20_000_000 + '"}'), ("config.json", "larger")
    ),
    "a matrix larger than what is stored": (stretched, ("pytorch_model.bin", "larger than what is stored")),
    "a sparse matrix": (sparse, ("pytorch_model.bin",)),
}  # fmt: skip


def test_a_checkpoint_that_becomes_huge_is_a_row_with_a_reason(workspace: Workspace) -> None:
    series = workspace.series
    for number, (spoiled, _) in enumerate(CHECKPOINTS.values(), 2000):
        spoiled(Path(shutil.copytree(series / "step0", series / f"step{number}")))
    result = degen("scan", series, "--corpus", workspace.corpus, *SMALL, "--out", workspace.run)
    assert result.code == 4
    result.assert_no_fault()
    rows = {row["step"]: row for row in read_run(workspace.run).checkpoints()}
    assert [rows[step]["status"] for step in (0, 100, 1000)] == ["ok"] * 3
    for number, (kind, (_, words)) in enumerate(CHECKPOINTS.items(), 2000):
        assert rows[number]["status"] == "failed", kind
        missing = [word for word in words if word not in rows[number]["reason"]]
        assert not missing, (kind, rows[number]["reason"])
    for command in (("scan", series, "--dry-run"), ("audit", series)):
        degen(*command).assert_no_fault()


MEMORY = """
import sys
from degen.cli.start import main
from degen.scanning.timing import peak_rss
sys.argv[0] = "degen"
try:
    main()
finally:
    print("peak", peak_rss() >> 20, file=sys.stderr)
"""


@pytest.mark.parametrize("kind", ["one line of 2 GB in gzip", "one line of 2 GB in zstandard", "a billion layers"])
def test_it_takes_less_than_a_gigabyte(kind: str, workspace: Workspace) -> None:
    if kind in FILES:
        args = FILES[kind][0](workspace)
    else:
        CHECKPOINTS[kind][0](workspace.series / "step100")
        args = workspace.scan()
    result = python_process(MEMORY, *args)
    assert result.code in (2, 4)
    assert int(result.err.split()[-1]) < 1024
