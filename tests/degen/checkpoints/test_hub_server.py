"""The stand-in hub, held against the real client: what that takes for the hub, a test may take for it too."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub import Hub, Repo, hub
from hub_client import online
from huggingface_hub import HfApi, HfFileSystem, file_download, get_session, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder
from safetensors.numpy import save

NAME = "org/model"
HEAD = save({"embed_out.weight": np.arange(50_000, dtype=np.float32)})
CDN = "model/main/"  # of the paths that LFS files come from; at the endpoint it is model/resolve/main/


def files(step: int) -> dict[str, bytes]:
    return {"config.json": b'{"step": %d}' % step, "sub/vocab.json": b"{}", "model.safetensors": HEAD + bytes([step])}


@pytest.fixture(autouse=True)
def pauses(tmp_path: Path) -> Iterator[list[float]]:
    with online(tmp_path / "cache") as made:
        yield made


@pytest.fixture
def server() -> Iterator[Hub]:
    with hub({NAME: Repo({"main": files(3), "stage1/step1.5": files(1)}, {"v2": files(2)})}) as running:
        yield running


def download(server: Hub, path: str = "model.safetensors", **more: Any) -> Path:
    return Path(hf_hub_download(NAME, path, endpoint=server.endpoint, **more))


def test_refs_name_commits_that_the_files_alone_determine(server: Hub) -> None:
    refs = HfApi(server.endpoint).list_repo_refs(NAME)
    named = {ref.ref: ref.target_commit for ref in (*refs.branches, *refs.tags)}
    assert list(named) == ["refs/heads/main", "refs/heads/stage1/step1.5", "refs/tags/v2"]
    assert all(file_download.REGEX_COMMIT_HASH.fullmatch(commit) for commit in named.values())
    assert Repo({"main": files(2), "same": files(2)}).commit("same") == named["refs/tags/v2"]


@pytest.mark.parametrize("expand", [False, True])
def test_a_tree_is_listed_page_by_page(server: Hub, expand: bool) -> None:
    server.repos[NAME].push("main", {f"shard/{i:03d}.bin": bytes([i]) for i in range(119)} | files(4))
    server.page = 60
    tree = {e.path: e for e in HfApi(server.endpoint).list_repo_tree(NAME, recursive=True, expand=expand)}
    assert len(tree) == 119 + 3 + 2
    assert len(server.requests) == 3  # 60 entries a page, or 50 of the long ones
    assert {path for path, entry in tree.items() if isinstance(entry, RepoFolder)} == {"shard", "sub"}
    weights, config = tree["model.safetensors"], tree["config.json"]
    assert isinstance(weights, RepoFile) and isinstance(config, RepoFile)  # noqa: PT018 - for the type checker
    assert weights.lfs is not None
    assert weights.size == weights.lfs.size == len(HEAD) + 1
    assert weights.lfs.sha256 == hashlib.sha256(files(4)["model.safetensors"]).hexdigest()
    assert config.lfs is None
    assert (config.last_commit is not None) == expand


def test_folders_paths_and_descriptions_are_listed_as_by_the_hub(server: Hub) -> None:
    api, commit = HfApi(server.endpoint), server.repos[NAME].commit("stage1/step1.5")
    assert [e.path for e in api.list_repo_tree(NAME)] == ["config.json", "model.safetensors", "sub"]
    assert [e.path for e in api.list_repo_tree(NAME, "sub", revision="v2")] == ["sub/vocab.json"]
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(NAME, "nothing"))
    entries = api.get_paths_info(NAME, ["sub", "config.json", "nothing"], revision="stage1/step1.5", expand=True)
    assert [e.path for e in entries] == ["sub", "config.json"]
    info = api.model_info(NAME, revision="stage1/step1.5", files_metadata=True)
    assert info.siblings is not None
    assert (info.id, info.sha, [s.size for s in info.siblings]) == (NAME, commit, [11, len(HEAD) + 1, 2])
    assert api.model_info(NAME, revision=commit, expand=["sha"]).siblings is None
    server.repos["org/texts"] = Repo({"main": {"a.jsonl": b"{}"}}, kind="dataset")
    assert api.dataset_info("org/texts").siblings is not None
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("org/texts")


def test_a_file_is_downloaded_once_by_branch_tag_and_commit(server: Hub, tmp_path: Path) -> None:
    first = download(server, revision="stage1/step1.5")
    assert first.read_bytes() == files(1)["model.safetensors"]
    assert [(r.method, r.status) for r in server.requests] == [("HEAD", 302), ("GET", 200)]
    assert server.served() == server.served(r"^/org/model/stage1/step1.5/model\.safetensors") == len(HEAD) + 1
    assert download(server, revision=first.parent.name) == first
    assert len(server.requests) == 2  # of a commit that it has, the client does not ask
    server.repos[NAME].push("again", {"model.safetensors": files(1)["model.safetensors"]})
    assert download(server, revision="again").resolve() == first.resolve()
    assert [r.method for r in server.requests[2:]] == ["HEAD"]
    assert json.loads(download(server, "config.json", revision="v2").read_text()) == {"step": 2}
    local = download(server, "sub/vocab.json", local_dir=tmp_path / "local")
    assert local == tmp_path / "local" / "sub" / "vocab.json"
    assert Path(snapshot_download(NAME, endpoint=server.endpoint), "config.json").read_bytes() == b'{"step": 3}'


def test_another_process_finds_the_hub_by_its_environment(server: Hub, tmp_path: Path) -> None:
    code = f"from huggingface_hub import hf_hub_download as get; print(open(get({NAME!r}, 'config.json')).read())"
    environment = os.environ | {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '{"step": 3}'


def test_a_branch_moves_and_its_old_commit_stays(server: Hub) -> None:
    old = server.repos[NAME].commit("main")
    server.repos[NAME].push("main", files(9))
    assert download(server, "config.json").read_bytes() == b'{"step": 9}'
    assert download(server, "config.json", revision=old).read_bytes() == b'{"step": 3}'


def test_tensors_are_described_from_the_start_of_a_file(server: Hub) -> None:
    api = HfApi(server.endpoint)
    metadata = api.get_safetensors_metadata(NAME, revision="v2")
    assert metadata.files_metadata["model.safetensors"].tensors["embed_out.weight"].shape == [50_000]
    assert server.served(r"\.safetensors") == 100_001
    index = {"metadata": {}, "weight_map": {"embed_out.weight": "a.safetensors"}}
    sharded = {"a.safetensors": HEAD, "model.safetensors.index.json": json.dumps(index).encode()}
    server.repos[NAME].push("main", sharded)
    assert api.get_safetensors_metadata(NAME).sharded


def test_a_file_system_reads_the_requested_range_alone(server: Hub) -> None:
    fs = HfFileSystem(endpoint=server.endpoint, skip_instance_cache=True)
    with fs.open(f"{NAME}/model.safetensors", cache_type="none") as file:
        file.seek(1000)
        assert file.read(500) == HEAD[1000:1500]
    assert [(r.range, r.served) for r in server.requests_for(CDN)] == [("bytes=1000-1499", 500)]
    assert fs.cat_file(f"{NAME}@stage1%2Fstep1.5/config.json") == b'{"step": 1}'
    assert fs.cat_file(f"{NAME}@v2/model.safetensors") == files(2)["model.safetensors"]
    assert fs.glob(f"{NAME}@v2/**/*.json") == [f"{NAME}@v2/config.json", f"{NAME}@v2/sub/vocab.json"]
    with pytest.raises(FileNotFoundError):
        fs.cat_file(f"{NAME}@v3/config.json")


@pytest.mark.parametrize(
    ("byte_range", "status", "got"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=8-99", 206, b"89"),
        ("bytes=-99", 206, b"0123456789"),
        ("bytes=10-", 416, b""),
        ("bytes=-0", 416, b""),
        ("bytes=5-2", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
    ],
)
@pytest.mark.parametrize("path", ["digits.txt", "digits.bin"])
def test_ranges_are_those_of_http(path: str, byte_range: str, status: int, got: bytes) -> None:
    with hub({NAME: Repo({"main": {path: b"0123456789"}})}) as server:
        url = f"{server.endpoint}/{NAME}/resolve/main/{path}"
        response = get_session().get(url, headers={"Range": byte_range})
        assert (response.status_code, response.content, server.served()) == (status, got, len(got))
        first = b"0123456789".find(got)
        content_range = {206: f"bytes {first}-{first + len(got) - 1}/10", 416: "bytes */10"}.get(status)
        assert response.headers.get("Content-Range") == content_range


@pytest.mark.parametrize(
    ("name", "path", "revision", "token", "error"),
    [
        ("org/nothing", "config.json", "main", False, RepositoryNotFoundError),
        ("org/nothing", "config.json", "main", "hf_mine", RepositoryNotFoundError),
        (NAME, "config.json", "step7", False, RevisionNotFoundError),
        (NAME, "config.json", "0" * 40, False, RevisionNotFoundError),
        (NAME, "nothing", "main", False, RemoteEntryNotFoundError),
        ("org/private", "config.json", "main", False, RepositoryNotFoundError),
        ("org/private", "config.json", "main", "hf_else", HfHubHTTPError),
        ("org/gated", "config.json", "main", False, GatedRepoError),
        ("org/gated", "config.json", "main", "hf_else", GatedRepoError),
    ],
)
def test_missing_and_private_files_are_refused_as_by_the_hub(
    server: Hub, name: str, path: str, revision: str, token: str | bool, error: type[HfHubHTTPError]
) -> None:
    server.repos["org/private"] = Repo({"main": files(0)}, token="hf_mine")
    server.repos["org/gated"] = Repo({"main": files(0)}, token="hf_mine", gated=True)
    with pytest.raises(HfHubHTTPError) as refused:
        hf_hub_download(name, path, revision=revision, endpoint=server.endpoint, token=token)
    assert type(refused.value) is error
    gated = name == "org/gated"  # whose listing is public
    if path == "config.json" and not gated:
        with pytest.raises(HfHubHTTPError) as refused:
            HfApi(server.endpoint, token=token).model_info(name, revision=revision)
        assert type(refused.value) is error
    elif gated:
        assert HfApi(server.endpoint, token=token).model_info(name).gated


@pytest.mark.parametrize("gated", [False, True])
def test_the_token_opens_and_is_not_shown_to_the_storage(server: Hub, gated: bool) -> None:
    server.repos[NAME] = Repo({"main": files(0)}, token="hf_mine", gated=gated)
    assert download(server, token="hf_mine").read_bytes() == files(0)["model.safetensors"]
    assert HfApi(server.endpoint, token="hf_mine").parse_safetensors_file_metadata(NAME, "model.safetensors").tensors
    assert {r.token for r in server.requests_for("/resolve/")} == {"hf_mine"}
    assert {r.token for r in server.requests_for(CDN)} == {None}
