"""Where the files of an adapter are, and how they come to lie on this machine."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.errors import CheckpointError, MissingFileError
from degen.hashing import fingerprint
from degen.weights.open_weights import Layout
from degen.weights.peft_adapter import CONFIG, WEIGHTS, open_tensors, read_settings
from degen.weights.stored_tensors import StoredTensors

from . import hub_client as hub
from .hub_source import MOST_SMALL, HubSource, fetch_into
from .source import Source

if TYPE_CHECKING:
    from .downloads import Downloads

# What an adapter's configuration says of where it came from, and not of what it does.
_PROVENANCE = ("base_model_name_or_path", "revision", "peft_version", "inference_mode", "auto_mapping")


class AdapterPlace(ABC):
    """Where an adapter's files are. Places are equal if they are the same one."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the place, as a user would name it."""

    @abstractmethod
    def version(self) -> str | None:
        """Return what changes whenever the files do; None where the weights are gone."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Return whether there is a file of that name."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return what its configuration says.

        Raises:
            CheckpointError: there is none, or it cannot be read.
        """

    @abstractmethod
    def size(self) -> int:
        """Return the bytes of its weights.

        Raises:
            CheckpointError: there are none.
        """

    @abstractmethod
    def tokenizer(self) -> Path | None:
        """Return where its own tokenizer lies; None without one."""

    @abstractmethod
    def tensors(self) -> StoredTensors:
        """Return its tensors where they are.

        Raises:
            CheckpointError: there are none, or they cannot be read piece by piece.
        """

    @abstractmethod
    def fetch(self, downloads: Downloads, owner: Source) -> Path:
        """Bring the files to this machine, as part of a source.

        Raises:
            CheckpointError: files are missing or cannot be had.
        """

    @abstractmethod
    def _weights_hash(self) -> str: ...

    @property
    def weights(self) -> str:
        """Name of the file with the weights.

        Raises:
            CheckpointError: there is none.
        """
        for name in WEIGHTS:
            if self.has(name):
                return name
        raise MissingFileError(f"{self}: no adapter weights ({' or '.join(WEIGHTS)})")

    @cached_property
    def sha256(self) -> str:
        """Hash of all that decides what it does to a base.

        Raises:
            CheckpointError: files are missing or cannot be read.
        """
        return fingerprint([_said(self.settings()), self._weights_hash()])


def _said(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without provenance; PEFT writes names as sets, in any order."""
    said = {name: value for name, value in settings.items() if name not in _PROVENANCE}
    return {name: sorted(value) if _is_names(value) else value for name, value in said.items()}


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


@dataclass(frozen=True)
class LocalAdapter(AdapterPlace):
    """An adapter folder of the user's own."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def version(self) -> str | None:
        """Return the newest modification time of configuration and weights, in ns."""
        try:
            files = [self.path / self.weights, self.path / CONFIG]
            return f"modified {max(f.stat().st_mtime_ns for f in files if f.is_file())}"
        except (CheckpointError, OSError):
            return None

    def has(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        return (self.path / name).is_file()

    def settings(self) -> dict[str, Any]:
        """Return what `adapter_config.json` says."""
        return read_settings(self.path / CONFIG)

    def size(self) -> int:
        """Return the bytes of the weights' file."""
        return (self.path / self.weights).stat().st_size

    def tokenizer(self) -> Path | None:
        """Return the folder itself, if it brings one."""
        from degen.text.tokenizer import has_tokenizer

        return self.path if has_tokenizer(self.path) else None

    def tensors(self) -> StoredTensors:
        """Return the tensors of its file."""
        return open_tensors(self.path)

    def fetch(self, downloads: Downloads, owner: Source) -> Path:
        """Nothing to fetch."""
        return self.path

    def _weights_hash(self) -> str:
        file = self.path / self.weights
        try:
            with file.open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise CheckpointError(f"{file}: cannot be read ({error.strerror or error})") from error


@dataclass(frozen=True)
class HubAdapter(AdapterPlace):
    """A revision on the hub that holds an adapter."""

    source: HubSource

    def __str__(self) -> str:
        return str(self.source)

    def version(self) -> str:
        """Return the commit."""
        return self.source.version()

    def has(self, name: str) -> bool:
        """Return whether a file of that name is listed."""
        return name in self.source.files

    def settings(self) -> dict[str, Any]:
        """Return what `adapter_config.json` says, of the user's cache."""
        if not self.has(CONFIG) or self.source.files[CONFIG].size > MOST_SMALL:
            raise MissingFileError(f"{self}: no {CONFIG} in it")
        return read_settings(hub.download(self.source.repo, self.source.commit, CONFIG))

    def size(self) -> int:
        """Return the bytes of the weights' file, as it is listed."""
        return self.source.files[self.weights].size

    def tokenizer(self) -> Path | None:
        """Return a folder of the user's cache with the tokenizer's files."""
        return self.source.tokenizer()

    def tensors(self) -> StoredTensors:
        """Return the tensors, read by byte ranges."""
        from .hub_tensors import HubTensors

        name, repo, commit = self.weights, self.source.repo, self.source.commit
        if not name.endswith(".safetensors"):
            raise CheckpointError(f"{self}: only a legacy .bin file, which cannot be read in pieces")
        return HubTensors(
            str(self), Layout("safetensors", (name,)), {name: self.size()},
            lambda shard, first, last: hub.read_range(repo, commit, shard, first, last),
        )  # fmt: skip

    def fetch(self, downloads: Downloads, owner: Source) -> Path:
        """Return links to what is cached, and downloads of the rest, in a folder that `downloads` gives."""
        self.settings()
        folder, names = downloads.folder(owner.key), (CONFIG, self.weights)
        for name in names:
            fetch_into(downloads, self.source.repo, self.source.commit, name, folder)
        if downloads.keep == "all":
            hub.remember(self.source.repo, self.source.revision, self.source.commit)
        return folder

    def _weights_hash(self) -> str:
        return self.source.files[self.weights].hash
