"""The Hugging Face hub, through its own client: with its cache, its tokens, its offline mode and its `HF_ENDPOINT`.

Retries and time limits are ours. The client has no time limit in `HfApi.list_repo_refs` and `list_repo_tree`, does not
retry `model_info` or the HEAD request of `hf_hub_download`, and neither retries a streamed body that breaks off nor
limits the wait that a `Retry-After` header asks for.

A repository is `org/name` where it holds a model, and `datasets/org/name` where it holds a dataset.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from degen.errors import CheckpointError
from degen.paths import is_inside

from .hub_errors import OFFLINE, hub_errors, is_connection_error, status_of
from .hub_records import kind_and_name, recorded_files, recorded_refs, repo_folder

T = TypeVar("T")

ATTEMPTS = 6
FIRST_WAIT = 1.0  # seconds before the second attempt, doubled from one attempt to the next up to MAX_WAIT
MAX_WAIT = 8.0
MAX_RETRY_AFTER = 300.0  # seconds that the hub may ask us to wait; its rate limits count over as many
MAX_PAGES = 1000  # of a listing
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubFile:
    """A file of a revision.

    Attributes:
        name: its path in the repository.
        size: its size in bytes.
        hash: the hash of its content: SHA-256 if the hub stores it as a large file (LFS), else the SHA-1 of git.
    """

    name: str
    size: int
    hash: str


def refs(repo: str) -> dict[str, str]:
    """Return a dict: name of a branch or tag of a repository -> its full commit.

    Where a branch and a tag share a name, the branch counts. Names with `..` and the like, which would lead out of a
    folder, are left out, and so is what is not a commit. With HF_HUB_OFFLINE the names are those in the cache.

    Args:
        repo: `org/name`.

    Raises:
        CheckpointError: there is no such repository, or the hub cannot be reached.
    """
    with hub_errors(repo):
        if is_offline():
            commits = _cached_refs(repo)
        else:
            listed = _get(f"{_api(repo)}/refs").json()
            commits = {ref["name"]: ref["targetCommit"] for ref in (*listed["tags"], *listed["branches"])}
        return {name: commit for name, commit in commits.items() if is_inside(name) and COMMIT.fullmatch(commit)}


def _cached_refs(repo: str) -> dict[str, str]:
    if not (repo_folder(repo) / "snapshots").is_dir():
        raise CheckpointError(f"{repo}: no file of this repository is {OFFLINE}")
    folder = repo_folder(repo) / "refs"
    cached = {str(f.relative_to(folder)): f.read_text().strip() for f in folder.rglob("*") if f.is_file()}
    return recorded_refs(repo) | cached


def commit_of(repo: str, revision: str) -> str:
    """Return the full hash of the commit whose hash begins with `revision`.

    For branches and tags see `refs`.

    Raises:
        CheckpointError: there is no such commit, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, constants

    with hub_errors(f"{repo}@{revision}"):
        if is_offline():
            commits = [f.name for f in (repo_folder(repo) / "snapshots").glob(f"{revision}*")]
            if len(commits) != 1:
                raise CheckpointError(f"{repo}@{revision}: not {OFFLINE}")
            return commits[0]
        timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        kind, name = kind_and_name(repo)
        found = _with_retries(lambda: HfApi().repo_info(name, repo_type=kind, revision=revision, timeout=timeout))
        commit = str(found.sha)
        if not COMMIT.fullmatch(commit):
            raise ValueError(f"it gave {commit!r:.60} for a commit")
        return commit


