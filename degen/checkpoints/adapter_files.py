"""The files of an adapter, in a folder or on the hub."""

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
from degen.paths import is_file
from degen.weights.checkpoint_files import files_version
from degen.weights.open_weights import WeightLayout
from degen.weights.peft_adapter import CONFIG, WEIGHTS, open_tensors, read_settings
from degen.weights.stored_tensors import StoredTensors

from . import hub_client as hub
from .hub_source import MAX_SMALL, HubSource, fetch_into

if TYPE_CHECKING:
    from .downloads import Downloads

# Entries of an adapter's configuration that say where it came from, and not what it does.
_PROVENANCE = ("base_model_name_or_path", "revision", "peft_version", "inference_mode", "auto_mapping")


class _AdapterFiles(ABC):
    """What the two kinds of adapters have in common: the name of the weights' file, and a hash of the adapter."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Return whether there is a file of that name."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the content of `adapter_config.json`.

        Raises:
            CheckpointError: there is none, or it cannot be read.
        """

    @abstractmethod
    def _weights_hash(self) -> str:
        """Return a hash of the file with the weights."""

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
        """Hash of the weights and of the settings that decide what the adapter does.

        Raises:
            CheckpointError: files are missing or cannot be read.
        """
        return fingerprint([_without_provenance(self.settings()), self._weights_hash()])


def _without_provenance(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without provenance, lists of names sorted, as PEFT writes them in any order."""
    kept = {name: value for name, value in settings.items() if name not in _PROVENANCE}
    return {name: sorted(value) if _is_names(value) else value for name, value in kept.items()}


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


@dataclass(frozen=True)
class LocalAdapter(_AdapterFiles):
    """An adapter in a folder of the user's own."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def version(self) -> str | None:
        """Return a text of name, size and time of configuration and weights; None without weights."""
        try:
            return files_version([self.path / self.weights, self.path / CONFIG])
        except CheckpointError:
            return None

    def has(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        return is_file(self.path / name)

    def settings(self) -> dict[str, Any]:
        """Return the content of `adapter_config.json`."""
        return read_settings(self.path / CONFIG)

    def size(self) -> int:
        """Return the size of the weights' file in bytes."""
        return (self.path / self.weights).stat().st_size

    def tokenizer(self) -> Path | None:
        """Return the folder, if it has a tokenizer of its own."""
        from degen.text.tokenizer import has_tokenizer

        return self.path if has_tokenizer(self.path) else None

    def tensors(self) -> StoredTensors:
        """Return the tensors of its file."""
        return open_tensors(self.path)

    def fetch(self, downloads: Downloads, key: str) -> Path:
        """Return the folder; nothing is downloaded."""
        return self.path

    def _weights_hash(self) -> str:
        file = self.path / self.weights
        try:
            with file.open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise CheckpointError(f"{file}: cannot be read ({error.strerror or error})") from error


@dataclass(frozen=True)
class HubAdapter(_AdapterFiles):
    """An adapter in a revision on the hub."""

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
        """Return the content of `adapter_config.json`, once it is in the user's cache."""
        if not self.has(CONFIG) or self.source.files[CONFIG].size > MAX_SMALL:
            raise MissingFileError(f"{self}: no {CONFIG} in it")
        return read_settings(hub.download(self.source.repo, self.source.commit, CONFIG))

    def size(self) -> int:
        """Return the size of the weights' file in bytes, as the hub lists it."""
        return self.source.files[self.weights].size

    def tokenizer(self) -> Path | None:
        """Return a folder of the user's cache with the tokenizer's files; None without any."""
        return self.source.tokenizer()

    def tensors(self) -> StoredTensors:
        """Return the tensors, read by byte ranges."""
        from .hub_tensors import HubTensors

        name, repo, commit = self.weights, self.source.repo, self.source.commit
        if not name.endswith(".safetensors"):
            raise CheckpointError(f"{self}: only a legacy .bin file, which cannot be read in pieces")
        return HubTensors(
            str(self), WeightLayout("safetensors", (name,)), {name: self.size()},
            lambda shard, first, last: hub.read_range(repo, commit, shard, first, last),
        )  # fmt: skip

    def fetch(self, downloads: Downloads, key: str) -> Path:
        """Return a folder of `downloads`, that of a source's key, with links to what is cached and with downloads."""
        self.settings()
        folder = downloads.folder(key)
        for name in (CONFIG, self.weights):
            fetch_into(downloads, self.source.repo, self.source.commit, name, folder)
        if downloads.keep == "all":
            hub.write_ref(self.source.repo, self.source.revision, self.source.commit)
        return folder

    def _weights_hash(self) -> str:
        return self.source.files[self.weights].hash


AdapterFiles = LocalAdapter | HubAdapter
