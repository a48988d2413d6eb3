"""Weights that lie: headers, parts of files that are none, pickles. Nothing is executed, and no memory is taken."""

from __future__ import annotations

import json
import pickle
import resource
from collections.abc import Callable
from pathlib import Path

import hub_http
import pytest
from faults.spoil import Hostile
from headers import REFUSED, file_of, tensor
from hub_scans import Files, Scans, revisions
from hub_traffic import Response, part

MOST = 100_000_000  # bytes of memory that a refusal may take; importing a module or two is among it


@pytest.fixture
def files(series: Path) -> Files:
    """Make a sound revision."""
    return revisions(series)["step0"]


def test_headers_that_lie_are_refused_before_memory_is_taken(
    scans: Scans, series: Path, corpus: Path, tmp_path: Path
) -> None:
    sound = revisions(series)["step0"]
    bad = {
        f"step{i + 1}": sound | {"model.safetensors": data} for i, data in enumerate(dict.fromkeys(REFUSED.values()))
    }
    scans.add("org/m", {"step0": sound} | bad)
    scans.heads("org/m@step0", out="warm")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    runs = [scans.heads("org/m@step*", out="heads"), scans.scan("org/m@step*", corpus=corpus, out="whole")]
    for name, files in (bad | {"step0": sound}).items():
        (tmp_path / "m" / name).mkdir(parents=True)
        for file, content in files.items():
            (tmp_path / "m" / name / file).write_bytes(content)
    runs += [scans.heads(tmp_path / "m", out="local heads"), scans.scan(tmp_path / "m", corpus=corpus, out="local")]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - peak < MOST
    for run in runs:
        assert [row["status"] for row in run.checkpoints()] == ["ok"] + ["failed"] * len(bad)
        for row in run.failed:
            assert "not a sound safetensors file" in row["reason"]
            assert row["reason"].isprintable()


def whole(response: Response, _: str | None) -> Response:
    return response


def short(response: Response, byte_range: str | None) -> Response:
    got = part(response, byte_range)
    return Response(got.status, got.body[: len(got.body) // 2], got.headers) if got.status == 206 else got


def shifted(response: Response, byte_range: str | None) -> Response:
    first, _, last = (byte_range or "bytes=0-0").removeprefix("bytes=").partition("-")
    return part(response, f"bytes={int(first) + 8}-{int(last) + 8}") if byte_range else response


def too_long(response: Response, byte_range: str | None) -> Response:
    got = part(response, byte_range)
    return Response(206, got.body + bytes(1000), got.headers) if got.status == 206 else got


@pytest.mark.parametrize(
    ("lie", "words"),
    [(whole, "and sent others"), (short, "the hub was asked for"), (shifted, "and sent others"), (too_long, None)],
)
def test_a_wrong_byte_range_is_refused(
    scans: Scans,
    series: Path,
    monkeypatch: pytest.MonkeyPatch,
    lie: Callable[[Response, str], Response],
    words: str | None,
) -> None:
    named = revisions(series)
    scans.add("org/m", {name: named[name] for name in ("step0", "step100")})
    sound = scans.heads("org/m@step*", out="sound").checkpoints()
    monkeypatch.setattr(hub_http, "part", lie)
    rows = scans.heads("org/m@step*").checkpoints()
    if words is None:
        assert rows == sound
        return
    assert [row["status"] for row in rows] == ["failed", "failed"]
    assert all(words in row["reason"] for row in rows), rows
    assert not scans.weights()


def test_a_whole_file_in_place_of_a_range_is_not_read(
    scans: Scans, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, head = 100_000_000, 416 * 32 * 4
    header = {"a": tensor(0, size, [size // 4]), "embed_out.weight": tensor(size, size + head, [416, 32])}
    large = file_of(header, bytes(size + head))
    scans.add("org/m", {"step1": files | {"model.safetensors": large}})
    monkeypatch.setattr(hub_http, "part", whole)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (row,) = scans.heads("org/m@step1").checkpoints()
    assert (row["status"], "and sent others" in row["reason"]) == ("failed", True)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - peak < size // 2
    assert scans.hub.served() < size // 2


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("heads", [True, False])
def test_a_pickle_is_never_executed(
    scans: Scans, files: Files, corpus: Path, tmp_path: Path, shards: bool, heads: bool
) -> None:
    witness = tmp_path / "witness"
    small = {name: content for name, content in files.items() if name != "model.safetensors"}
    bombs = [pickle.dumps({"embed_out.weight": Hostile(witness)}, protocol=p) for p in (2, 4)]
    bombs.append(pickle.dumps(Hostile(witness)))
    index = json.dumps({"weight_map": {"embed_out.weight": "a.bin", "other": "b.bin"}}).encode()
    named = {"pytorch_model.bin.index.json": index, "b.bin": b"b"} if shards else {}
    scans.add("org/m", {
        f"step{i}": small | named | {"a.bin" if shards else "pytorch_model.bin": bomb} for i, bomb in enumerate(bombs)
    })  # fmt: skip
    run = scans.heads("org/m@step*") if heads else scans.scan("org/m@step*", corpus=corpus)
    assert [row["status"] for row in run.checkpoints()] == ["failed"] * len(bombs)
    assert all("weights alone" in row["reason"] for row in run.failed), run.failed
    assert not witness.exists()