def listing(repo: str, commit: str) -> dict[str, HubFile]:
    """Return the files of a revision, as a dict: path in the repository -> file.

    Paths with `..` and the like, which would lead out of a folder, are left out. With HF_HUB_OFFLINE the files are
    those in the cache.

    Args:
        repo: `org/name`.
        commit: the full hash of the revision.

    Raises:
        CheckpointError: there is no such revision, or the hub cannot be reached.
    """
    with hub_errors(f"{repo} at {commit[:8]}"):
        if is_offline():
            return _cached_files(repo, commit)
        files: dict[str, HubFile] = {}
        url = f"{_api(repo)}/tree/{commit}?recursive=true"
        for _ in range(MAX_PAGES):
            page = _get(url)
            entries = [entry for entry in page.json() if entry["type"] == "file" and is_inside(entry["path"])]
            files |= {entry["path"]: _file(entry) for entry in entries}
            if "next" not in page.links:
                return files
            url = page.links["next"]["url"]
        raise ValueError(f"it lists more than {MAX_PAGES:,} pages of files")


def _file(entry: Mapping[str, Any]) -> HubFile:
    large = entry.get("lfs") or entry
    if type(entry["size"]) is not int or entry["size"] < 0:
        raise ValueError(f"it gives {entry['size']!r:.40} as the size of {entry['path']}")
    return HubFile(entry["path"], entry["size"], str(large["oid"]))


def _cached_files(repo: str, commit: str) -> dict[str, HubFile]:
    """Return the files of a revision that are in the cache, as a dict: path in the repository -> file.

    In the cache each is a link to a file that is named by its hash. Where all files of the revision were listed for
    scans without network, it is these.
    """
    if listed := recorded_files(repo, commit):
        return {name: HubFile(name, size, hash) for name, (size, hash) in listed.items() if is_inside(name)}
    folder = repo_folder(repo) / "snapshots" / commit
    files = [(str(f.relative_to(folder)), f) for f in folder.rglob("*") if f.is_file()]
    return {name: HubFile(name, f.stat().st_size, (f.readlink() if f.is_symlink() else f).name) for name, f in files}


def offline_note() -> str:
    """Return the end of a message that something was not found: with HF_HUB_OFFLINE, that only the cache was searched.

    Empty without HF_HUB_OFFLINE.
    """
    return f" {OFFLINE}" if is_offline() else ""


def is_offline() -> bool:
    """Return whether HF_HUB_OFFLINE forbids to ask the hub."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def write_ref(repo: str, revision: str, commit: str) -> None:
    """Write the commit of a branch or tag into the user's cache, so that the name is found there offline.

    The client does so itself where a file is downloaded by branch or tag; we download by commit.
    """
    if not commit.startswith(revision) and is_inside(revision):
        file = repo_folder(repo) / "refs" / revision
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(commit)


def in_cache(repo: str, commit: str, name: str) -> Path | None:
    """Return the path at which a file of a revision is in the user's own cache; None if it is not there.

    Args:
        repo: `org/name`.
        commit: the full hash of the revision.
        name: path of the file in the repository.
    """
    from huggingface_hub import try_to_load_from_cache

    try:
        kind, repo_id = kind_and_name(repo)
        path = try_to_load_from_cache(repo_id, name, revision=commit, repo_type=kind)
    except ValueError:  # a name that the client takes for a path out of its cache, on some system
        return None
    return Path(path) if isinstance(path, str) else None


def blob_is_cached(repo: str, hash: str) -> bool:
    """Return whether the user's own cache has a file with the hash `hash` from any revision of the repository."""
    return re.fullmatch(r"[0-9a-f]+", hash) is not None and (repo_folder(repo) / "blobs" / hash).is_file()


