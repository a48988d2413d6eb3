"""What is kept in the user's cache beside the files of a repository, for scans without network.

These are the names of its revisions, which files a revision has, and heads that were read by byte ranges; in a folder
`degen` of the repository's folder, which the hub's client leaves alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from degen.paths import atomic
from degen.tables import file_name

MAX_RECORD = 1 << 26  # bytes


def kind_and_name(repo: str) -> tuple[str, str]:
    """Return what a repository holds, `model` or `dataset`, and its `org/name`."""
    kind, _, name = repo.partition("/")
    return ("dataset", name) if kind == "datasets" and "/" in name else ("model", repo)


def repo_folder(repo: str) -> Path:
    """Return the folder of a repository in the user's cache."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    kind, name = kind_and_name(repo)
    return Path(constants.HF_HUB_CACHE) / str(repo_folder_name(repo_id=name, repo_type=kind))


def record_refs(repo: str, commits: Mapping[str, str]) -> None:
    """Keep the names of the revisions of a repository, each with its commit."""
    _write(repo_folder(repo) / "degen" / "refs.json", dict(commits))


def recorded_refs(repo: str) -> dict[str, str]:
    """Return the names of revisions that were kept, each with its commit; none without."""
    return {str(name): str(commit) for name, commit in _read(repo_folder(repo) / "degen" / "refs.json").items()}


def record_files(repo: str, commit: str, files: Mapping[str, tuple[int, str]]) -> None:
    """Keep the files of a revision: size and hash by path."""
    _write(repo_folder(repo) / "degen" / f"{commit}.json", {name: list(entry) for name, entry in files.items()})


def recorded_files(repo: str, commit: str) -> dict[str, tuple[int, str]]:
    """Return the files of a revision that were kept, size and hash by path; none without."""
    kept = _read(repo_folder(repo) / "degen" / f"{commit}.json")
    return {str(name): (int(size), str(hash)) for name, (size, hash) in kept.items()}


def record_head(repo: str, commit: str, subfolder: str, file: Path) -> None:
    """Keep a file of safetensors that holds the head of a checkpoint alone."""
    with atomic(head_file(repo, commit, subfolder)) as temporary:
        shutil.copyfile(file, temporary)


def head_file(repo: str, commit: str, subfolder: str) -> Path:
    """Return the file in which the head of a checkpoint is kept, there or not."""
    name = f"{commit}-{file_name(subfolder)}" if subfolder else commit
    return repo_folder(repo) / "degen" / f"{name}.head.safetensors"


def _write(file: Path, document: dict[str, Any]) -> None:
    with atomic(file) as temporary:
        temporary.write_text(json.dumps(document), encoding="utf-8")


def _read(file: Path) -> dict[str, Any]:
    """Return what was kept in a file; nothing where there is none, or one that is damaged."""
    try:
        if file.stat().st_size > MAX_RECORD:
            return {}
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
