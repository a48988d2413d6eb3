"""A corpus of the hub, streamed by the real client from a server on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
from hub import Repo, hub
from tiny import pile


def shards() -> dict[str, bytes]:
    documents = pile(30)
    return {
        f"train-{i:05d}-of-00003.jsonl": "".join(json.dumps(d) + "\n" for d in documents[i::3]).encode()
        for i in range(3)
    }


def scan(endpoint: str, series: Path, corpus: str, out: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(out.parent / "home"), "HF_HUB_OFFLINE": "0"}
    command = ["degen", "scan", str(series), "--corpus", corpus, "--tokens", "600", "--context", "64", "-o", str(out)]
    code = f"import sys; from degen.cli.main import main; sys.argv = {command!r}; main()"
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_a_dataset_is_streamed_in_an_order_the_seed_fixes(series: Path, tmp_path: Path) -> None:
    samples = []
    with hub({"org/pile": Repo({"main": shards()}, kind="dataset")}) as server:
        for out in (tmp_path / "one", tmp_path / "two"):
            done = scan(server.endpoint, series, "hf://org/pile:train", out)
            assert done.returncode == 0, done.stderr
            samples.append(pq.read_table(out / "sample.parquet").to_pylist())
        assert {request.path.rsplit("/", 1)[-1] for request in server.requests_for("/resolve/")} >= set(shards())
    assert samples[0] == samples[1]
    assert sum(len(w["tokens"]) for w in samples[0]) == 600
    assert len({w["document"] for w in samples[0]}) == len(samples[0])  # without replacement
    assert {w["domain"] for w in samples[0]} <= {d["meta"]["pile_set_name"] for d in pile(30)}
    sample = json.loads((tmp_path / "one" / "run.json").read_text())["sample"]
    assert (sample["dataset"], sample["split"], sample["shuffle_buffer"]) == ("org/pile", "train", 10_000)


def test_a_missing_dataset_gives_one_message(series: Path, tmp_path: Path) -> None:
    with hub({}) as server:
        done = scan(server.endpoint, series, "hf://org/nothing", tmp_path / "run")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: hf://org/nothing: the dataset cannot be streamed")