def download(repo: str, commit: str, name: str, folder: Path | None = None) -> Path:
    """Download a file, if it is not there already, and return its path on this machine.

    Args:
        repo: `org/name`.
        commit: the full hash of the revision.
        name: path of the file in the repository.
        folder: where to put it, without using the cache; None for the user's cache.

    Raises:
        CheckpointError: it cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import disable_progress_bars
    from huggingface_hub.utils.logging import set_verbosity_error

    disable_progress_bars()
    set_verbosity_error()  # errors are reported once, as the reason of a failed checkpoint
    kind, repo_id = kind_and_name(repo)
    where = {"repo_id": repo_id, "repo_type": kind, "revision": commit, "local_dir": folder}
    with hub_errors(f"{repo}: {name} at {commit[:8]}"):
        return Path(_with_retries(lambda: hf_hub_download(filename=name, **where)))


def read_range(repo: str, commit: str, name: str, first: int, last: int) -> bytes:
    """Return the bytes `first` to `last` − 1 of a file on the hub; they are read from the cache if it is there.

    Args:
        repo: `org/name`.
        commit: the full hash of the revision.
        name: path of the file in the repository.
        first: the first byte, counted from 0.
        last: one behind the last byte.

    Raises:
        CheckpointError: they cannot be read.
    """
    from huggingface_hub import hf_hub_url

    if first >= last:
        return b""
    with hub_errors(f"{repo}: {name} at {commit[:8]}"):
        cached = in_cache(repo, commit, name)
        if cached is not None:
            with cached.open("rb") as file:
                file.seek(first)
                content = file.read(last - first)
        else:
            kind, repo_id = kind_and_name(repo)
            url = hf_hub_url(repo_id, name, revision=commit, repo_type=kind)
            content = _with_retries(lambda: _get_range(url, first, last))
    if len(content) != last - first:
        raise CheckpointError(
            f"{repo}: {name}: the hub was asked for {last - first:,} bytes and sent {len(content):,}; run the same "
            "command again to continue"
        )
    return content


def _get_range(url: str, first: int, last: int) -> bytes:
    """Return the bytes `first` to `last` − 1 of the file at `url`.

    Where the server ignores the range and sends the whole file, reading stops behind the range.

    Raises:
        ValueError: the server sends other bytes than it was asked for.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    headers = {**build_hf_headers(), "Range": f"bytes={first}-{last - 1}", "Accept-Encoding": "identity"}
    content = bytearray()
    with get_session().stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response:
        hf_raise_for_status(response)
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {first}-")
        if not begins if response.status_code == HTTPStatus.PARTIAL_CONTENT else first > 0:
            raise ValueError(f"it was asked for the bytes from {first:,} on, and sent others")
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) >= last - first:
                break
    return bytes(content[: last - first])


def _api(repo: str) -> str:
    from huggingface_hub import constants
    from huggingface_hub.utils import validate_repo_id

    kind, name = kind_and_name(repo)
    validate_repo_id(name)
    return f"{constants.ENDPOINT}/api/{kind}s/{name}"


def _get(url: str) -> Any:
    """Return the response to a GET request of the hub's API, with retries."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    def request() -> Any:
        response = get_session().get(url, headers=build_hf_headers(), timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT)
        hf_raise_for_status(response)
        return response

    return _with_retries(request)


def _with_retries(call: Callable[[], T]) -> T:
    """Return what `call()` returns; after an error that may pass, call it again, a few times.

    Such errors are those of the connection, and the HTTP statuses 408, 429 and 5xx; the last one is raised.
    """
    for attempt in range(ATTEMPTS):
        try:
            return call()
        except Exception as error:
            if attempt == ATTEMPTS - 1 or not _is_transient(error):
                raise
            wait = max(min(FIRST_WAIT * 2**attempt, MAX_WAIT), _retry_after(error))
            time.sleep(wait * (1 + random.random() / 4))  # others that were refused with us do not come back at once
    raise AssertionError("the last attempt returns or raises")


def _is_transient(error: Exception) -> bool:
    status = status_of(error)
    return status in (408, 429) or status >= 500 if status is not None else is_connection_error(error)


def _retry_after(error: BaseException) -> float:
    """Return the seconds that the hub asks us to wait in its `Retry-After` header, limited; 0 where it has none."""
    header = getattr(getattr(error, "response", None), "headers", {}).get("Retry-After", "")
    return min(float(header), MAX_RETRY_AFTER) if header.isdecimal() else 0.0
