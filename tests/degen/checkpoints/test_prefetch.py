"""The order in which checkpoints are fetched: one ahead and never two, copies not at all, failures alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from waiting import finish_fetching

from degen.checkpoints.downloads import Downloads
from degen.checkpoints.prefetch import Fetcher, FetchRequest
from degen.checkpoints.series import Checkpoint
from degen.checkpoints.source import Source
from degen.errors import CheckpointError
from degen.weights.checkpoint_files import CheckpointFiles
from degen.weights.stored_tensors import StoredTensors


class Log(list[str]):
    """What happened, in order; can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()

    def say(self, event: str) -> None:
        with self.changed:
            self.append(event)
            self.changed.notify_all()

    def wait_for(self, event: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: event in self, timeout=10), (event, list(self))


@dataclass(frozen=True)
class Made(Source):
    """A source that writes one file, and says so."""

    name: str
    log: Log = field(compare=False)
    gate: threading.Event | None = field(default=None, compare=False)
    error: BaseException | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.name

    def version(self) -> str:
        return "1"

    def config(self) -> Path:
        raise NotImplementedError

    def tokenizer(self) -> None:
        return None

    def tensors(self) -> StoredTensors:
        raise NotImplementedError

    def fetch(self, downloads: Downloads, whole: bool) -> CheckpointFiles:
        self.log.say(f"fetch {self.name}")
        if self.gate is not None:
            assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        folder = downloads.folder(self.key)
        (folder / "weights").write_text(f"{self.name} {whole}")
        self.log.say(f"have {self.name}")
        return CheckpointFiles(folder, whole=whole)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def downloads(tmp_path: Path) -> Iterator[Downloads]:
    made = Downloads(tmp_path / "downloads")
    yield made
    assert not made.path.exists()


def make_requests(log: Log, *names: str, **more: object) -> list[FetchRequest]:
    """Return requests for checkpoints of these names; `c_error=…` and `c_gate=…` are those of the source of `c`."""

    def source(name: str) -> Made:
        settings = {key.removeprefix(f"{name}_"): value for key, value in more.items() if key.startswith(f"{name}_")}
        return Made(name, log, **settings)  # type: ignore[arg-type]

    return [FetchRequest(Checkpoint("m", name, i, None, source(name)), True) for i, name in enumerate(names)]


def scan(
    fetcher: Fetcher, requests: list[FetchRequest], log: Log, within: Callable[[str], None] = lambda _: None
) -> dict[str, str]:
    """Ask for one after another, as a scan does; return the text or the error of each."""
    results = {}
    for name, checkpoint in [(w.checkpoint.revision, w.checkpoint) for w in requests]:
        try:
            with fetcher.files(checkpoint) as files:
                log.say(f"measure {name}")
                within(name)
                results[name] = (files.path / "weights").read_text()
        except Exception as error:
            results[name] = str(error)
        log.say(f"done {name}")
    return results


def count_on_disk(downloads: Downloads) -> int:
    """Count the checkpoints on disk."""
    with suppress(FileNotFoundError):
        return sum(1 for _ in downloads.path.iterdir())
    return 0


def test_the_next_checkpoint_is_fetched_while_one_is_measured(log: Log, downloads: Downloads) -> None:
    requests = make_requests(log, "a", "b", "c", "d")
    following = {"a": "b", "b": "c", "c": "d"}

    def within(name: str) -> None:
        if name in following:
            log.wait_for(f"have {following[name]}")
        finish_fetching()
        assert count_on_disk(downloads) == (2 if name in following else 1)

    with Fetcher(downloads, requests, lambda _: False) as fetcher:
        results = scan(fetcher, requests, log, within)
    assert results == {name: f"{name} True" for name in "abcd"}
    assert [event for event in log if not event.startswith("measure")] == [
        "fetch a", "have a",
        "fetch b", "have b", "done a",
        "fetch c", "have c", "done b",
        "fetch d", "have d", "done c",
        "done d",
    ]  # fmt: skip


def test_a_checkpoint_is_measured_after_its_slow_download(log: Log, downloads: Downloads) -> None:
    gate = threading.Event()
    requests = make_requests(log, "a", "b", b_gate=gate)

    def open_gate() -> None:
        log.wait_for("done a")
        gate.set()

    threading.Thread(target=open_gate).start()
    with Fetcher(downloads, requests, lambda _: False) as fetcher:
        assert scan(fetcher, requests, log) == {"a": "a True", "b": "b True"}
    assert log.index("done a") < log.index("have b") < log.index("measure b")


def test_copies_are_not_fetched(log: Log, downloads: Downloads) -> None:
    requests = make_requests(log, "a", "b", "c", "d")
    with Fetcher(downloads, requests, lambda c: c.revision in "bc") as fetcher:
        scan(fetcher, [requests[0], requests[3]], log, lambda name: log.wait_for("have d"))
    assert [event for event in log if event.startswith("fetch")] == ["fetch a", "fetch d"]


