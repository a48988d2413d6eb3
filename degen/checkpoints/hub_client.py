"""The Hugging Face hub, asked through its own client: its cache, its tokens, its offline mode, its `HF_ENDPOINT`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from degen.errors import CheckpointError, one_line
from degen.paths import is_inside

T = TypeVar("T")

RETRIES = 6
FIRST_WAIT = 1.0  # seconds, doubled from one try to the next up to LONGEST_WAIT
LONGEST_WAIT = 8.0
LONGEST_ASKED = 300.0  # seconds that the hub may ask us to wait, which is the length of its windows
MOST_PAGES = 1000  # of a listing
COMMIT = re.compile(r"[0-9a-f]{40}")


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
    """Return the commit of every branch and tag of a repository by name; a branch wins over a tag.

    Names that would leave a folder, and what is no commit, are passed over.

    Raises:
        CheckpointError: no such repository, or the hub cannot be asked. Offline, the cache answers.
    """
    from huggingface_hub import constants

    with asking(repo):
        if constants.HF_HUB_OFFLINE:
            found = _cached_refs(repo)
        else:
            said = _answer(f"{_api(repo)}/refs").json()
            found = {ref["name"]: ref["targetCommit"] for ref in (*said["tags"], *said["branches"])}
        return {name: commit for name, commit in found.items() if is_inside(name) and COMMIT.fullmatch(commit)}


def _cached_refs(repo: str) -> dict[str, str]:
    if not (_cached(repo) / "snapshots").is_dir():
        raise CheckpointError(f"{repo}: nothing of it is cached, and HF_HUB_OFFLINE forbids to ask the hub")
    folder = _cached(repo) / "refs"
    return {str(f.relative_to(folder)): f.read_text().strip() for f in folder.rglob("*") if f.is_file()}


def commit_of(repo: str, revision: str) -> str:
    """Return the commit that a hash stands for, whole or shortened; the list of branches and tags does not have it.

    Raises:
        CheckpointError: there is none.
    """
    from huggingface_hub import HfApi, constants

    with asking(f"{repo}@{revision}"):
        if constants.HF_HUB_OFFLINE:
            found = [f.name for f in (_cached(repo) / "snapshots").glob(f"{revision}*")]
            if len(found) != 1:
                raise CheckpointError(f"{repo}@{revision}: not in the cache, and HF_HUB_OFFLINE forbids to ask the hub")
            return found[0]
        timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        commit = str(_persist(lambda: HfApi().model_info(repo, revision=revision, timeout=timeout)).sha)
        if not COMMIT.fullmatch(commit):
            raise ValueError(f"{commit!r:.60} is no commit")
        return commit


def listing(repo: str, commit: str) -> dict[str, HubFile]:
    """Return every file of a revision by name. Names that would leave a folder are passed over.

    Raises:
        CheckpointError: no such revision, or the hub cannot be asked. Offline, the cache answers.
    """
    from huggingface_hub import constants

    with asking(f"{repo} at {commit[:8]}"):
        if constants.HF_HUB_OFFLINE:
            return _cached_files(repo, commit)
        found: dict[str, HubFile] = {}
        page = f"{_api(repo)}/tree/{commit}?recursive=true"
        for _ in range(MOST_PAGES):
            answer = _answer(page)
            files = [_file(entry) for entry in answer.json() if entry["type"] == "file" and is_inside(entry["path"])]
            found |= {file.name: file for file in files}
            if "next" not in answer.links:
                return found
            page = answer.links["next"]["url"]
        raise ValueError(f"more than {MOST_PAGES:,} pages of files")


def _file(entry: Mapping[str, Any]) -> HubFile:
    large = entry.get("lfs") or entry
    if type(entry["size"]) is not int or entry["size"] < 0:
        raise ValueError(f"{entry['path']} of {entry['size']!r:.40} bytes")
    return HubFile(entry["path"], entry["size"], str(large["oid"]))


def _cached_files(repo: str, commit: str) -> dict[str, HubFile]:
    """Return the files of the cache, which are links to their hashes."""
    folder = _cached(repo) / "snapshots" / commit
    files = [(str(f.relative_to(folder)), f) for f in folder.rglob("*") if f.is_file()]
    return {name: HubFile(name, f.stat().st_size, (f.readlink() if f.is_symlink() else f).name) for name, f in files}


def beyond_cache() -> str:
    """Return what a message adds that something is not there, where the cache alone could be asked."""
    from huggingface_hub import constants

    return " in the cache, and HF_HUB_OFFLINE forbids to ask the hub" if constants.HF_HUB_OFFLINE else ""


def remember(repo: str, revision: str, commit: str) -> None:
    """Let the cache know what a name stands for, as the client does where it downloads by name: offline it is asked."""
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
    """Return a file in the user's own cache; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(repo, name, revision=commit)
    except ValueError:  # a name that the client takes for a path out of its cache, on some system
        return None
    return Path(found) if isinstance(found, str) else None


def holds(repo: str, hash: str) -> bool:
    """Return whether the user's own cache holds a content, of whatever revision."""
    return re.fullmatch(r"[0-9a-f]+", hash) is not None and (_cached(repo) / "blobs" / hash).is_file()


