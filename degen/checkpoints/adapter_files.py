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
    """The files of one adapter: the base class of adapters in a folder and on the hub."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Return whether there is a file of that name."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the content of `adapter_config.json`.

        Raises:
            CheckpointError: the adapter has no such file, or it cannot be read.
        """

    @abstractmethod
    def _weights_hash(self) -> str:
        """Return a hash of the content of the file with the weights."""

    @property
    def weights(self) -> str:
        """The name of the file with the adapter's weights.

        Raises:
            CheckpointError: the adapter has no such file.
        """
        for name in WEIGHTS:
            if self.has(name):
                return name
        raise MissingFileError(f"{self}: the weights of the adapter are missing ({' or '.join(WEIGHTS)})")

    @cached_property
    def sha256(self) -> str:
        """A hash of the weights and of the settings that decide what the adapter does, as hexadecimal digits.

        Raises:
            CheckpointError: files are missing or cannot be read.
        """
        return fingerprint([_without_provenance(self.settings()), self._weights_hash()])


def _without_provenance(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an adapter in a form that is equal for equal adapters.

    Entries that only say where the adapter came from are left out, and lists of names are sorted, because PEFT writes
    them in any order.
    """
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
        """Return a text of the names, sizes and times of configuration and weights; None without weights."""
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
        """Return the adapter's folder if it holds a tokenizer; else None."""
        from degen.text.tokenizer import has_tokenizer

        return self.path if has_tokenizer(self.path) else None

    def tensors(self) -> StoredTensors:
        """Return the tensors of the adapter's weights."""
        return open_tensors(self.path)

    def fetch(self, downloads: Downloads, key: str) -> Path:
        """Return the adapter's own folder; nothing is downloaded, and the arguments are not used."""
        return self.path

    def _weights_hash(self) -> str:
        file = self.path / self.weights
        try:
            with file.open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise CheckpointError(
                f"{file}: the adapter's weights cannot be read ({error.strerror or error}); check their permissions"
            ) from error


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
        """Download `adapter_config.json` into the user's cache, and return its content."""
        if not self.has(CONFIG):
            raise MissingFileError(f"{self}: no {CONFIG} in this revision, so that it is no adapter")
        if (size := self.source.files[CONFIG].size) > MAX_SMALL:
            raise CheckpointError(
                f"{self}: {CONFIG} is too large ({size:,} bytes); such a file must not have more than {MAX_SMALL:,}"
            )
        return read_settings(hub.download(self.source.repo, self.source.commit, self.source.files[CONFIG].name))

    def size(self) -> int:
        """Return the size of the weights' file in bytes, as the hub lists it."""
        return self.source.files[self.weights].size

    def tokenizer(self) -> Path | None:
        """Download the tokenizer into the user's cache, and return its folder; None where the revision has none."""
        return self.source.tokenizer()

    def tensors(self) -> StoredTensors:
        """Return the tensors; each is read from the hub, by byte ranges, when it is needed.

        Raises:
            CheckpointError: the weights are not in the safetensors format.
        """
        from .hub_tensors import HubTensors

        name, repo, commit = self.source.files[self.weights].name, self.source.repo, self.source.commit
        if not name.endswith(".safetensors"):
            raise CheckpointError(
                f"{self}: the adapter's weights are only in a legacy .bin file, of which single tensors cannot be "
                "read; download the adapter and name its folder"
            )
        return HubTensors(
            str(self), WeightLayout("safetensors", (name,)), {name: self.size()},
            lambda shard, first, last: hub.read_range(repo, commit, shard, first, last),
        )  # fmt: skip

    def fetch(self, downloads: Downloads, key: str) -> Path:
        """Return a folder of `downloads` that holds the adapter: links to files in the cache, downloads of the others.

        Args:
            downloads: where the folder is made.
            key: the key of the source, which decides the folder.

        Raises:
            CheckpointError: a file is missing or cannot be downloaded.
        """
        self.settings()
        folder = downloads.folder(key)
        for name in (CONFIG, self.weights):
            fetch_into(downloads, self.source, name, folder)
        if downloads.keep == "all":
            hub.write_ref(self.source.repo, self.source.revision, self.source.commit)
        return folder

    def _weights_hash(self) -> str:
        return self.source.files[self.weights].hash


AdapterFiles = LocalAdapter | HubAdapter
