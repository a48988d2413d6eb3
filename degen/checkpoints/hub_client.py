"""The Hugging Face hub, through its own client: with its cache, its tokens, its offline mode and its `HF_ENDPOINT`.

Retries and time limits are ours. The client has no time limit in `HfApi.list_repo_refs` and `list_repo_tree`, does not
retry `model_info` or the HEAD request of `hf_hub_download`, and neither retries a streamed body that breaks off nor
limits the wait that a `Retry-After` header asks for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from degen.errors import CheckpointError, one_line
from degen.paths import is_inside

T = TypeVar("T")

ATTEMPTS = 6
FIRST_WAIT = 1.0  # seconds before the second attempt, doubled from one attempt to the next up to MAX_WAIT
MAX_WAIT = 8.0
MAX_RETRY_AFTER = 300.0  # seconds that the hub may ask us to wait; its rate limits count over as many
MAX_PAGES = 1000  # of a listing
COMMIT = re.compile(r"[0-9a-f]{40}")
OFFLINE = "in the cache, and HF_HUB_OFFLINE forbids to ask the hub"


@dataclass(frozen=True)
class HubFile:
    """A file of a revision.

    Attributes:
        name: its path in the repository.
        size: in bytes.
        hash: of its content: SHA-256 where it is stored as a large file, else git's own.
    """

    name: str
    size: int
    hash: str


def refs(repo: str) -> dict[str, str]:
    """Return the commit of every branch and tag of a repository by name; of a branch where a tag has the same name.

    Names that would leave a folder they are joined to, and what is not a commit, are left out.

    Raises:
        CheckpointError: no such repository, or the hub cannot be reached. Offline, the cache is read instead.
    """
    with hub_errors(repo):
        if _is_offline():
            commits = _cached_refs(repo)
        else:
            listed = _get(f"{_api(repo)}/refs").json()
            commits = {ref["name"]: ref["targetCommit"] for ref in (*listed["tags"], *listed["branches"])}
        return {name: commit for name, commit in commits.items() if is_inside(name) and COMMIT.fullmatch(commit)}


def _cached_refs(repo: str) -> dict[str, str]:
    if not (_cached(repo) / "snapshots").is_dir():
        raise CheckpointError(f"{repo}: nothing of it is cached, and HF_HUB_OFFLINE forbids to ask the hub")
    folder = _cached(repo) / "refs"
    return {str(f.relative_to(folder)): f.read_text().strip() for f in folder.rglob("*") if f.is_file()}


def commit_of(repo: str, revision: str) -> str:
    """Return the full commit of a hash, which may be shortened; branches and tags are in `refs`.

    Raises:
        CheckpointError: there is no such commit, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, constants

    with hub_errors(f"{repo}@{revision}"):
        if _is_offline():
            commits = [f.name for f in (_cached(repo) / "snapshots").glob(f"{revision}*")]
            if len(commits) != 1:
                raise CheckpointError(f"{repo}@{revision}: not {OFFLINE}")
            return commits[0]
        timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        commit = str(_with_retries(lambda: HfApi().model_info(repo, revision=revision, timeout=timeout)).sha)
        if not COMMIT.fullmatch(commit):
            raise ValueError(f"{commit!r:.60} is no commit")
        return commit


def listing(repo: str, commit: str) -> dict[str, HubFile]:
    """Return every file of a revision by name. Names that would leave a folder they are joined to are left out.

    Raises:
        CheckpointError: no such revision, or the hub cannot be reached. Offline, the cache is read instead.
    """
    with hub_errors(f"{repo} at {commit[:8]}"):
        if _is_offline():
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
        raise ValueError(f"more than {MAX_PAGES:,} pages of files")


def _file(entry: Mapping[str, Any]) -> HubFile:
    large = entry.get("lfs") or entry
    if type(entry["size"]) is not int or entry["size"] < 0:
        raise ValueError(f"{entry['path']} of {entry['size']!r:.40} bytes")
    return HubFile(entry["path"], entry["size"], str(large["oid"]))


def _cached_files(repo: str, commit: str) -> dict[str, HubFile]:
    """Return the files of a revision in the cache, where each is a link to a file that is named by its hash."""
    folder = _cached(repo) / "snapshots" / commit
    files = [(str(f.relative_to(folder)), f) for f in folder.rglob("*") if f.is_file()]
    return {name: HubFile(name, f.stat().st_size, (f.readlink() if f.is_symlink() else f).name) for name, f in files}


def offline_note() -> str:
    """Return what to add to a message that something was not found: nothing, or that only the cache was searched."""
    return f" {OFFLINE}" if _is_offline() else ""


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def write_ref(repo: str, revision: str, commit: str) -> None:
    """Write the commit of a branch or tag into the user's cache, so that the name is found there offline.

    The client does so itself where a file is downloaded by branch or tag; we download by commit.
    """
    if not commit.startswith(revision) and is_inside(revision):
        file = _cached(repo) / "refs" / revision
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(commit)


def _cached(repo: str) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    name: str = repo_folder_name(repo_id=repo, repo_type="model")
    return Path(constants.HF_HUB_CACHE) / name


