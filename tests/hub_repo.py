"""A repository of the stand-in hub: files by revision, under the hashes by which git and Git LFS know them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

LFS = (".safetensors", ".bin", ".gguf")
DAY = "2024-01-01T00:00:00.000Z"

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Blob:
    """One version of one file; `oid` is git's name for it, which for an LFS file is that of its pointer."""

    content: bytes
    oid: str
    lfs: dict[str, Any] | None


def _blob(content: bytes, lfs: bool) -> Blob:
    in_git, pointer = content, None
    if lfs:
        sha256 = hashlib.sha256(content).hexdigest()
        in_git = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n".encode()
        pointer = {"oid": sha256, "size": len(content), "pointerSize": len(in_git)}
    return Blob(content, hashlib.sha1(b"blob %d\0" % len(in_git) + in_git).hexdigest(), pointer)


@dataclass(frozen=True)
class Snapshot:
    """The files of a revision as the API tells of them."""

    blobs: dict[str, Blob]

    @property
    def commit(self) -> str:
        """Return the commit of the revision: the same files have the same commit, in any repository."""
        return self._oid("")

    def tree(self, under: str, recursive: bool, expand: bool) -> list[dict[str, Any]] | None:
        """Return the entries of a folder, or the entry of a file, or None where there is neither."""
        if under in self.blobs:
            return [self._entry(under, expand)]
        if under and under not in self._folders():
            return None
        paths = sorted(self.blobs.keys() | self._folders())
        below = [path for path in paths if not under or path.startswith(f"{under}/")]
        children = [path for path in below if str(PurePosixPath(path).parent) == (under or ".")]
        return [self._entry(path, expand) for path in (below if recursive else children)]

    def entries(self, paths: list[str], expand: bool) -> list[dict[str, Any]]:
        """Return the entries of those paths that exist."""
        existing = self.blobs.keys() | self._folders()
        return [self._entry(path, expand) for path in paths if path in existing]

    def siblings(self, sizes: bool) -> list[dict[str, Any]]:
        """Return the files as the description of a repository lists them."""
        listed = []
        for path, blob in sorted(self.blobs.items()):
            sibling: dict[str, Any] = {"rfilename": path}
            if sizes:
                sibling |= {"size": len(blob.content), "blobId": blob.oid}
            if sizes and blob.lfs:
                sibling["lfs"] = {**blob.lfs, "sha256": blob.lfs["oid"]}
            listed.append(sibling)
        return listed

    def _folders(self) -> set[str]:
        return {str(folder) for path in self.blobs for folder in PurePosixPath(path).parents} - {"."}

    def _oid(self, folder: str) -> str:
        below = sorted((path, blob.oid) for path, blob in self.blobs.items() if path.startswith(folder))
        return hashlib.sha1(repr((folder, below)).encode()).hexdigest()

    def _entry(self, path: str, expand: bool) -> dict[str, Any]:
        blob = self.blobs.get(path)
        if blob is None:
            entry = {"type": "directory", "oid": self._oid(f"{path}/"), "size": 0, "path": path}
        else:
            entry = {"type": "file", "oid": blob.oid, "size": len(blob.content), "path": path}
            if blob.lfs:
                entry["lfs"] = blob.lfs
        if expand:
            entry["lastCommit"] = {"id": self.commit, "title": "the only commit", "date": DAY}
        if expand and blob:
            entry["securityFileStatus"] = {"status": "safe", "avScan": None, "pickleImportScan": None}
        return entry


@dataclass
class Repo:
    """Files by path, by branch and by tag, and who may see them.

    Attributes:
        token: what a request must bear to see anything of the repository, or of a gated one the files; None: nothing,
            and nobody sees the files of a gated one.
        gated: its listing is public, its files are not.
        lfs: suffixes of the files that the hub keeps apart from git and redirects to.
    """

    branches: dict[str, Files]
    tags: dict[str, Files] = field(default_factory=dict)
    kind: Literal["model", "dataset"] = "model"
    token: str | None = None
    gated: bool = False
    lfs: tuple[str, ...] = LFS
    _past: list[Files] = field(default_factory=list, init=False, repr=False)
    # keyed by content, so that every content is hashed once: bytes keep their own dictionary hash
    _blobs: dict[tuple[bytes, bool], Blob] = field(default_factory=dict, init=False, repr=False)

    def push(self, branch: str, files: Files) -> None:
        """Move a branch on; the commit that it leaves can still be asked for."""
        if branch in self.branches:
            self._past.append(self.branches[branch])
        self.branches[branch] = files

    def find(self, revision: str) -> Snapshot | None:
        """Return the snapshot that a branch, a tag or a commit holds."""
        named = {**self.tags, **self.branches}
        if revision in named:
            return self._snapshot(named[revision])
        revisions = (*self.branches.values(), *self.tags.values(), *self._past)
        return next((s for s in map(self._snapshot, revisions) if s.commit == revision), None)

    def commit(self, revision: str) -> str:
        """Return the commit of a branch or tag, which clients that resolve it first then ask for by name."""
        return self._snapshot({**self.tags, **self.branches}[revision]).commit

    def refs(self) -> dict[str, list[dict[str, str]]]:
        """Return branches and tags, and the commits they point to."""

        def listed(names: dict[str, Files], under: str) -> list[dict[str, str]]:
            return [
                {"name": name, "ref": f"refs/{under}/{name}", "targetCommit": self._snapshot(files).commit}
                for name, files in names.items()
            ]

        tags = listed(self.tags, "tags")
        return {"branches": listed(self.branches, "heads"), "tags": tags, "converts": [], "pullRequests": []}

    def _snapshot(self, files: Files) -> Snapshot:
        blobs = {}
        for path, content in files.items():
            key = (content, path.endswith(self.lfs))
            blobs[path] = self._blobs[key] = self._blobs.get(key) or _blob(*key)
        return Snapshot(blobs)
