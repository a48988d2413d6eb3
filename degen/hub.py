"""The Hugging Face hub, asked through its own client: its cache, its tokens, its offline mode, its `HF_ENDPOINT`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .errors import CheckpointError, one_line
from .weights import is_inside

T = TypeVar("T")

RETRIES = 4
FIRST_WAIT = 1.0  # seconds, doubled from one try to the next


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
    """The commit of every branch and tag of a repository by name; a branch wins over a tag.

    Raises:
        CheckpointError: no such repository, or the hub cannot be asked. Offline, the cache answers.
    """
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        folder = _cached(repo) / "refs"
        found = {str(f.relative_to(folder)): f.read_text().strip() for f in folder.rglob("*") if f.is_file()}
        if not found:
            raise CheckpointError(f"{repo}: nothing of it is cached, and HF_HUB_OFFLINE forbids to ask the hub")
        return found
    with asking(repo):
        answer = _persist(lambda: HfApi().list_repo_refs(repo))
        return {ref.name: ref.target_commit for ref in (*answer.tags, *answer.branches)}


def commit_of(repo: str, revision: str) -> str:
    """The commit that a revision's name stands for, of which no list tells: a commit's own hash, whole or shortened.

    Raises:
        CheckpointError: there is none.
    """
    from huggingface_hub import HfApi

    with asking(f"{repo}@{revision}"):
        return str(_persist(lambda: HfApi().model_info(repo, revision=revision)).sha)


def listing(repo: str, commit: str) -> dict[str, HubFile]:
    """Every file of a revision by name. Names that would leave a folder are passed over.

    Raises:
        CheckpointError: no such revision, or the hub cannot be asked. Offline, the cache answers.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.hf_api import RepoFile

    if constants.HF_HUB_OFFLINE:
        folder = _cached(repo) / "snapshots" / commit
        files = [(str(f.relative_to(folder)), f) for f in folder.rglob("*") if f.is_file()]
        return {name: HubFile(name, f.stat().st_size, f.resolve().name) for name, f in files}
    with asking(f"{repo} at {commit[:8]}"):
        entries = list(HfApi().list_repo_tree(repo, revision=commit, recursive=True))
    found = [e for e in entries if isinstance(e, RepoFile) and is_inside(e.path)]
    return {e.path: HubFile(e.path, e.size, e.lfs.sha256 if e.lfs else e.blob_id) for e in found}


def remember(repo: str, revision: str, commit: str) -> None:
    """Let the cache know what a name stands for, as the client does where it downloads by name: offline it is asked."""
    if revision != commit and is_inside(revision):
        file = _cached(repo) / "refs" / revision
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(commit)


def _cached(repo: str) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")


def in_cache(repo: str, commit: str, name: str) -> Path | None:
    """A file in the user's own cache; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, name, revision=commit)
    return Path(found) if isinstance(found, str) else None


def download(repo: str, commit: str, name: str, folder: Path | None = None) -> Path:
    """A file whole: from the cache or into it; or into a folder, past the cache.

    Raises:
        CheckpointError: it cannot be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    with asking(f"{repo}: {name} at {commit[:8]}"):
        return Path(_persist(lambda: hf_hub_download(repo, name, revision=commit, local_dir=folder)))


def read_range(repo: str, commit: str, name: str, first: int, last: int) -> bytes:
    """The bytes of a file from one place up to another.

    Raises:
        CheckpointError: they cannot be had.
    """
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

    if first >= last:
        return b""
    with asking(f"{repo}: {name} at {commit[:8]}"):
        url = hf_hub_url(repo, name, revision=commit)
        headers = {**build_hf_headers(), "Range": f"bytes={first}-{last - 1}"}
        answer = http_backoff("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT)
        hf_raise_for_status(answer)
        content: bytes = answer.content
    if len(content) != last - first:
        raise CheckpointError(f"{repo}: {name}: {last - first:,} bytes were asked for, and {len(content):,} came")
    return content


def _persist(call: Callable[[], T]) -> T:
    """Ask again, a few times, where the way to the hub failed and not the question."""
    for attempt in range(RETRIES):
        try:
            return call()
        except Exception as error:
            if attempt == RETRIES - 1 or not _is_passing(error):
                raise
            time.sleep(FIRST_WAIT * 2**attempt)
    raise AssertionError("the last try returns or raises")


def _is_passing(error: Exception) -> bool:
    status = _status(error)
    return status in (408, 429) or status >= 500 if status is not None else _is_transport(error)


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _is_transport(error: BaseException) -> bool:
    """Whether the connection failed. The client's library has changed its name over its versions."""
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

    told: Sequence[tuple[type[Exception], str]] = (
        (errors.GatedRepoError, "access must be asked for on its page; then log in with `hf auth login`"),
        (errors.RepositoryNotFoundError, "no such repository on the hub, or a private one: `hf auth login` logs in"),
        (errors.RevisionNotFoundError, "no such revision on the hub"),
        (errors.OfflineModeIsEnabled, "not in the cache, and HF_HUB_OFFLINE forbids to ask the hub"),
        (errors.LocalEntryNotFoundError, f"not in the cache, and the hub cannot give it{_why(error)}"),
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
    return one_line(error)


def _why(error: Any) -> str:
    """The failure that made the client look into its cache in vain."""
    cause = error.__cause__
    return f" ({one_line(cause, 120)})" if cause is not None and (_is_transport(cause) or _status(cause)) else ""
