"""A run that lies on the hub as a dataset: downloaded into the hub's cache, and read there like any other."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from degen.checkpoints.hub_client import commit_of, download, in_cache, listing, offline_note, refs, write_ref
from degen.errors import CheckpointError, DegenError
from degen.paths import is_inside

from .run_file import RUN_FILE

PREFIX = "hf://datasets/"
AT_ONCE = 8  # files
_NAME = re.compile(r"([^/@\s]+/[^/@\s]+)(?:@([^\s]+))?")


def parse_dataset(url: str) -> tuple[str, str]:
    """Return the repository, as `datasets/org/name`, and the revision that a URL of a dataset names.

    Raises:
        DegenError: it has another form than hf://datasets/org/name[@revision].
    """
    found = _NAME.fullmatch(url.removeprefix(PREFIX).rstrip("/")) if url.startswith(PREFIX) else None
    if found is None:
        raise DegenError(f"{url}: must have the form {PREFIX}org/name or {PREFIX}org/name@revision")
    return f"datasets/{found[1]}", unquote(found[2] or "main")


def download_run(url: str) -> Path:
    """Return the folder in the hub's cache that holds the run of a dataset; what is not there yet is downloaded.

    Args:
        url: hf://datasets/org/name[@revision], of which the revision is a branch, a tag or a commit.

    Raises:
        DegenError: there is no such dataset or revision, it holds no run, or the hub cannot be reached.
    """
    repo, revision = parse_dataset(url)
    try:
        known = refs(repo)
        commit = known[revision] if revision in known else commit_of(repo, revision)
        files = listing(repo, commit)
        if RUN_FILE not in files:
            raise DegenError(f"{url}: no run of degen (no {RUN_FILE} in it{offline_note()}); `degen push` sends one")
        wanted = [RUN_FILE, *filter(is_part_name, files)]
        missing = [name for name in wanted if in_cache(repo, commit, name) is None]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda name: download(repo, commit, name), missing))
    except CheckpointError as error:
        raise DegenError(str(error)) from error
    write_ref(repo, revision, commit)  # only now: offline, the names of revisions lead to whole runs
    return download(repo, commit, RUN_FILE).parent


def is_part_name(name: str) -> bool:
    """Return whether a file of a repository is where a part of a table would be."""
    parts = PurePosixPath(name).parts
    return name.endswith(".parquet") and 2 <= len(parts) <= 3 and is_inside(name) and not parts[0].startswith(".")