def test_nothing_is_fetched_where_only_copies_follow(log: Log, downloads: Downloads) -> None:
    requests = make_requests(log, "a", "b")
    with Fetcher(downloads, requests, lambda c: c.revision == "b") as fetcher:
        scan(fetcher, requests[:1], log)
        finish_fetching()
    assert "fetch b" not in log


def test_a_copy_of_a_failed_checkpoint_is_fetched_and_the_files_fetched_ahead_are_kept(
    log: Log, downloads: Downloads
) -> None:
    requests = make_requests(log, "a", "b", "c")
    with Fetcher(downloads, requests, lambda c: c.revision == "b") as fetcher:
        results = scan(fetcher, requests, log, lambda name: log.wait_for("have c"))
    assert results == {name: f"{name} True" for name in "abc"}
    assert [event for event in log if event.startswith("fetch")] == ["fetch a", "fetch c", "fetch b"]


def test_files_of_a_late_found_copy_are_deleted(log: Log, downloads: Downloads) -> None:
    requests = make_requests(log, "a", "b", "c", "d")

    def within(name: str) -> None:
        log.wait_for({"a": "have b", "c": "have d", "d": "have d"}[name])
        assert count_on_disk(downloads) <= 2

    with Fetcher(downloads, requests, lambda _: False) as fetcher:
        # the scan finds b to be a copy when it is its turn
        results = scan(fetcher, [requests[0], *requests[2:]], log, within)
    assert results == {name: f"{name} True" for name in "acd"}


@pytest.mark.parametrize("error", [CheckpointError("b is gone"), RuntimeError("b is odd"), MemoryError("b is large")])
def test_a_checkpoint_that_fails_ahead_fails_in_its_own_turn_and_alone(
    log: Log, downloads: Downloads, error: Exception
) -> None:
    requests = make_requests(log, "a", "b", "c", "d", b_error=error)
    with Fetcher(downloads, requests, lambda _: False) as fetcher:
        results = scan(fetcher, requests, log, lambda _: finish_fetching())
    assert results == {"a": "a True", "b": str(error), "c": "c True", "d": "d True"}
    assert log.count("fetch b") == 1


def test_a_checkpoint_that_fails_first_stops_no_other(log: Log, downloads: Downloads) -> None:
    requests = make_requests(log, "a", "b", a_error=CheckpointError("a is gone"))
    with Fetcher(downloads, requests, lambda _: False) as fetcher:
        assert scan(fetcher, requests, log) == {"a": "a is gone", "b": "b True"}


@pytest.mark.parametrize("error", [CheckpointError("no listing"), ValueError("odd")])
def test_a_checkpoint_is_fetched_where_it_is_unknown_whether_it_is_a_copy(
    log: Log, downloads: Downloads, error: Exception
) -> None:
    def is_copy(_: Checkpoint) -> bool:
        raise error

    requests = make_requests(log, "a", "b")
    with Fetcher(downloads, requests, is_copy) as fetcher:
        assert scan(fetcher, requests, log) == {"a": "a True", "b": "b True"}


def test_the_same_files_under_two_labels_are_not_deleted_under_the_second(log: Log, downloads: Downloads) -> None:
    source = Made("a", log)
    requests = [FetchRequest(Checkpoint(model, "a", 1, None, source), True) for model in ("one", "two")]
    with Fetcher(downloads, requests, lambda _: False) as fetcher:
        for w in requests:
            with fetcher.files(w.checkpoint) as files:
                finish_fetching()
                assert (files.path / "weights").is_file()


def test_downloads_are_deleted_after_a_failed_measurement(log: Log, downloads: Downloads) -> None:
    requests = make_requests(log, "a", "b")
    with Fetcher(downloads, requests, lambda _: False) as fetcher:
        with suppress(ZeroDivisionError), fetcher.files(requests[0].checkpoint):
            log.wait_for("have b")
            raise ZeroDivisionError
        assert [f.read_text() for f in downloads.path.rglob("weights")] == ["b True"]


def test_an_interruption_does_not_wait_for_a_download_and_leaves_no_files(log: Log, downloads: Downloads) -> None:
    gate = threading.Event()
    requests = make_requests(log, "a", "b", b_gate=gate)
    with (
        suppress(KeyboardInterrupt),
        Fetcher(downloads, requests, lambda _: False) as fetcher,
        fetcher.files(requests[0].checkpoint),
    ):
        log.wait_for("fetch b")
        raise KeyboardInterrupt
    assert "have b" not in log  # the fetch is still held at its gate, and nothing waited for it
    gate.set()  # the thread goes on, as it would in a notebook
    finish_fetching()
    assert "have b" in log
    assert not downloads.path.exists()


def test_downloads_of_a_killed_scan_are_deleted(log: Log, downloads: Downloads) -> None:
    left = downloads.path / "0123456789abcdef" / "model.safetensors"
    left.parent.mkdir(parents=True)
    left.write_text("old")
    with Fetcher(downloads, make_requests(log, "a"), lambda _: False):
        assert not left.exists()
