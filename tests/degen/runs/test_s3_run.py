"""Runs in a real S3-compatible store on loopback: killed, continued, read, and what the store refuses.

`make extras` runs these.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.command import CommandResult, degen_process, executable
from run_parts import part_bytes
from tiny import make_checkpoint, make_tokenizer

import degen as package
from degen.stores.remote_folder import RemoteFolder

pytestmark = pytest.mark.extras

URL = "s3://bucket/runs/tiny"
STEPS = 8
SMALL = ("--tokens", "512", "--context", "32", "--threads", "1")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Yield the address of a server of moto."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def store(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield the client of a store with one empty bucket, which this process and its children are sent to."""
    import boto3
    import s3fs

    settings = {
        "AWS_ENDPOINT_URL": server, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1", "DEGEN_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="bucket")
    yield client
    for key in keys(client):
        client.delete_object(Bucket="bucket", Key=key)
    client.delete_bucket(Bucket="bucket")
    client.close()


def keys(store: Any) -> list[str]:
    pages = store.get_paginator("list_objects_v2").paginate(Bucket="bucket")
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


@pytest.fixture(scope="module")
def long_series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a series of several checkpoints."""
    folder = tmp_path_factory.mktemp("long") / "tiny"
    make_tokenizer(folder)
    for step in range(STEPS):
        make_checkpoint(folder / f"step{step}", "gpt2", seed=step)
    return folder


@pytest.fixture(scope="module")
def local(long_series: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> package.Run:
    """Return the run of the series in a folder."""
    out = tmp_path_factory.mktemp("local") / "run"
    assert degen_process("scan", long_series, "--corpus", corpus, *SMALL, "-o", out).code == 0
    return package.read_run(out)


def killed_scan(store: Any, *command: object, after: int) -> None:
    """Begin a scan, and kill it once so many checkpoints are in the store."""
    process = subprocess.Popen([executable(), *map(str, command)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        while sum("/checkpoints/" in key for key in keys(store)) < after:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_killed_in_the_middle_and_continued_it_has_the_tables_of_a_local_run(
    store: Any, long_series: Path, corpus: Path, local: package.Run, tmp_path: Path
) -> None:
    command = ("scan", long_series, "--corpus", corpus, *SMALL, "-o", URL)
    killed_scan(store, *command, after=2)
    begun = {key for key in keys(store) if "/checkpoints/" in key}
    assert 2 <= len(begun) < STEPS
    whole = package.read_run(URL)  # what is there can be read
    assert {row["status"] for row in whole.checkpoints()} == {"ok"}
    written = {entry["Key"]: entry["LastModified"] for entry in store.list_objects_v2(Bucket="bucket")["Contents"]}
    assert degen_process(*command).code == 0
    assert part_bytes(package.read_run(URL).path) == part_bytes(local.path)
    after = {entry["Key"]: entry["LastModified"] for entry in store.list_objects_v2(Bucket="bucket")["Contents"]}
    assert {key: after[key] for key in begun} == {key: written[key] for key in begun}  # nothing was measured twice
    assert not list((tmp_path / "cache").glob("runs/*/scan-*"))


def test_it_is_shown_judged_exported_and_put_on_a_page(
    store: Any, long_series: Path, corpus: Path, local: package.Run, tmp_path: Path
) -> None:
    for file in local.path.rglob("[!.]*.*"):
        store.upload_file(str(file), "bucket", f"runs/tiny/{file.relative_to(local.path).as_posix()}")

    def both(command: str, *options: object) -> list[CommandResult]:
        return [degen_process(command, run, *options) for run in (URL, local.path)]

    for command, *options in (("show", "--layers", "--json"), ("gate", "--rule", "loss < 100", "--json")):
        there, here = both(command, *options)
        assert there.code == here.code == 0, there.err
        assert there.json()["rows"] == here.json()["rows"]
    assert degen_process("export", URL, "--table", "layers", "--out", tmp_path / "layers.csv").code == 0
    assert degen_process("report", URL, "--out", tmp_path / "page.html").code == 0
    there, here = both("saturation", "--json")
    assert there.json()["rows"] == here.json()["rows"]


def test_of_two_that_create_a_file_one_does(store: Any, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    folders = [RemoteFolder(URL), RemoteFolder(URL)]
    assert [folder.create("run.json", tmp_path) for folder in folders] == [True, False]
    store.delete_object(Bucket="bucket", Key="runs/tiny/run.json")
    for folder in folders:  # as where both have looked before either wrote
        folder._filesystem.exists = lambda path: False
    assert [folder.create("run.json", tmp_path) for folder in folders] == [True, False]


def test_a_corpus_there_has_the_windows_of_the_local_file(
    store: Any, long_series: Path, corpus: Path, tmp_path: Path
) -> None:
    import zstandard

    packed = zstandard.compress(corpus.read_bytes())
    (tmp_path / "val.jsonl.zst").write_bytes(packed)
    store.put_object(Bucket="bucket", Key="val.jsonl.zst", Body=packed)
    samples = []
    for name in ("s3://bucket/val.jsonl.zst", tmp_path / "val.jsonl.zst"):
        out = tmp_path / f"run{len(samples)}"
        result = degen_process("scan", long_series, "--steps", "0", "--corpus", name, *SMALL, "-o", out)
        assert result.code == 0, result.err
        samples.append((out / "sample.parquet").read_bytes())
    assert samples[0] == samples[1]


@pytest.mark.parametrize(
    ("url", "message"),
    [("s3://nobucket/run", "no run folder|no such file or folder"), ("s3://bucket/none", "no run folder")],
)
def test_what_is_not_there_is_named(store: Any, url: str, message: str) -> None:
    import re

    result = degen_process("show", url)
    assert result.code == 2
    assert re.search(message, result.message)


def test_without_credentials_the_message_says_where_they_come_from(
    store: Any, long_series: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    result = degen_process("scan", long_series, "-o", URL, HOME=os.devnull)
    assert result.code == 2
    assert "AWS_PROFILE" in result.message