def in_cache(repo: str, commit: str, name: str) -> Path | None:
    """Return the path of a file in the user's own cache; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache

    try:
        path = try_to_load_from_cache(repo, name, revision=commit)
    except ValueError:  # a name that the client takes for a path out of its cache, on some system
        return None
    return Path(path) if isinstance(path, str) else None


def blob_is_cached(repo: str, hash: str) -> bool:
    """Return whether the user's own cache has a file of this hash, of whatever revision."""
    return re.fullmatch(r"[0-9a-f]+", hash) is not None and (_cached(repo) / "blobs" / hash).is_file()


def download(repo: str, commit: str, name: str, folder: Path | None = None) -> Path:
    """Return the path of a file once it is downloaded: into the cache, or into a folder without use of the cache.

    Raises:
        CheckpointError: it cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import disable_progress_bars
    from huggingface_hub.utils.logging import set_verbosity_error

    disable_progress_bars()
    set_verbosity_error()  # errors are reported once, as the reason of a failed checkpoint
    with hub_errors(f"{repo}: {name} at {commit[:8]}"):
        return Path(_with_retries(lambda: hf_hub_download(repo, name, revision=commit, local_dir=folder)))


def read_range(repo: str, commit: str, name: str, first: int, last: int) -> bytes:
    """Return the bytes `first` to `last` − 1 of a file, from the cache if it is there.

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
            url = hf_hub_url(repo, name, revision=commit)
            content = _with_retries(lambda: _get_range(url, first, last))
    if len(content) != last - first:
        raise CheckpointError(f"{repo}: {name}: {last - first:,} bytes were asked for, and {len(content):,} came")
    return content


def _get_range(url: str, first: int, last: int) -> bytes:
    """Return a range of a file's bytes; where the hub sends the whole file, reading stops behind the range."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    headers = {**build_hf_headers(), "Range": f"bytes={first}-{last - 1}", "Accept-Encoding": "identity"}
    content = bytearray()
    with get_session().stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response:
        hf_raise_for_status(response)
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {first}-")
        if not begins if response.status_code == HTTPStatus.PARTIAL_CONTENT else first > 0:
            raise ValueError(f"bytes from {first:,} on were asked for, and others came")
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) >= last - first:
                break
    return bytes(content[: last - first])


def _api(repo: str) -> str:
    from huggingface_hub import constants
    from huggingface_hub.utils import validate_repo_id

    validate_repo_id(repo)
    return f"{constants.ENDPOINT}/api/models/{repo}"


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
    """Return what a call returns, tried again after errors that pass: of the connection, 408, 429 and 5xx."""
    for attempt in range(ATTEMPTS):
        try:
            return call()
        except Exception as error:
            if attempt == ATTEMPTS - 1 or not _is_transient(error):
                raise
            time.sleep(max(min(FIRST_WAIT * 2**attempt, MAX_WAIT), _retry_after(error)))
    raise AssertionError("the last attempt returns or raises")


def _is_transient(error: Exception) -> bool:
    status = _status(error)
    return status in (408, 429) or status >= 500 if status is not None else _is_connection_error(error)


def _retry_after(error: BaseException) -> float:
    """Return the seconds that the hub asks us to wait; 0 where it does not say."""
    header = getattr(getattr(error, "response", None), "headers", {}).get("Retry-After", "")
    return min(float(header), MAX_RETRY_AFTER) if header.isdecimal() else 0.0


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _is_connection_error(error: BaseException) -> bool:
    """Return whether the connection failed. The library that the client builds on differs between its versions."""
    return type(error).__module__.split(".")[0] in ("httpx", "httpx2", "requests", "httpcore", "httpcore2")


@contextmanager
def hub_errors(subject: str) -> Iterator[None]:
    """Turn an error of the hub's client in the block into a message: what failed, why, and what to do.

    Args:
        subject: what was asked for; the message begins with it.

    Raises:
        CheckpointError: the block met an error of the hub's client.
    """
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # the client has no base class for all that can go wrong on the way
        raise CheckpointError(f"{subject}: {_error_message(error)}") from error


def _error_message(error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        return _error_message(error.__cause__)  # the reason why the client searched its cache, in vain
    messages: tuple[tuple[type[Exception], str], ...] = (
        (errors.GatedRepoError, "access must be asked for on its page; then log in with `hf auth login`"),
        (errors.RepositoryNotFoundError, "no such repository on the hub, or a private one: `hf auth login` logs in"),
        (errors.RevisionNotFoundError, "no such revision on the hub"),
        (errors.OfflineModeIsEnabled, f"not {OFFLINE}"),
        (errors.LocalEntryNotFoundError, "not in the cache, and the hub cannot give it"),
        (errors.EntryNotFoundError, "no such file on the hub"),
        (errors.HFValidationError, "not a name the hub knows"),
    )
    status = _status(error)
    for kind, message in messages:
        if isinstance(error, kind):
            return message
    if status in (401, 403):
        return f"the hub refuses it ({status}): `hf auth login` logs in"
    if status == 429:
        return "the hub says there were too many requests (429): wait a little, or log in with `hf auth login`"
    if status is not None:
        return f"the hub answered {status}; run the same command again to continue"
    if _is_connection_error(error):
        return f"the hub cannot be reached ({one_line(error)}); HF_HUB_OFFLINE=1 scans what is cached"
    if isinstance(error, KeyError | TypeError | AttributeError | ValueError):
        return f"the hub's answer makes no sense ({one_line(error)})"
    return one_line(error)
