"""Folders of torch.distributed.checkpoint, saved by two processes, give the tables of `save_pretrained`."""

from __future__ import annotations

import io
import itertools
import math
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from faults.command import degen as command
from hypothesis import given
from hypothesis import strategies as st
from tiny import PADDED, WIDTH, make_checkpoint, make_model, make_tokenizer
from torch.distributed import checkpoint as dcp

import degen
from degen.checkpoint_formats.distributed import DistributedFolder, DistributedTensors
from degen.checkpoint_formats.distributed_metadata import DistributedTensor, Piece, read_metadata
from degen.checkpoint_formats.registry import find_format, open_tensors
from degen.weights.checkpoint_files import CheckpointFiles

TESTS = Path(__file__).parents[2]
KINDS = ("plain", "columns", "fsdp1", "fsdp2")
NAMES = {"model", "revision", "step", "tokens_seen"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a checkpoint of every kind, `plain/step100`, and the same model as `plain/reference`."""
    folder = tmp_path_factory.mktemp("trained")
    launch = [sys.executable, str(TESTS / "two_processes.py"), str(TESTS / "save_distributed.py"), str(folder), *KINDS]
    done = subprocess.run(launch, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    make_tokenizer(folder / "tokenizer")
    return folder


def save(state: Mapping[str, Any], folder: Path) -> Path:
    dcp.save(dict(state), checkpoint_id=folder, no_dist=True)
    return folder


pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


@pytest.mark.parametrize("kind", KINDS)
def test_it_gives_the_tables_of_save_pretrained(kind: str, trained: Path, corpus: Path, tmp_path: Path) -> None:
    tables = []
    for name in ("step100", "reference"):
        run = degen.scan(
            trained / kind / name, model_config=trained / kind / "reference", tokenizer=trained / "tokenizer",
            corpus=corpus, tokens=256, context=32, out=tmp_path / name,
        )  # fmt: skip
        assert run.checkpoints()[0]["status"] == "ok", run.checkpoints()[0]["reason"]
        kept = [run.table(t).to_pylist() for t in ("checkpoints", "layers", "windows", "spectrum")]
        tables.append([[{k: v for k, v in row.items() if k not in NAMES} for row in rows] for rows in kept])
    assert tables[0] == tables[1]


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_those_that_were_saved(kind: str, trained: Path) -> None:
    """Both processes hold a part of the head; by `columns` each holds all of its rows."""
    folder = trained / kind / "step100"
    assert isinstance(find_format(folder), DistributedFolder)
    root = folder / "pytorch_model_fsdp_0" if kind.startswith("fsdp") else folder
    head = next(t for key, t in read_metadata(root).items() if key.endswith("lm_head.weight") and "optim" not in key)
    assert len({piece.file for piece in head.pieces}) == 2
    if kind == "columns":
        assert [piece.sizes for piece in head.pieces] == [(PADDED, WIDTH // 2)] * 2


def test_a_head_costs_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 1.02 × the head's bytes and 300 KB are read, of a file that holds far more."""
    changes = {"vocab_size": 20_000, "hidden_size": 64, "num_hidden_layers": 4, "intermediate_size": 2048}
    reference = make_checkpoint(tmp_path / "reference", "llama", **changes)
    save({"model": make_model("llama", **changes).state_dict()}, tmp_path / "step100")
    read: list[int] = []
    opened = Path.open

    class Counted(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            read.append(len(data))
            return data

    def count(self: Path, mode: str = "r", *args: Any, **more: Any) -> Any:
        distributed = self.suffix == ".distcp" or self.name == ".metadata"
        return Counted(io.FileIO(self)) if distributed else opened(self, mode, *args, **more)

    monkeypatch.setattr(Path, "open", count)
    run = degen.scan(tmp_path / "step100", model_config=reference, probes=["spectrum"], out=tmp_path / "run")
    assert run.checkpoints()[0]["status"] == "ok", run.checkpoints()[0]["reason"]
    head = 20_000 * 64 * 4
    assert head <= sum(read) <= 1.02 * head + 300_000
    assert sum(f.stat().st_size for f in (tmp_path / "step100").iterdir()) > 2 * head


def cut(length: int, draw: Any) -> list[int]:
    """Return where a length is cut, from 0 to itself."""
    return [0, *sorted(draw(st.sets(st.integers(1, length - 1), max_size=3))), length]


@given(data=st.data(), rows=st.integers(2, 9), columns=st.integers(2, 7))
def test_any_rows_are_put_together_from_any_rectangles(
    data: Any, rows: int, columns: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    whole = torch.arange(rows * columns, dtype=torch.float32).reshape(rows, columns)
    across, down = cut(rows, data.draw), cut(columns, data.draw)
    pieces, content = [], b""
    for top, bottom in itertools.pairwise(across):
        for left, right in itertools.pairwise(down):
            buffer = io.BytesIO()
            torch.save(whole[top:bottom, left:right].clone(), buffer)
            size = len(buffer.getvalue())
            pieces.append(Piece((top, left), (bottom - top, right - left), "__0_0.distcp", len(content), size))
            content += buffer.getvalue()
    (folder / "__0_0.distcp").write_bytes(content)
    shuffled = tuple(data.draw(st.permutations(pieces)))
    tensors = DistributedTensors(folder, {"w": DistributedTensor("float32", (rows, columns), shuffled)})
    first = data.draw(st.integers(0, rows - 1))
    last = data.draw(st.integers(first + 1, rows + 3))
    assert torch.equal(tensors.rows("w", first, last), whole[first:last])
    assert b"".join(tensors.raw("w")) == whole.numpy().tobytes()
    assert torch.equal(tensors.whole("w"), whole)


LIBRARIES = {
    "torchtitan": ("tok_embeddings.weight", "output.weight", "layers.0.attention.wq.weight"),
    "OLMo-core": ("model.embeddings.weight", "model.lm_head.w_out.weight", "model.blocks.0.attention.w_q.weight"),
    "Megatron-LM": (
        "embedding.word_embeddings.weight", "output_layer.weight",
        "decoder.layers.self_attention.linear_qkv.weight",
    ),
}  # fmt: skip


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_head_is_measured_under_names_of_training_libraries(
    library: str, corpus: Path, series: Path, tmp_path: Path
) -> None:
    reference = make_checkpoint(tmp_path / "reference", "llama")
    model = make_model("llama").state_dict()
    names = dict(
        zip(LIBRARIES[library], ("model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"), strict=True)
    )
    state = {name: model[key] for name, key in names.items()}
    inner = "step100/model_and_optim" if library == "OLMo-core" else "step100"
    save(state | {f"optim.exp_avg.{name}": torch.zeros(2, 2) for name in state}, tmp_path / inner)
    rows = []
    for path in (tmp_path / "step100", reference):
        run = degen.scan(
            path, model_config=reference, corpus=corpus, tokens=64, context=32, tokenizer=series,
            out=tmp_path / f"run-{path.name}",
        )  # fmt: skip
        rows.append(run.checkpoints()[0])
    assert rows[0]["status"] == "ok"
    assert rows[0]["head_sha256"] == rows[1]["head_sha256"]
    assert rows[0]["singular_entropy"] == rows[1]["singular_entropy"]
    assert rows[0]["loss"] is None
    assert f"names of {library}" in rows[0]["reason"]


def test_without_a_configuration_it_says_how_to_name_one(tmp_path: Path) -> None:
    save({"model": make_model("llama").state_dict()}, tmp_path / "step100")
    result = command("scan", tmp_path, "--probes", "spectrum", "--out", tmp_path / "run", "--json")
    assert "--model-config" in result.json()["rows"][0]["reason"]


class Hostile:
    """A pickle of it runs a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch {self.mark}",)


def damage(folder: Path, change: Callable[[Any], None]) -> None:
    """Change the metadata of a folder, as torch's own classes hold it."""
    file = folder / ".metadata"
    metadata = pickle.loads(file.read_bytes())  # noqa: S301 - written by this test
    change(metadata)
    file.write_bytes(pickle.dumps(metadata))


def head_of(metadata: Any) -> Any:
    return metadata.state_dict_metadata["model.lm_head.weight"]


def range_of(metadata: Any) -> Any:
    return next(info for index, info in metadata.storage_data.items() if index.fqn == "model.lm_head.weight")


def set_on(target: Callable[[Any], Any], **values: Any) -> Callable[[Any], None]:
    def change(metadata: Any) -> None:
        for name, value in values.items():
            setattr(target(metadata), name, value)

    return change


def put(name: str, value: Any) -> Callable[[Any], None]:
    return lambda metadata: metadata.state_dict_metadata.__setitem__(name, value)


def enlarge(metadata: Any) -> None:
    huge = torch.Size([1 << 40, WIDTH])
    set_on(head_of, size=huge)(metadata)
    set_on(lambda m: head_of(m).chunks[0], sizes=huge)(metadata)


BAD: dict[str, tuple[Callable[[Any], None], str]] = {
    "past the end": (set_on(range_of, offset=1 << 40), "which has"),
    "negative": (set_on(range_of, offset=-5), "an offset or a size is none"),
    "outside": (set_on(range_of, relative_path="../secret.distcp"), "outside the folder"),
    "absolute": (set_on(range_of, relative_path="/etc/passwd"), "outside the folder"),
    "missing": (set_on(range_of, relative_path="__7_0.distcp"), "which is missing"),
    "compressed": (set_on(range_of, transform_descriptors=["zstd"]), "stored compressed"),
    "huge": (enlarge, "are not"),
    "a hole": (set_on(head_of, size=torch.Size([PADDED + 1, WIDTH])), "do not make up"),
    "no chunk": (set_on(head_of, chunks=[]), "do not make up"),
    "no numbers": (set_on(head_of, size=("a", "b")), "an offset or a size is none"),
    "another class": (put("x", io.BytesIO()), "_io.BytesIO"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_lying_index_is_a_message(name: str, tmp_path: Path) -> None:
    change, says = BAD[name]
    folder = save({"model": make_model("llama").state_dict()}, tmp_path / "step100")
    damage(folder, change)
    reference = make_checkpoint(tmp_path / "reference", "llama")
    result = command(
        "scan", folder, "--model-config", reference, "--probes", "spectrum", "--out", tmp_path / "run", "--json"
    )
    assert says in result.json()["rows"][0]["reason"]


def test_a_payload_in_the_index_is_not_run(tmp_path: Path) -> None:
    folder = save({"model": make_model("llama").state_dict()}, tmp_path / "step100")
    mark = tmp_path / "ran"
    damage(folder, put("x", Hostile(mark)))
    reference = make_checkpoint(tmp_path / "reference", "llama")
    result = command(
        "scan", folder, "--model-config", reference, "--probes", "spectrum", "--out", tmp_path / "run", "--json"
    )
    assert "system, which no index needs; nothing was run" in result.json()["rows"][0]["reason"]
    assert not mark.exists()


def test_a_payload_in_a_piece_is_not_run(tmp_path: Path) -> None:
    folder = save({"model": make_model("llama").state_dict()}, tmp_path / "step100")
    buffer, mark = io.BytesIO(), tmp_path / "ran"
    torch.save(Hostile(mark), buffer)
    (piece,) = read_metadata(folder)["model.lm_head.weight"].pieces
    content = bytearray((folder / piece.file).read_bytes())
    content[piece.first : piece.first + piece.length] = buffer.getvalue().ljust(piece.length, b"\0")[: piece.length]
    (folder / piece.file).write_bytes(content)
    reference = make_checkpoint(tmp_path / "reference", "llama")
    result = command(
        "scan", folder, "--model-config", reference, "--probes", "spectrum", "--out", tmp_path / "run", "--json"
    )
    assert "not readable as weights alone" in result.json()["rows"][0]["reason"]
    assert not mark.exists()


def test_what_a_pickle_does_to_names_it_is_given_ends_with_it(tmp_path: Path) -> None:
    """Setting attributes of a class is no code, and would change it for the whole process."""
    folder = save({"model": make_model("llama").state_dict()}, tmp_path / "step100")
    before = dict(vars(dcp.metadata.Metadata))
    content = (folder / ".metadata").read_bytes()
    of_class = b"ctorch.distributed.checkpoint.metadata\nMetadata\n"
    built = b"N}\x8c\x08__init__Ns\x86b0"  # with (None, {"__init__": None}), which sets attributes
    grafted = b"\x80\x04" + of_class + built
    (folder / ".metadata").write_bytes(grafted + content[2:])
    with pytest.raises(degen.errors.CheckpointError):
        read_metadata(folder)
    assert dict(vars(dcp.metadata.Metadata)) == before


def test_a_whole_state_is_as_large_as_it_says(tmp_path: Path) -> None:
    state = make_model("llama").state_dict()
    folder = save({"model": state, "optimizer": {"exp_avg": torch.zeros(3)}, "step": 7}, tmp_path / "step100")
    tensors = open_tensors(CheckpointFiles(folder))
    assert tensors.keys == set(state)
    assert tensors.size(None) == sum(math.prod(t.shape) * 4 for t in state.values())
