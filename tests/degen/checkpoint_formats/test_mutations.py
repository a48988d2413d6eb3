"""Damaged files of training run nothing, take no memory, and are a message: real ones changed, and made ones."""

from __future__ import annotations

import io
import os
import pickle
import random
import resource
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from faults.command import degen as command
from tiny import make_checkpoint, make_model
from torch.distributed import checkpoint as dcp

from degen.checkpoint_formats.distributed_metadata import read_metadata
from degen.checkpoint_formats.registry import format_of
from degen.errors import CheckpointError
from degen.weights.pickle_check import check_pickle
from degen.weights.torch_load import load_weights_only

MUTATIONS = int(os.environ.get("DEGEN_MUTATIONS", "60"))  # of each kind of file
MEMORY = 200 << 20  # bytes that reading files of 200 KB may add

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


def peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one model as a file of torch and as a folder of torch.distributed.checkpoint."""
    folder = tmp_path_factory.mktemp("healthy")
    state = make_model("llama").state_dict()
    torch.save({"state_dict": state, "epoch": 1}, folder / "x.ckpt")
    dcp.save({"model": state}, checkpoint_id=folder / "step1", no_dist=True)
    return folder


def mutate(data: bytes, seed: int) -> bytes:
    """Return bytes with some changed, cut, repeated or put elsewhere; half of them near an end, where headers lie."""
    draw, changed = random.Random(seed), bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 8])):
        near = draw.choice([len(changed), min(len(changed), 3000)])
        at = draw.randrange(near) if draw.random() < 0.5 else len(changed) - 1 - draw.randrange(near)
        kind = draw.randrange(5)
        if kind == 0:
            changed[at] = draw.randrange(256)
        elif kind == 1:
            changed[at] ^= 1 << draw.randrange(8)
        elif kind == 2:
            del changed[at : at + draw.choice([1, 4, 100])]
        elif kind == 3:
            changed[at:at] = changed[at : at + draw.choice([1, 8, 200])]
        else:
            changed[at : at + 8] = draw.choice([b"\xff" * 8, b"\0" * 8, (1 << 62).to_bytes(8, "little")])
        if not changed:
            return b""
    return bytes(changed)


def why_not_read(path: Path) -> str | None:
    """Read every tensor, as a scan does; return the message where that fails."""
    try:
        known = format_of(path)
        tensors = known.open(path)
        for key in tensors.keys:
            tensors.sha256(key)
        known.state_dict(path)
    except CheckpointError as error:
        return str(error)
    return None


@pytest.mark.parametrize("file", ["x.ckpt", "step1/.metadata", "step1/__0_0.distcp"])
def test_mutations_are_read_or_are_messages(file: str, healthy: Path, tmp_path: Path) -> None:
    data = (healthy / file).read_bytes()
    target = tmp_path / Path(file).parts[0]
    copy = shutil.copytree if target.suffix == "" else shutil.copy
    copy(healthy / target.name, target)
    assert why_not_read(target) is None
    before, refused = peak_memory(), 0
    for seed in range(MUTATIONS):
        (tmp_path / file).write_bytes(mutate(data, seed))
        os.utime(tmp_path / file, ns=(seed, seed))  # each is another version of the file
        if (message := why_not_read(target)) is not None:
            refused += 1
            assert str(tmp_path) in message
    assert refused > MUTATIONS // 10
    assert peak_memory() - before < MEMORY


def zipped(data: bytes, tmp_path: Path, compression: int = zipfile.ZIP_STORED) -> Path:
    """Return a file of torch with another pickle in it."""
    buffer = io.BytesIO()
    torch.save({"lm_head.weight": torch.ones(4, 2)}, buffer)
    file = tmp_path / "x.pt"
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(file, "w", compression) as new:
        for part in old.infolist():
            new.writestr(part.filename, data if part.filename.endswith(".pkl") else old.read(part))
    return file


def deep(depth: int) -> bytes:
    """Return a pickle of a dict whose key is a tuple in a tuple, so many times."""
    return b"\x80\x02}N" + b"\x85" * depth + b"Ns."


BOMBS: dict[str, tuple[bytes, str]] = {
    "bytearray": (b"\x80\x02cbuiltins\nbytearray\n\x8a\x08" + (1 << 40).to_bytes(8, "little") + b"\x85R.", "bytearray"),
    "tensor": (b"\x80\x02ctorch\nFloatTensor\n\x8a\x08" + (1 << 40).to_bytes(8, "little") + b"\x85R.", "FloatTensor"),
    "memo": (b"\x80\x02Nr" + (1 << 31).to_bytes(4, "little") + b".", "of a memo"),
    "deep": (deep(1_000_000), "more than 100 deep"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_few_bytes_take_no_memory(name: str, healthy: Path, tmp_path: Path) -> None:
    data, says = BOMBS[name]
    before = peak_memory()
    with pytest.raises(CheckpointError, match=says):
        load_weights_only(zipped(data, tmp_path))
    folder = Path(shutil.copytree(healthy / "step1", tmp_path / "step1"))
    (folder / ".metadata").write_bytes(data)
    with pytest.raises(CheckpointError, match=says):
        read_metadata(folder)
    assert peak_memory() - before < MEMORY


def test_a_compressed_zip_is_refused_unread(tmp_path: Path) -> None:
    before = peak_memory()
    with pytest.raises(CheckpointError, match="compressed"):
        load_weights_only(zipped(b"N" * (1 << 28), tmp_path, zipfile.ZIP_DEFLATED))
    assert peak_memory() - before < (1 << 28) + MEMORY  # the test itself makes as much


def test_a_view_of_any_size_is_refused(tmp_path: Path) -> None:
    torch.save({"lm_head.weight": torch.ones(1).expand(1 << 20, 1 << 12)}, tmp_path / "x.pt")
    reference = make_checkpoint(tmp_path / "reference", "llama")
    result = command("scan", tmp_path / "x.pt", "--model-config", reference, "--probes", "spectrum", "--json",
                     "--out", tmp_path / "run")  # fmt: skip
    assert "larger than what is stored" in result.json()["rows"][0]["reason"]


VALUES: list[Callable[[], Any]] = [
    lambda: {"a": [1, (2, 3)], ("x", 1): {"b": None}},
    lambda: [{i: (i, str(i)) for i in range(5000)}],
    lambda: torch.Size([3, 4]),
]


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("value", VALUES)
def test_sound_pickles_pass(value: Callable[[], Any], protocol: int) -> None:
    check_pickle(pickle.dumps(value(), protocol))
