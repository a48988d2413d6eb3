"""A run sent to a dataset repository of the hub: only what differs from what is there, in one commit."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from degen.checkpoints.hub_client import HubFile, download, listing, offline_note, refs
from degen.checkpoints.hub_errors import hub_errors, status_of
from degen.errors import CheckpointError, DegenError
from degen.paths import is_inside
from degen.runs.hub_run import is_part_name
from degen.runs.parts import owner_of, part_files, read_part
from degen.runs.run import Run
from degen.runs.run_file import PROBES_BY_CONFIG, RUN_FILE, read_info
from degen.tables import write_parquet

from .card import CARD, CardOptions, write_card
from .local_paths import PathCutter, folders_in

_BESIDE = {CARD, ".gitattributes", ".gitignore", "LICENSE", "LICENSE.md", "LICENSE.txt"}  # that may lie there


@dataclass(frozen=True)
class Push:
    """What is to be sent.

    Attributes:
        repo: `org/name` of the dataset.
        revision: the branch.
        files: path in the repository -> content, or the file that holds it, of files that are new or differ.
        deleted: files of an earlier push that the run has no longer.
        unchanged: number of files that are there already.
        parent: the commit of the branch; None where the branch is new.
        is_new: whether there is no such repository that this user can see.
    """

    repo: str
    revision: str
    files: Mapping[str, bytes | Path] = field(repr=False)
    deleted: list[str]
    unchanged: int
    parent: str | None
    is_new: bool

    @property
    def sizes(self) -> dict[str, int]:
        """Path in the repository -> bytes to be sent, in the order of the paths."""
        return {name: _size(content) for name, content in sorted(self.files.items())}


def plan_push(
    run: Run, repo: str, revision: str = "main", options: CardOptions | None = None, replace: bool = False
) -> Push:
    """Compare a run with what the hub has, and return what is to be sent; nothing is sent yet.

    Args:
        run: the run.
        repo: `org/name` of the dataset; it need not exist.
        revision: the branch; it need not exist.
        options: what the card says beside the run.
        replace: whether another run there may be replaced.

    Raises:
        DegenError: the repository holds something else, or another run; a part of the run is damaged; or the hub
            cannot be reached.
    """
    if repo.count("/") != 1 or not is_inside(repo) or not is_inside(revision):
        raise DegenError(f"{repo}: not a name of a dataset on the hub; write org/dataset")
    dataset = f"datasets/{repo}"
    if offline_note():
        raise DegenError(f"{dataset}: cannot be pushed to, as HF_HUB_OFFLINE forbids asking the hub; unset it")
    known, commit = _branch(dataset, revision)
    there = listing(dataset, commit) if commit is not None else {}
    _check_content(run, dataset, commit, there, replace)
    cutter = PathCutter(folders_in(run.info) | {str(run.path.resolve().parent), str(Path.cwd()), str(Path.home())})
    info = cutter.cut_all(dict(run.info))
    before = (
        download(dataset, commit, CARD).read_text(encoding="utf-8") if commit is not None and CARD in there else None
    )
    card = write_card(run, info, repo, revision, options or CardOptions(), before)
    files: dict[str, bytes | Path] = {RUN_FILE: f"{json.dumps(info, indent=2, ensure_ascii=False)}\n".encode()}
    files[CARD] = card.encode()
    files |= dict(_parts(run, cutter))
    changed = {name: content for name, content in files.items() if not _is_same(content, there.get(name))}
    gone = [name for name in there if name not in files and is_part_name(name)]
    return Push(repo, revision, changed, gone, len(files) - len(changed), commit, known is None)


def send(push: Push, private: bool) -> str:
    """Send what was planned in one commit, and return the address of the dataset.

    A repository that is not there is made.

    Args:
        push: from `plan_push`.
        private: whether a new repository is seen by its owner alone; one that is there stays as it is.

    Raises:
        DegenError: the hub refuses it, or cannot be reached; nothing is changed then, but the repository may be new.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.utils import disable_progress_bars
    from huggingface_hub.utils.logging import set_verbosity_error

    disable_progress_bars()
    set_verbosity_error()
    api, where = HfApi(), {"repo_id": push.repo, "repo_type": "dataset"}
    with hub_errors(f"datasets/{push.repo}"):
        try:
            if push.is_new:
                api.create_repo(**where, private=private, exist_ok=True)
            if push.parent is None and push.revision != "main":
                api.create_branch(**where, branch=push.revision, exist_ok=True)
            operations = [CommitOperationAdd(name, content) for name, content in sorted(push.files.items())]
            operations += [CommitOperationDelete(name) for name in push.deleted]
            if operations:
                message = f"Push a run of degen: {len(push.files)} files, {len(push.deleted)} deleted"
                api.create_commit(
                    **where, operations=operations, commit_message=message, revision=push.revision,
                    parent_commit=push.parent,
                )  # fmt: skip
        except Exception as error:
            raise _explained(push, error) from error
    return f"{api.endpoint}/datasets/{push.repo}" + (f"/tree/{push.revision}" if push.revision != "main" else "")


