"""A hub that means harm: nothing is written outside, nothing is executed, no memory is taken, and one line says why."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.command import degen as command
from hub import Repo
from hub_repo import Snapshot
from hub_scans import Files, Scans, packed, revisions, sharded
from huggingface_hub import constants

import degen

ODD = {
    "up": "../{}", "far up": "../../../../../../{}", "within, and up": "a/../../{}", "absolute": "/tmp/{}",
    "dot": "./{}", "nothing between": "a//{}", "line break": "a\n{}", "escape": "\x1b[31m{}", "bell": "\x07{}",
    "backslash": "a\\..\\..\\{}", "drive": "C:\\{}", "no-break space": "\xa0{}", "override": "\u202e{}",
    "half a surrogate pair": "\ud800{}", "long": "a" * 300 + "{}", "deep": "a/" * 200 + "{}",
}  # fmt: skip
MOST = 100_000_000  # bytes of memory that a refusal may take; importing a module or two is among it


@pytest.fixture
def contained(scans: Scans, tmp_path: Path) -> Callable[[], None]:
    """Return a check that nothing was written outside the cache and the run folders, neither here nor above."""
    before = {*tmp_path.parent.iterdir(), *Path("/tmp").iterdir()}

    def check() -> None:
        after = {*tmp_path.parent.iterdir(), *Path("/tmp").iterdir()}
        assert not [p for p in after - before if "evil" in p.name]
        assert {p.name for p in tmp_path.iterdir()} <= {"cache", "run"}
        assert {p.name for p in scans.cache.glob("*")} <= {"models--org--m", "CACHEDIR.TAG", ".locks"}
        assert not list(scans.cache.rglob("*evil*"))
        for folder in filter(Path.is_dir, (tmp_path / "run").iterdir() if (tmp_path / "run").exists() else ()):
            assert all(p.name != "evil" for p in folder.rglob("*"))

    return check


@pytest.fixture
def files(series: Path) -> Files:
    """Make a sound revision."""
    return revisions(series)["step0"]


def test_files_of_odd_names_are_ignored(scans: Scans, files: Files, contained: Callable[[], None]) -> None:
    names = ("evil.safetensors", "evil.py", "tokenizer.json", "config.json")
    odd = {o.format(name): b"evil" for o in ODD.values() for name in names if "\ud800" not in o}
    scans.add("org/m", {"step1": odd | files, "step2": odd | {"README.md": b"nothing of its own"}})
    run = scans.heads("org/m@step*", keep="all")
    assert [row["status"] for row in run.checkpoints()] == ["ok", "failed"]
    assert "no weights" in run.failed[0]["reason"]
    assert not scans.hub.requests_for("evil|GET.*tmp")
    contained()


@pytest.mark.parametrize("heads", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_an_index_that_names_shards_elsewhere_is_refused(
    scans: Scans, files: Files, series: Path, corpus: Path, contained: Callable[[], None], heads: bool, legacy: bool
) -> None:
    index = "pytorch_model.bin.index.json" if legacy else "model.safetensors.index.json"
    small = {name: content for name, content in files.items() if name != "model.safetensors"}
    branches = {"step99": files}
    for i, odd in enumerate(ODD.values()):
        name = odd.format("evil.safetensors")
        index_of = {"weight_map": {"embed_out.weight": name, "gpt_neox.embed_in.weight": name}}
        weights = {} if "\ud800" in name else {name: files["model.safetensors"]}
        branches[f"step{i}"] = small | weights | {index: json.dumps(index_of).encode()}
    scans.add("org/m", branches)
    run = scans.heads("org/m@step*") if heads else scans.scan("org/m@step*", corpus=corpus)
    assert len(run.failed) == len(ODD)
    for row in run.failed:
        assert "lies outside the checkpoint" in row["reason"]
        assert row["reason"].isprintable()
    assert not scans.hub.requests_for("evil")
    contained()


def test_a_shard_named_like_a_drive_is_refused(scans: Scans, files: Files) -> None:
    name = "C:evil.safetensors"
    small = {n: content for n, content in files.items() if n != "model.safetensors"} | {name: b"evil"}
    index = json.dumps({"weight_map": {"embed_out.weight": name}}).encode()
    scans.add("org/m", {"step1": small | {"model.safetensors.index.json": index}, "step2": files})
    for run in (scans.heads("org/m@step*"), scans.heads("org/m@step*", keep="all", out="all")):
        assert [row["status"] for row in run.checkpoints()] == ["failed", "ok"]


MAPS = [[], "text", None, {"a": 1}, {"a": None}, {"a": ["b"]}, {}, {"a": ""}, {"a": "missing"}, {"a": "config.json"}]
INDICES = [b"", b"[", b"\xff\xfe", b"[" * 100_000, b"{}", b"12", b'{"weight_map": {"a": 1e999}}']


def test_a_malformed_index_is_refused(scans: Scans, files: Files) -> None:
    small = {name: content for name, content in files.items() if name != "model.safetensors"}
    bad = [*INDICES, *(json.dumps({"weight_map": reply}).encode() for reply in MAPS)]
    branches = {f"step{i}": small | {"model.safetensors.index.json": content} for i, content in enumerate(bad)}
    scans.add("org/m", branches | {"step99": files})
    rows = scans.heads("org/m@step*").checkpoints()
    assert [row["status"] for row in rows] == ["failed"] * len(bad) + ["ok"]
    for i, row in enumerate(rows[:-1]):
        words = "not a shard index" if i < len(INDICES) else "index|config.json: not a sound safetensors file"
        assert re.search(words, row["reason"]), row["reason"]


def test_an_index_that_names_the_wrong_shard_is_refused(
    scans: Scans, series: Path, corpus: Path, tmp_path: Path
) -> None:
    folder = sharded(_copy(series / "step0", tmp_path / "made"))
    index = folder / "model.safetensors.index.json"
    index_of = json.loads(index.read_text())["weight_map"]
    names = sorted(set(index_of.values()))
    turned = {key: names[(names.index(name) + 1) % len(names)] for key, name in index_of.items()}
    index.write_text(json.dumps({"weight_map": turned}))
    beside = {f.name: f.read_bytes() for f in series.iterdir() if f.is_file()}
    scans.add("org/m", {"step1": beside | packed(folder), "step2": revisions(series)["step100"]})
    run = scans.heads("org/m@step*")
    assert [row["status"] for row in run.checkpoints()] == ["failed", "ok"]
    assert "the index says that" in run.failed[0]["reason"]
    whole = scans.scan("org/m@step*", corpus=corpus, out="whole").checkpoints()
    local = scans.scan(series, steps="0,100", corpus=corpus, out="local").checkpoints()
    assert [row["loss"] for row in whole if row["status"] == "ok"] == [
        ours["loss"] for ours, row in zip(local, whole, strict=True) if row["status"] == "ok"
    ]


def _copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for name, content in packed(folder).items():
        (to / name).write_bytes(content)
    return to


class Liar(Repo):
    """A repository that lists what it likes."""

    reply: Any = None

    def refs(self) -> Any:
        """Return branches and tags."""
        return self.reply if self.reply is not None else super().refs()


def listed(**names: str) -> dict[str, Any]:
    return {
        "branches": [{"name": n, "ref": n, "targetCommit": c} for n, c in names.items()],
        "tags": [],
        "converts": [],
    }


def test_branches_of_odd_names_write_nothing_outside(scans: Scans, files: Files, contained: Callable[[], None]) -> None:
    repo = scans.hub.repos["org/m"] = Liar({"step1": files})
    repo.reply = listed(**{odd.format("evil"): repo.commit("step1") for odd in (*ODD.values(), "{}/../step1")})
    repo.reply["branches"] += listed(step1=repo.commit("step1"))["branches"]
    run = scans.heads("org/m@*", keep="all")
    assert [row["revision"] for row in run.checkpoints()] == ["step1"]
    result = command("scan", "org/m@*", "--probes", "spectrum", "--threads", 1, "-o", scans.folder / "run")
    assert (result.code, "evil" in result.out + result.err) == (0, False)
    contained()


@pytest.mark.parametrize("commit", ["../../../evil", "/tmp/evil", "evil", "", "a" * 41, "A" * 40, "step1", "a\n"])
def test_malformed_commits_are_ignored(scans: Scans, files: Files, contained: Callable[[], None], commit: str) -> None:
    repo = scans.hub.repos["org/m"] = Liar({"step1": files})
    repo.reply = listed(step1=commit, main=commit)
    for at in ("", "@step1", "@*"):
        with pytest.raises(degen.DegenError, match="has no revision"):
            scans.heads(f"org/m{at}", keep="all")
    contained()


@pytest.mark.parametrize(
    "reply",
    [[], "text", 12, {}, {"branches": None, "tags": []}, {"branches": [1], "tags": []}, {"branches": [], "tags": 1},
     {"branches": [{"name": 5, "targetCommit": "a" * 40}], "tags": []},
     {"branches": [{"name": "main", "targetCommit": 5}], "tags": []}],
)  # fmt: skip
def test_malformed_refs_of_the_hub_give_one_message(scans: Scans, files: Files, reply: Any) -> None:
    repo = scans.hub.repos["org/m"] = Liar({"main": files})
    repo.reply = reply
    result = command("scan", "org/m", "-o", scans.folder / "run")
    assert (result.code, "the hub sent a response that cannot be understood" in result.message) == (2, True)


CONFIG = {"type": "file", "path": "config.json", "size": 9, "oid": "a"}
LISTINGS = [
    "text", [1], [None], [{}], [{"type": "file"}], [CONFIG | {"path": 7}], [CONFIG | {"size": "9"}],
    [CONFIG | {"size": -1}], [CONFIG | {"size": None}], [CONFIG | {"lfs": {"size": 9}}], [CONFIG | {"lfs": [1]}],
]  # fmt: skip


def test_a_malformed_listing_fails_one_checkpoint(scans: Scans, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {f"step{i}": entries for i, entries in enumerate(LISTINGS)}
    repo = scans.add("org/m", {name: files | {"README.md": name.encode()} for name in (*names, "step99")})
    reply, tree = {repo.commit(name): entries for name, entries in names.items()}, Snapshot.tree
    monkeypatch.setattr(Snapshot, "tree", lambda self, *args: reply.get(self.commit) or tree(self, *args))
    rows = scans.heads("org/m@step*").checkpoints()
    assert [row["status"] for row in rows] == ["failed"] * len(LISTINGS) + ["ok"]
    assert all("the hub sent a response that cannot be understood" in row["reason"] for row in rows[:-1])


def test_a_listing_without_end_ends(scans: Scans, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("degen.checkpoints.hub_client.MAX_PAGES", 5)
    scans.add("org/m", {"step1": files | {f"{i}.txt": b"" for i in range(100)}})
    scans.hub.page = 10
    result = command("scan", "org/m@step1", "-o", scans.folder / "run")
    assert (result.code, "more than 5 pages of files" in result.message) == (2, True)
    assert len(scans.hub.requests_for("/tree/")) % 5 == 0


def test_small_files_that_are_listed_as_huge_are_not_fetched(
    scans: Scans, series: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = revisions(series)
    named["step0"] = {k: v for k, v in named["step0"].items() if k != "model.safetensors"} | {
        "model.safetensors.index.json": b"{}"
    }
    scans.add("org/m", named)
    tree = Snapshot.tree

    def grown(self: Snapshot, *args: Any) -> Any:
        huge = {"model.safetensors.index.json"} | ({"config.json"} if self.commit == repo.commit("step100") else set())
        return [e | {"size": 10**12} if e["path"] in huge else e for e in tree(self, *args) or []]

    repo = scans.hub.repos["org/m"]
    monkeypatch.setattr(Snapshot, "tree", grown)
    run = scans.heads("org/m@step*")
    assert [row["status"] for row in run.checkpoints()] == ["failed", "failed", "ok"]
    assert all("1,000,000,000,000 bytes" in row["reason"] for row in run.failed)


def test_a_cache_that_cannot_be_written_to_is_the_reason_of_a_failed_checkpoint(
    scans: Scans, series: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scans.add("org/m", revisions(series))
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    result = command("scan", "org/m@step*", "-o", tmp_path / "run")
    assert result.code == 2
    assert "NotADirectoryError" in result.message or "Not a directory" in result.message
