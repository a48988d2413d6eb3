"""A revision on the hub as the source of a checkpoint: its files are listed, and only those needed are fetched."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from degen.errors import CheckpointError, MissingFileError, one_line
from degen.weights.checkpoint_files import CheckpointFiles
from degen.weights.open_weights import WeightLayout, find_weights
from degen.weights.stored_tensors import EMBEDDING_KEYS, HEAD_KEYS

from . import hub_client as hub
from . import hub_records as records
from .source import Source

if TYPE_CHECKING:
    from .downloads import Downloads
    from .hub_tensors import HubTensors

MAX_SMALL = 200_000_000  # bytes of a configuration, a tokenizer or an index, which are read whole

# Most revisions of a series have the same configuration and tokenizer, to the byte: the folder of one serves them all.
_folders: dict[frozenset[tuple[str, str]], Path] = {}


@dataclass(frozen=True)
class HubSource(Source):
    """One revision of a repository.

    Attributes:
        repo: `org/name`.
        revision: a branch, a tag or a commit.
        commit: the commit it stands for.
        trust: whether Python code of the repository may run, and so is fetched.
        subfolder: path of the folder within the repository that holds the checkpoint; empty for the repository itself.
        listed: the files of the revision by their paths in the repository, where they were listed before; else None.
        model_config: a folder with a configuration for a revision that has none; None without.
    """

    repo: str
    revision: str
    commit: str
    trust: bool = False
    subfolder: str = ""
    listed: Mapping[str, hub.HubFile] | None = field(default=None, compare=False, repr=False)
    model_config: Path | None = None

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}" + (f":{self.subfolder}" if self.subfolder else "")

    @cached_property
    def files(self) -> dict[str, hub.HubFile]:
        """The files of the checkpoint, as a dict: path in its folder -> file, whose name is the path in the repository.

        A subfolder without a file raises no error here: what is missing is named when it is needed.
        """
        listed = self.listed if self.listed is not None else hub.listing(self.repo, self.commit)
        prefix = f"{self.subfolder}/" if self.subfolder else ""
        return {path[len(prefix) :]: file for path, file in listed.items() if path.startswith(prefix)}

    @cached_property
    def layout(self) -> WeightLayout:
        """The files that hold the weights, and which tensors each holds.

        Raises:
            CheckpointError: the revision has no weights, or lacks one of their files.
        """
        try:
            return find_weights(str(self), self.files.__contains__, lambda name: self._small(name).read_text("utf-8"))
        except MissingFileError as error:
            raise MissingFileError(f"{error}{self._hint}{hub.offline_note()}") from error

    def version(self) -> str:
        """Return the commit as text."""
        return f"commit {self.commit}"

    def hashes(self) -> dict[str, str]:
        """Return a dict: name of a weight file -> the hash that the hub publishes of it."""
        return {name: self.files[name].hash for name in self.layout.shards}

    def size(self) -> int:
        """Return the size of the weight files in bytes, as the hub lists it."""
        return sum(self.files[name].size for name in self.layout.shards)

    def config(self) -> Path:
        """Return the folder with its config.json, downloaded into the user's cache with the Python code if it may run.

        Where the revision has none, it is the folder that the user named.
        """
        if "config.json" not in self.files:
            if self.model_config is not None:
                return self.model_config
            hint = self._hint or "; a scan takes another's with `--model-config ORG/MODEL` or a folder"
            raise MissingFileError(f"{self}: this revision has no config.json{hint}")
        return self._folder(["config.json", *self._code])

    def tokenizer(self) -> Path | None:
        """Download the tokenizer into the user's cache, and return its folder; None where the revision has none."""
        names = self._tokenizer
        if not names and self.subfolder:  # all folders may share one, beside them
            return replace(self, subfolder="").tokenizer()
        return self._folder([*names, *self._code]) if names else None

    @property
    def _tokenizer(self) -> list[str]:
        """The names of the files of the tokenizer and of config.json; empty where the revision has no tokenizer."""
        from degen.text.tokenizer import FILES, FILES_BESIDE

        if not any(name in self.files for name in FILES):
            return []
        return [name for name in (*FILES, *FILES_BESIDE, "config.json") if name in self.files]

    def tensors(self) -> HubTensors:
        """Return the tensors; each is read from the hub, by byte ranges, when it is needed.

        Raises:
            CheckpointError: the weights are not in the safetensors format.
        """
        from .hub_tensors import HubTensors

        if self.layout.kind != "safetensors":
            raise CheckpointError(
                f"{self}: the weights are only in legacy .bin files, of which single tensors cannot be read; download "
                "the checkpoint and name its folder"
            )
        return HubTensors(
            str(self), self.layout, {name: self.files[name].size for name in self.layout.shards},
            lambda name, first, last: hub.read_range(self.repo, self.commit, self.files[name].name, first, last),
        )  # fmt: skip

    def fetch(self, downloads: Downloads, whole: bool) -> CheckpointFiles:
        """Return a folder of `downloads` that holds the files: links to those in the cache, downloads of the others.

        Args:
            downloads: where the folder is made.
            whole: whether all tensors are needed; False for the head at least.

        Raises:
            CheckpointError: a file is missing, cannot be downloaded, or cannot be written.
        """
        folder = downloads.folder(self.key)
        try:
            config = self.config()  # a cached folder, which may hold weights of another revision
            code = self._code if "config.json" in self.files else [file.name for file in config.glob("*.py")]
            for name in ("config.json", *code):
                downloads.link(config / name, folder / name)
            if downloads.keep == "all":
                self.keep_beside()
            cached = all(hub.in_cache(self.repo, self.commit, self.files[name].name) for name in self.layout.shards)
            if whole or cached:
                self._fetch_shards(self.layout.shards, folder, downloads)
            elif not self._fetch_head(folder, downloads):
                self._fetch_shards(self._head_shards(), folder, downloads)
                whole = set(self._head_shards()) == set(self.layout.shards)
        except OSError as error:
            reason = error.strerror or one_line(error)
            raise CheckpointError(
                f"{self}: the files cannot be written into {folder} ({reason}); check the disk there"
            ) from error
        return CheckpointFiles(folder, whole=whole or cached)

    def record(self) -> None:
        """Keep in the user's cache what a scan without network asks of the hub of this revision: the list of files."""
        listed = self.listed if self.listed is not None else {file.name: file for file in self.files.values()}
        records.record_files(self.repo, self.commit, {name: (f.size, f.hash) for name, f in listed.items()})

    def cache_alias(self) -> None:
        """Add this revision to the user's cache, if the cache has its weights already from another revision."""
        if all(hub.blob_is_cached(self.repo, hash) for hash in self.hashes().values()):
            self.keep_beside([name for name in (*self.layout.shards, self.layout.index) if name is not None])

    def keep_beside(self, names: Collection[str] = ()) -> None:
        """Download all that a scan without the hub needs: configuration, code, tokenizer, and the files `names`."""
        own = ["config.json"] if "config.json" in self.files else []
        for name in (*own, *self._code, *self._tokenizer, *names):
            hub.download(self.repo, self.commit, self.files[name].name)
        hub.write_ref(self.repo, self.revision, self.commit)

    def _fetch_shards(self, shards: Collection[str], folder: Path, downloads: Downloads) -> None:
        """Put some shards into `folder`, with an index that names only these."""
        for name in shards:
            fetch_into(downloads, self, name, folder)
        if self.layout.index is None:
            return
        if len(shards) == len(self.layout.shards):
            downloads.link(self._small(self.layout.index), folder / self.layout.index)
        else:
            shard_of = {key: shard for key, shard in self.layout.shard_of.items() if shard in shards}
            (folder / self.layout.index).write_text(json.dumps({"weight_map": shard_of}))

    def _fetch_head(self, folder: Path, downloads: Downloads) -> bool:
        """Write only what measuring the head reads into `folder`, if the headers of the files tell which tensors it is.

        Where downloads are kept in the user's cache it is, too.

        Returns:
            Whether they do, and it was written.
        """
        from degen.model.architecture import describe
        from degen.model.configuration import read_config
        from degen.model.lm_head import head_tensors

        if self.layout.kind != "safetensors":
            return False
        kept = records.head_file(self.repo, self.commit, self.subfolder)
        if kept.is_file():
            downloads.link(kept, folder / "model.safetensors")
            return True
        tensors = self.tensors()
        keys = head_tensors(tensors, describe(read_config(self.config(), self.trust), self.trust))
        if keys:
            tensors.save(keys, folder / "model.safetensors")
            if downloads.keep == "all":
                records.record_head(self.repo, self.commit, self.subfolder, folder / "model.safetensors")
        return bool(keys)

    def _head_shards(self) -> tuple[str, ...]:
        """Return the names of the shards that may hold the head, by the names of their tensors; if none may, of all."""
        known = {shard for key, shard in self.layout.shard_of.items() if key in HEAD_KEYS or key in EMBEDDING_KEYS}
        return tuple(sorted(known)) or self.layout.shards

    @property
    def _hint(self) -> str:
        return f"; it is an adapter: write BASE+{self}" if "adapter_config.json" in self.files else ""

    @property
    def _code(self) -> list[str]:
        return [name for name in self.files if name.endswith(".py")] if self.trust else []

    def _small(self, name: str) -> Path:
        if (size := self.files[name].size) > MAX_SMALL:
            raise CheckpointError(
                f"{self}: {name} is too large ({size:,} bytes); such a file must not have more than {MAX_SMALL:,}"
            )
        return hub.download(self.repo, self.commit, self.files[name].name)

    def _folder(self, names: Collection[str]) -> Path:
        """Return a folder of the user's cache that holds the files `names`; they are downloaded if they are not there.

        It may be the folder of another revision that has the same files.
        """
        key = frozenset((f"{self.repo}/{name}", self.files[name].hash) for name in names)
        if key not in _folders or not _folders[key].is_dir():
            for name in names:
                self._small(name)
            _folders[key] = self._small("config.json" if "config.json" in names else next(iter(names))).parent
        return _folders[key]


def fetch_into(downloads: Downloads, source: HubSource, name: str, folder: Path) -> None:
    """Put a file of the hub into a folder: as a link if the user's cache has it, else as a download.

    Args:
        downloads: says whether downloads are kept in the user's cache.
        source: the checkpoint.
        name: path of the file in the checkpoint's folder.
        folder: the folder.

    Raises:
        CheckpointError: it cannot be downloaded.
    """
    repo, commit, path = source.repo, source.commit, source.files[name].name
    cached = hub.in_cache(repo, commit, path)
    if cached is None and downloads.keep == "all":
        cached = hub.download(repo, commit, path)
    if cached is not None:
        downloads.link(cached, folder / name)
        return
    downloaded = hub.download(repo, commit, path, folder)  # at its path in the repository
    if path != name:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        downloaded.replace(folder / name)
