"""Weights of the hub on this disk: taken from the user's cache, kept there, or here only while they are measured."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from degen.errors import DegenError
from degen.weights.checkpoint_files import Files

from . import hub_client as hub
from .source import Source

Keep = Literal["none", "all"]


class Downloads:
    """A folder for what is downloaded, with one inside for every checkpoint.

    Files of the user's own cache are linked into it and never deleted.

    Args:
        place: the folder; made when it is first needed.
        keep: `all` downloads into the user's cache and leaves it there; `none` into the folder, until `release`.
    """

    def __init__(self, place: Path, keep: str = "none") -> None:
        if keep not in get_args(Keep):
            raise DegenError(f"--keep {keep}: not one of {', '.join(get_args(Keep))}")
        self.place = place
        self.keep = keep
        self._shared: dict[tuple[Source, bool], Files] = {}
        self._sharing = threading.Lock()

    def folder(self, source: Source) -> Path:
        """The folder of a source; what an earlier try left there is gone on with."""
        folder = self._folder(source)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _folder(self, source: Source) -> Path:
        return self.place / hashlib.sha256(f"{source} {source.version()}".encode()).hexdigest()[:16]

    def link(self, file: Path, link: Path) -> None:
        """Let a file of the cache stand somewhere else."""
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(file.resolve())

    def take(self, repo: str, commit: str, name: str, folder: Path) -> None:
        """Let a file of the hub stand in a folder, from the cache if it is there.

        Raises:
            CheckpointError: it cannot be had.
        """
        cached = hub.in_cache(repo, commit, name)
        if cached is None and self.keep == "all":
            cached = hub.download(repo, commit, name)
        if cached is None:
            hub.download(repo, commit, name, folder)
        else:
            self.link(cached, folder / name)

    def index(self, file: Path, place_of: Mapping[str, str]) -> None:
        """Write the index of some shards."""
        file.write_text(json.dumps({"weight_map": dict(place_of)}))

    def shared(self, source: Source, whole: bool) -> Files:
        """The files of a source that several checkpoints are made of: fetched once, and there until `clear`.

        Raises:
            CheckpointError: they cannot be had.
        """
        with self._sharing:
            whole = whole or (source, True) in self._shared
            if (source, whole) not in self._shared:
                place = self.place / f"shared-{'whole' if whole else 'head'}"  # a release of the source leaves it alone
                self._shared[source, whole] = source.fetch(Downloads(place, self.keep), whole)
            return self._shared[source, whole]

    def release(self, source: Source) -> None:
        """Delete what was downloaded of a source."""
        shutil.rmtree(self._folder(source), ignore_errors=True)

    def clear(self) -> None:
        """Delete all that was downloaded and not kept, by an earlier run that was cut short, too."""
        self._shared.clear()
        shutil.rmtree(self.place, ignore_errors=True)