def download(repo: str, commit: str, name: str, folder: Path | None = None) -> Path:
    """Return a file whole: from the cache or into it; or into a folder, past the cache.

    Raises:
        CheckpointError: it cannot be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import disable_progress_bars
    from huggingface_hub.utils.logging import set_verbosity_error

    disable_progress_bars()
    set_verbosity_error()  # what goes wrong is said once, as a reason
    with asking(f"{repo}: {name} at {commit[:8]}"):
        return Path(_persist(lambda: hf_hub_download(repo, name, revision=commit, local_dir=folder)))


def read_range(repo: str, commit: str, name: str, first: int, last: int) -> bytes:
    """Return the bytes of a file from one place up to another; out of the cache if it is there.

    Raises:
        CheckpointError: they cannot be had.
    """
    from huggingface_hub import hf_hub_url

    if first >= last:
        return b""
    with asking(f"{repo}: {name} at {commit[:8]}"):
        cached = in_cache(repo, commit, name)
        if cached is not None:
            with cached.open("rb") as file:
                file.seek(first)
                content = file.read(last - first)
        else:
            url = hf_hub_url(repo, name, revision=commit)
            content = _persist(lambda: _part(url, first, last))
    if len(content) != last - first:
        raise CheckpointError(f"{repo}: {name}: {last - first:,} bytes were asked for, and {len(content):,} came")
    return content


def _part(url: str, first: int, last: int) -> bytes:
    """Return the part of a file. Where the hub sends all of it no more is taken than was asked for."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    headers = {**build_hf_headers(), "Range": f"bytes={first}-{last - 1}", "Accept-Encoding": "identity"}
    content = bytearray()
    with get_session().stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as answer:
        hf_raise_for_status(answer)
        begins = answer.headers.get("Content-Range", "").startswith(f"bytes {first}-")
        if not begins if answer.status_code == HTTPStatus.PARTIAL_CONTENT else first > 0:
            raise ValueError(f"bytes from {first:,} on were asked for, and others came")
        for piece in answer.iter_bytes():
            content += piece
            if len(content) >= last - first:
                break
    return bytes(content[: last - first])


def _api(repo: str) -> str:
    from huggingface_hub import constants
    from huggingface_hub.utils import validate_repo_id

    validate_repo_id(repo)
    return f"{constants.ENDPOINT}/api/models/{repo}"


def _answer(url: str) -> Any:
    """Return the response of the hub's API; the client's own calls have no time limit."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    def ask() -> Any:
        answer = get_session().get(url, headers=build_hf_headers(), timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT)
        hf_raise_for_status(answer)
        return answer

    return _persist(ask)


def _persist(call: Callable[[], T]) -> T:
    """Ask again, a few times, where the way to the hub failed and not the question."""
    for attempt in range(RETRIES):
        try:
            return call()
        except Exception as error:
            if attempt == RETRIES - 1 or not _is_passing(error):
                raise
            time.sleep(max(min(FIRST_WAIT * 2**attempt, LONGEST_WAIT), _asked_to_wait(error)))
    raise AssertionError("the last try returns or raises")


def _is_passing(error: Exception) -> bool:
    status = _status(error)
    return status in (408, 429) or status >= 500 if status is not None else _is_transport(error)


def _asked_to_wait(error: BaseException) -> float:
    """Return the seconds that the hub asks us to wait."""
    said = getattr(getattr(error, "response", None), "headers", {}).get("Retry-After", "")
    return min(float(said), LONGEST_ASKED) if said.isdecimal() else 0.0


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _is_transport(error: BaseException) -> bool:
    """Return whether the connection failed. The client's library has changed its name over its versions."""
    return type(error).__module__.split(".")[0] in ("httpx", "httpx2", "requests", "httpcore", "httpcore2")


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Say what the hub refuses, and what to do about it.

    Raises:
        CheckpointError: the block met an error of the hub's client.
    """
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # the client has no class of its own for all that can go wrong on the way
        raise CheckpointError(f"{what}: {_said(error)}") from error


def _said(error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        return _said(error.__cause__)  # why the client looked into its cache, and in vain
    told: Sequence[tuple[type[Exception], str]] = (
        (errors.GatedRepoError, "access must be asked for on its page; then log in with `hf auth login`"),
        (errors.RepositoryNotFoundError, "no such repository on the hub, or a private one: `hf auth login` logs in"),
        (errors.RevisionNotFoundError, "no such revision on the hub"),
        (errors.OfflineModeIsEnabled, "not in the cache, and HF_HUB_OFFLINE forbids to ask the hub"),
        (errors.LocalEntryNotFoundError, "not in the cache, and the hub cannot give it"),
        (errors.EntryNotFoundError, "no such file on the hub"),
        (errors.HFValidationError, "not a name the hub knows"),
    )
    status = _status(error)
    for kind, message in told:
        if isinstance(error, kind):
            return message
    if status in (401, 403):
        return f"the hub refuses it ({status}): `hf auth login` logs in"
    if status == 429:
        return "the hub says there were too many requests (429): wait a little, or log in with `hf auth login`"
    if status is not None:
        return f"the hub answered {status}; the same command goes on from there"
    if _is_transport(error):
        return f"the hub cannot be reached ({one_line(error)}); HF_HUB_OFFLINE=1 scans what is cached"
    if isinstance(error, KeyError | TypeError | AttributeError | ValueError):
        return f"the hub's answer makes no sense ({one_line(error)})"
    return one_line(error)
