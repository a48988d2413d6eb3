"""Runs at URLs of fsspec: scanned into, continued and read, with the tables of a local run bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from faults.command import degen
from run_parts import part_bytes

import degen as package
from degen.errors import DegenError, RunFolderError
from degen.runs.run_file import RUN_FILE
from degen.runs.stored_run import StoredRun, working_copy
from degen.scanning.progress import Progress
from degen.stores.remote_folder import RemoteFolder

URL = "memory://bucket/run"
SMALL: dict[str, Any] = {"tokens": 512, "context": 32, "threads": 1}


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield the file system in memory, emptied afterwards; copies go into the folder of the test."""
    monkeypatch.setenv("DEGEN_CACHE", str(tmp_path / "cache"))
    filesystem = fsspec.filesystem("memory")
    yield filesystem
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]


def stored(memory: Any) -> dict[str, bytes]:
    return {name.removeprefix("/bucket/run/"): memory.cat_file(name) for name in memory.find("/bucket/run")}


class Stopped(Progress):
    """Interrupts a scan when so many checkpoints are finished."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def finish_checkpoint(self, *args: Any, **more: Any) -> None:
        super().finish_checkpoint(*args, **more)
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def copies(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "cache").glob("runs/*/scan-*"))


def test_interrupted_and_continued_it_has_the_tables_of_a_local_run(
    memory: Any, series: Path, corpus: Path, run: package.Run, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        package.scan(series, corpus=corpus, out=URL, progress=Stopped(after=2), **SMALL)
    begun = stored(memory)
    assert sorted(name for name in begun if name.startswith("checkpoints/")) == [
        "checkpoints/tiny/step0.parquet", "checkpoints/tiny/step100.parquet",
    ]  # fmt: skip
    assert {RUN_FILE, "sample.parquet"} <= begun.keys()
    assert copies(tmp_path) == []
    there = package.scan(series, corpus=corpus, out=URL, **SMALL)
    assert part_bytes(there.path) == part_bytes(run.path)
    finished = stored(memory)
    assert finished.keys() == {f.relative_to(run.path).as_posix() for f in run.path.rglob("[!.]*.*")}
    assert {n: c for n, c in begun.items() if n != RUN_FILE} == {n: finished[n] for n in begun if n != RUN_FILE}
    assert there.name == URL
    assert copies(tmp_path) == []


@pytest.fixture
def kept(memory: Any, run: package.Run) -> Any:
    """Return the file system in memory, with the run in it."""
    for file in run.path.rglob("[!.]*.*"):
        memory.pipe_file(f"/bucket/run/{file.relative_to(run.path).as_posix()}", file.read_bytes())
    return memory


def test_it_is_read_by_every_command(kept: Any, run: package.Run, run_copy: Path, tmp_path: Path) -> None:
    there = package.read_run(URL)
    assert all(there.table(name).equals(run.table(name)) for name in run.tables)
    assert degen("show", URL, "--json").json() | {"run": ""} == degen("show", run.path, "--json").json() | {"run": ""}
    verdicts = [degen("saturation", path, "--json").json()["rows"] for path in (URL, run_copy)]
    assert verdicts[0] == verdicts[1]
    rule = ("--rule", "loss.rise < 1e-9", "--baseline")
    assert [degen("gate", *paths).code for paths in ((URL, *rule, run.path), (run.path, *rule, URL))] == [0, 0]
    assert degen("export", URL, "--table", "layers", "--out", tmp_path / "layers.csv").code == 0
    assert degen("report", URL, "--out", tmp_path / "page.html").code == 0
    page = (tmp_path / "page.html").read_text()
    assert f"-o {URL}</code>" in page
    assert str(tmp_path) not in page.replace(str(run.path), "")  # nothing of where the copy lies
    assert "saturation" not in package.read_run(URL).tables


def test_only_what_has_changed_is_fetched_again(kept: Any, run: package.Run, run_copy: Path) -> None:
    first = {f: f.stat().st_ino for f in package.read_run(URL).path.rglob("*.parquet")}
    file = next(run_copy.glob("layers/*/step100.parquet"))
    name = file.relative_to(run_copy).as_posix()
    kept.pipe_file(f"/bucket/run/{name}", file.read_bytes())
    kept.rm_file("/bucket/run/windows/tiny/step0.parquet")
    again = {f: f.stat().st_ino for f in package.read_run(URL).path.rglob("*.parquet")}
    changed = [f for f in again if again[f] != first[f]]
    assert [f.as_posix().endswith(name) for f in changed] == [True]
    assert [f.as_posix().endswith("windows/tiny/step0.parquet") for f in first.keys() - again.keys()] == [True]


def test_a_dry_run_sees_what_is_there(kept: Any, series: Path, corpus: Path) -> None:
    options = ("--corpus", corpus, "--tokens", 512, "--context", 32, "--threads", 1, "--dry-run", "--json")
    rows = degen("scan", series, *options, "-o", URL).json()["rows"]
    assert [row["bytes"] for row in rows] == [0, 0, 0]
    rows = degen("scan", series, *options, "-o", "memory://bucket/other").json()["rows"]
    assert all(row["bytes"] for row in rows)


def test_other_settings_and_other_files_are_refused(kept: Any, series: Path, corpus: Path) -> None:
    before = stored(kept)
    with pytest.raises(RunFolderError, match=f"^{URL}: was scanned with other settings: seed 0"):
        package.scan(series, corpus=corpus, out=URL, seed=1, **SMALL)
    dry = degen("scan", series, "--corpus", corpus, *("--context", 32, "--seed", 1), "--dry-run", "-o", URL)
    assert dry.message.startswith(f"{URL}: was scanned with other settings")
    kept.pipe_file("/bucket/texts/a.txt", b"text")
    with pytest.raises(RunFolderError, match=r"memory://bucket/texts: holds a\.txt and is no run folder"):
        package.scan(series, corpus=corpus, out="memory://bucket/texts", **SMALL)
    assert stored(kept) == before


def test_fresh_replaces_it(kept: Any, series: Path, corpus: Path) -> None:
    kept.pipe_file("/bucket/run/notes.md", b"mine")
    there = package.scan(series, corpus=corpus, out=URL, fresh=True, probes=["spectrum"], steps="0", threads=1)
    files = stored(kept)
    assert files["notes.md"] == b"mine"
    assert {name for name in files if name.endswith(".parquet")} == {
        f"{table}/tiny/step0.parquet" for table in there.tables
    }


def test_shards_write_one_run(memory: Any, series: Path, corpus: Path, run: package.Run) -> None:
    for shard in ("2/2", "1/2", "2/2"):
        there = package.scan(series, corpus=corpus, out=URL, shard=shard, **SMALL)
    assert there.missing == {}
    assert part_bytes(there.path) == part_bytes(run.path)


def test_a_shard_that_another_one_overtook_goes_on_with_its_run(memory: Any, run: package.Run, tmp_path: Path) -> None:
    with working_copy(URL, shared=True) as late, working_copy(URL, shared=True) as early:
        for copy in (early, late):
            shutil.copy(run.path / RUN_FILE, copy.folder / RUN_FILE)
        assert early.create_info()
        assert not late.create_info()
        with pytest.raises(RunFolderError, match="another scan has begun a run there meanwhile"):
            late.push()
        late.pull()
        assert (late.folder / RUN_FILE).read_bytes() == (early.folder / RUN_FILE).read_bytes()


def test_a_part_is_uploaded_after_all_else_of_its_checkpoint(memory: Any, run: package.Run, tmp_path: Path) -> None:
    copy = StoredRun(URL, tmp_path / "copy")
    copy.folder.mkdir()
    copy.pull()
    shutil.copytree(run.path, copy.folder, dirs_exist_ok=True)
    copy.push()
    created = {name: memory.info(name)["created"] for name in memory.find("/bucket/run")}
    last = min(time for name, time in created.items() if "/checkpoints/" in name)
    assert all(time <= last for name, time in created.items() if "/checkpoints/" not in name)
    assert created[f"/bucket/run/{RUN_FILE}"] <= min(t for n, t in created.items() if n.count("/") > 3)


def test_a_part_that_a_worker_takes_away_while_others_are_carried_over_ends_nothing(
    memory: Any, run: package.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = StoredRun(URL, tmp_path / "copy")
    copy.folder.mkdir()
    copy.pull()
    shutil.copy(run.path / RUN_FILE, copy.folder / RUN_FILE)
    copy.push()
    shutil.copytree(run.path, copy.folder, dirs_exist_ok=True)
    taken = copy.folder / "checkpoints" / "tiny" / "step100.parquet"
    put = RemoteFolder.put

    def put_late(folder: RemoteFolder, names: Iterable[str], source: Path) -> None:
        taken.unlink(missing_ok=True)
        put(folder, names, source)

    monkeypatch.setattr(RemoteFolder, "put", put_late)
    copy.push()
    assert "checkpoints/tiny/step100.parquet" not in stored(memory)
    assert len(stored(memory)) == len(part_bytes(copy.folder)) + len(list(run.path.glob("timing/*/*"))) + 1


def test_one_scan_of_this_machine_at_a_time_unless_they_are_shards(memory: Any) -> None:
    with working_copy(URL, shared=False), pytest.raises(RunFolderError, match="another scan is at work"):
        working_copy(URL, shared=False).__enter__()


def test_copies_that_a_killed_scan_left_are_deleted(memory: Any, tmp_path: Path) -> None:
    with working_copy(URL, shared=True) as copy:
        base = copy.folder.parent
        (base / "scan-0123456789abcdef").mkdir()
        (base / "scan-0123456789abcdef.lock").touch()
        with working_copy(URL, shared=True) as other:
            assert {f.name for f in base.glob("scan-*") if f.is_dir()} == {copy.folder.name, other.folder.name}


def test_a_file_system_without_whole_files_gets_them_by_a_move(run: package.Run, tmp_path: Path) -> None:
    copy = StoredRun(f"file://{tmp_path}/there", tmp_path / "copy")
    copy.folder.mkdir()
    copy.pull()
    shutil.copytree(run.path, copy.folder, dirs_exist_ok=True)
    copy.push()
    assert part_bytes(tmp_path / "there") == part_bytes(run.path)
    assert not list((tmp_path / "there").rglob("*.partial"))
    assert package.read_run(f"file://{tmp_path}/there").table("layers").equals(run.table("layers"))


@pytest.mark.parametrize(
    ("url", "message"),
    [("memory://bucket/none", "no run folder"), ("hf://datasets/org/name", "then `degen push`")],
)
def test_what_cannot_be_is_refused(url: str, message: str, series: Path) -> None:
    command = ("show", url) if "none" in url else ("scan", series, "-o", url)
    assert message in degen(*command).message


def test_callbacks_take_no_url(tmp_path: Path) -> None:
    from degen.runs.run_writer import check_folder

    with pytest.raises(DegenError, match="s3://bucket/run: is no folder"):
        check_folder(Path("s3://bucket/run"))
