"""Weights read ahead lie in the system's cache, which Linux tells page by page."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import sys
import threading
from pathlib import Path

import pytest
from waiting import finish_fetching

from degen.checkpoints import read_ahead as module
from degen.checkpoints.downloads import Downloads
from degen.checkpoints.local import LocalSource
from degen.checkpoints.prefetch import Fetcher, FetchRequest
from degen.checkpoints.read_ahead import BLOCK, read_ahead, weights_to_load
from degen.checkpoints.series import Checkpoint
from degen.weights.checkpoint_files import CheckpointFiles

SIZE = 2 * BLOCK + 1000


def cached_share(file: Path) -> float:
    """Return the share of a file's pages that are in the system's cache, by mincore(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        first = ctypes.c_char.from_buffer(mapped)
        pages = -(-len(mapped) // mmap.PAGESIZE)
        states = (ctypes.c_ubyte * pages)()
        failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(len(mapped)), states)
        del first
        assert not failed, os.strerror(ctypes.get_errno())
        return sum(state & 1 for state in states) / pages


def drop_from_cache(file: Path) -> None:
    """Have the system forget the pages of a file; skip the test where it does not, as a file system in memory."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if cached_share(file) > 0.1:
        pytest.skip("this file system keeps files in memory")


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Make two checkpoint folders whose weights are not in the system's cache."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells which pages are in its cache")
    made = [tmp_path / name for name in ("step1", "step2")]
    for folder in made:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(os.urandom(SIZE))
        drop_from_cache(folder / "model.safetensors")
    return made


def test_files_are_in_the_cache_once_they_were_read_ahead(folders: list[Path]) -> None:
    first, second = (folder / "model.safetensors" for folder in folders)
    assert read_ahead([first], lambda: False) == SIZE
    assert cached_share(first) == 1
    assert cached_share(second) < 0.1


def test_reading_stops_when_it_is_told_to(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(SIZE))
    answers = iter([False, True])
    assert read_ahead([tmp_path / "a"], lambda: next(answers)) == BLOCK
    assert read_ahead([tmp_path / "a"], lambda: True) == 0


def test_a_file_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(10))
    assert read_ahead([tmp_path / "missing", tmp_path / "a", tmp_path], lambda: False) == 10


def test_files_that_would_fill_memory_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    monkeypatch.setattr(module, "usable_memory", lambda: 1999.0)
    assert read_ahead([tmp_path / "a"], lambda: False) == 0
    monkeypatch.setattr(module, "usable_memory", lambda: 2000.0)
    assert read_ahead([tmp_path / "a"], lambda: False) == 1000


def test_of_weights_that_are_there_twice_those_are_read_that_are_loaded(tmp_path: Path) -> None:
    def names() -> list[str]:
        return [file.name for file in weights_to_load(CheckpointFiles(tmp_path))]

    for name in ("model.safetensors", "consolidated.safetensors", "pytorch_model.bin", "training_args.bin"):
        (tmp_path / name).write_bytes(b"")
    assert names() == ["model.safetensors"]
    (tmp_path / "model.safetensors").rename(tmp_path / "model-1.safetensors")
    index = {"weight_map": {"a.weight": "model-1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert names() == ["model-1.safetensors"]
    (tmp_path / "model.safetensors.index.json").unlink()
    assert names() == ["pytorch_model.bin"]


@pytest.mark.parametrize("asked", [True, False])
def test_the_next_checkpoint_is_read_while_one_is_measured_where_that_is_asked_for(
    folders: list[Path], tmp_path: Path, asked: bool
) -> None:
    checkpoints = [Checkpoint("m", f.name, i, None, LocalSource(f)) for i, f in enumerate(folders)]
    requests = [FetchRequest(checkpoint, True, read_ahead=asked) for checkpoint in checkpoints]
    with Fetcher(Downloads(tmp_path / "downloads"), requests, lambda _: False) as fetcher:
        with fetcher.files(checkpoints[0]):
            finish_fetching()
            finish_fetching()  # the thread that reads, which the one that fetched has begun
            assert cached_share(folders[1] / "model.safetensors") == (1 if asked else pytest.approx(0, abs=0.1))
        with fetcher.files(checkpoints[1]) as files:
            assert files.path == folders[1]


def test_weights_that_no_thread_can_read_ahead_are_left_to_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("step1", "step2", "step3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"")
    checkpoints = [Checkpoint("m", f"step{i}", i, None, LocalSource(tmp_path / f"step{i}")) for i in (1, 2, 3)]
    start = threading.Thread.start

    def start_one(thread: threading.Thread) -> None:
        if any(other.name == thread.name for other in threading.enumerate()):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    requests = [FetchRequest(checkpoint, True, read_ahead=True) for checkpoint in checkpoints]
    with Fetcher(Downloads(tmp_path / "downloads"), requests, lambda _: False) as fetcher:
        for checkpoint in checkpoints:
            with fetcher.files(checkpoint) as files:
                finish_fetching()
                assert files.path == tmp_path / checkpoint.revision
