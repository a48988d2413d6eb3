"""A revision on the hub as the source of a checkpoint: listed first, then only what is needed of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from degen.errors import CheckpointError, MissingFileError, one_line
from degen.weights.checkpoint_files import Files
from degen.weights.open_weights import Layout, find_weights
from degen.weights.stored_tensors import EMBEDDING_KEYS, HEAD_KEYS

from . import hub_client as hub
from .source import Source

if TYPE_CHECKING:
    from .downloads import Downloads
    from .hub_tensors import HubTensors

MOST_SMALL = 200_000_000  # bytes of a configuration, a tokenizer or an index, which are read whole

# The configuration and tokenizer of most revisions of a series are the same, to the byte: one folder serves them all.
_folders: dict[frozenset[tuple[str, str]], Path] = {}


@dataclass(frozen=True)
class HubSource(Source):
    """One revision of a repository.

    Attributes:
        repo: `org/name`.
        revision: a branch, a tag or a commit.
        commit: the commit it stands for.
        trust: whether Python code of the repository may run, and so is fetched.
    """

    repo: str
    revision: str
    commit: str
    trust: bool = False

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision}"

    @cached_property
    def files(self) -> dict[str, hub.HubFile]:
        """Every file of the revision by name."""
        return hub.listing(self.repo, self.commit)

    @cached_property
    def layout(self) -> Layout:
        """How its weights are spread over files.

        Raises:
            CheckpointError: there are none, or a shard is missing.
        """
        try:
            return find_weights(str(self), self.files.__contains__, lambda name: self._small(name).read_text("utf-8"))
        except MissingFileError as error:
            raise MissingFileError(f"{error}{self._hint}{hub.beyond_cache()}") from error

    def version(self) -> str:
        """Return the commit."""
        return f"commit {self.commit}"

    def hashes(self) -> dict[str, str]:
        """Return what the hub publishes of the weight files."""
        return {name: self.files[name].hash for name in self.layout.shards}

    def size(self) -> int:
        """Return the bytes of the weight files, as they are listed."""
        return sum(self.files[name].size for name in self.layout.shards)

    def config(self) -> Path:
        """Return a folder of the user's cache with the configuration, and with code where it may run."""
        if "config.json" not in self.files:
            raise MissingFileError(f"{self}: no config.json in it{self._hint}")
        return self._folder(["config.json", *self._code])

    def tokenizer(self) -> Path | None:
        """Return a folder of the user's cache with the tokenizer's files and the configuration."""
        names = self._tokenizer
        return self._folder([*names, *self._code]) if names else None

    @property
    def _tokenizer(self) -> list[str]:
        """The tokenizer's files and the configuration; nothing without a tokenizer."""
        from degen.text.tokenizer import FILES, FILES_BESIDE

        if not any(name in self.files for name in FILES):
            return []
        return [name for name in (*FILES, *FILES_BESIDE, "config.json") if name in self.files]

    def tensors(self) -> HubTensors:
        """Return the tensors, read by byte ranges."""
        from .hub_tensors import HubTensors

        if self.layout.kind != "safetensors":
            raise CheckpointError(f"{self}: only legacy .bin files, which cannot be read in pieces")
        sizes = {name: self.files[name].size for name in self.layout.shards}
        return HubTensors(
            str(self), self.layout, sizes, lambda name, a, b: hub.read_range(self.repo, self.commit, name, a, b)
        )

    def fetch(self, downloads: Downloads, whole: bool) -> Files:
        """Return links to what is cached, and downloads of the rest, in a folder that `downloads` gives."""
        folder = downloads.folder(self.key)
        try:
            config = self.config()  # a cached folder that may hold more, weights of another revision even
            for name in ("config.json", *self._code):
                downloads.link(config / name, folder / name)
            if downloads.keep == "all":
                self._keep()
            cached = all(hub.in_cache(self.repo, self.commit, name) for name in self.layout.shards)
            if whole or cached:
                self._take(self.layout.shards, folder, downloads)
            elif not self._head_alone(folder):
                self._take(self._shards_of_the_head(), folder, downloads)
                whole = set(self._shards_of_the_head()) == set(self.layout.shards)
        except OSError as error:
            why = error.strerror or one_line(error)
            raise CheckpointError(f"{self}: cannot be kept in {folder} ({why})") from error
        return Files(folder, whole=whole or cached)

    def keep_copy(self) -> None:
        """Let the cache have this revision, too, where it holds the weights as those of another one."""
        if all(hub.holds(self.repo, hash) for hash in self.hashes().values()):
            self._keep([name for name in (*self.layout.shards, self.layout.index) if name is not None])

    def _keep(self, names: Collection[str] = ()) -> None:
        """Let the cache have small files under this revision, too: weights kept there are of use with them alone."""
        for name in ("config.json", *self._code, *self._tokenizer, *names):
            hub.download(self.repo, self.commit, name)
        hub.remember(self.repo, self.revision, self.commit)

    def _take(self, shards: Collection[str], folder: Path, downloads: Downloads) -> None:
        """Fetch shards, and the index if they are all of them; of some, write an index that names those alone."""
        for name in shards:
            fetch_into(downloads, self.repo, self.commit, name, folder)
        if self.layout.index is None:
            return
        if len(shards) == len(self.layout.shards):
            downloads.link(self._small(self.layout.index), folder / self.layout.index)
        else:
            downloads.index(folder / self.layout.index, {k: s for k, s in self.layout.place_of.items() if s in shards})

    def _head_alone(self, folder: Path) -> bool:
        """Return whether the head can be told from the headers and read by itself; then it is in the folder."""
        from degen.model.architecture import describe, read_config

        if self.layout.kind != "safetensors":
            return False
        shape = describe(read_config(self.config(), self.trust), self.trust)
        tensors = self.tensors()
        key = tensors.head_key(shape.tied, (shape.vocab_size, shape.head_size))
        if key is not None:
            tensors.save(key, folder / "model.safetensors")
        return key is not None

    def _shards_of_the_head(self) -> tuple[str, ...]:
        """Return the shards that hold what may be the head; all of them where no name tells."""
        known = {s for key, s in self.layout.place_of.items() if key in HEAD_KEYS or key in EMBEDDING_KEYS}
        return tuple(sorted(known)) or self.layout.shards

    @property
    def _hint(self) -> str:
        return f"; it holds an adapter: write BASE+{self}" if "adapter_config.json" in self.files else ""

    @property
    def _code(self) -> list[str]:
        return [name for name in self.files if name.endswith(".py")] if self.trust else []

    def _small(self, name: str) -> Path:
        if (size := self.files[name].size) > MOST_SMALL:
            raise CheckpointError(f"{self}: {name} is {size:,} bytes, and nothing of its kind is that large")
        return hub.download(self.repo, self.commit, name)

    def _folder(self, names: Collection[str]) -> Path:
        """Return a folder with these files, of this revision or of another where they are the same."""
        key = frozenset((f"{self.repo}/{name}", self.files[name].hash) for name in names)
        if key not in _folders or not _folders[key].is_dir():
            for name in names:
                self._small(name)
            _folders[key] = self._small("config.json" if "config.json" in names else next(iter(names))).parent
        return _folders[key]


def fetch_into(downloads: Downloads, repo: str, commit: str, name: str, folder: Path) -> None:
    """Put a file of the hub into a folder: a link to the user's cache if it is there, else a download.

    Raises:
        CheckpointError: it cannot be had.
    """
    cached = hub.in_cache(repo, commit, name)
    if cached is None and downloads.keep == "all":
        cached = hub.download(repo, commit, name)
    if cached is None:
        hub.download(repo, commit, name, folder)
    else:
        downloads.link(cached, folder / name)