def _explained(push: Push, error: Exception) -> Exception:
    """Return the error to raise: another one where the hub's client's says too little."""
    status = status_of(error)
    if status == 412:
        return CheckpointError(f"datasets/{push.repo}: was changed meanwhile; run the same command again")
    if status in (401, 403):
        return CheckpointError(
            f"datasets/{push.repo}: the hub does not let you write there ({status}); log in with `hf auth login` as a "
            "user who may, with a token that may write"
        )
    return error


def _branch(dataset: str, revision: str) -> tuple[dict[str, str] | None, str | None]:
    """Return the branches and tags of a dataset, None without such a dataset; and the commit of one of them, or None.

    Raises:
        CheckpointError: the hub cannot be reached, or does not let this user see the dataset.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        known = refs(dataset)
    except CheckpointError as error:
        cause = error.__cause__
        if isinstance(cause, RepositoryNotFoundError) and not isinstance(cause, GatedRepoError):
            return None, None  # or one that only others see, which the hub says where it is to be made
        raise
    return known, known.get(revision)


def _check_content(run: Run, dataset: str, commit: str | None, there: Mapping[str, HubFile], replace: bool) -> None:
    """Refuse a repository that holds anything but a run, or another run than this one.

    Raises:
        DegenError: it does.
    """
    if commit is None or not there:
        return
    if RUN_FILE not in there:
        others = [name for name in there if name not in _BESIDE]
        if others:
            raise DegenError(f"{dataset}: holds {others[0]} and no run of degen; name another dataset, or --revision")
        return
    info = read_info(download(dataset, commit, RUN_FILE)) or {}
    ours = {run.info.get("config_hash"), *run.info.get(PROBES_BY_CONFIG, {})}
    if info.get("config_hash") not in ours and not replace:
        raise DegenError(
            f"{dataset}: holds a run of other settings or text; name another dataset, or --revision, or add --replace"
        )


def _parts(run: Run, cutter: PathCutter) -> Iterator[tuple[str, bytes | Path]]:
    """Yield the parts of all tables: path in the run folder, and the file, or its content without local paths.

    Raises:
        DegenError: one of them is damaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "part.parquet"
        for table in run.tables:
            for file in part_files(run.path / table):
                if owner_of(file) == "other":
                    continue
                part = read_part(file)
                cut = cutter.cut_table(part)
                if cut is not part:
                    write_parquet(cut, written)
                yield file.relative_to(run.path).as_posix(), file if cut is part else written.read_bytes()


def _size(content: bytes | Path) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _is_same(content: bytes | Path, there: HubFile | None) -> bool:
    """Return whether a file of the hub has this content: by its SHA-256, or by git's SHA-1 where it is small."""
    if there is None or there.size != _size(content):
        return False
    stored = content if isinstance(content, bytes) else content.read_bytes()
    if len(there.hash) == 64:
        return hashlib.sha256(stored).hexdigest() == there.hash
    return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest() == there.hash
