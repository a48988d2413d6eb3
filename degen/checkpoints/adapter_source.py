"""An adapter on its base as the source of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from degen.errors import CheckpointError
from degen.weights.checkpoint_files import CheckpointFiles
from degen.weights.peft_adapter import may_change_head, open_tensors
from degen.weights.stored_tensors import StoredTensors

from .adapter_files import AdapterFiles
from .local import LocalSource
from .source import Source

if TYPE_CHECKING:
    import torch

    from .downloads import Downloads


@dataclass(frozen=True)
class AdapterSource(Source):
    """An adapter on its base. The base is fetched once for all adapters of a scan.

    Attributes:
        base: the files of the checkpoint that the adapter changes.
        adapter: the adapter's own files.
        beside: another folder in which the base's tokenizer may be: that of the series of which the base is a step;
            None if there is none.
    """

    base: Source
    adapter: AdapterFiles
    beside: Path | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.base}+{self.adapter}"

    def version(self) -> str | None:
        """Return the versions of base and adapter as one text; None where one of them has no weights."""
        base, adapter = self.base.version(), self.adapter.version()
        return f"{base}, adapter {adapter}" if base is not None and adapter is not None else None

    def config(self) -> Path:
        """Return the folder with the configuration of the base, after checking that of the adapter.

        Raises:
            CheckpointError: one of the two is missing or cannot be read.
        """
        self.adapter.settings()
        return self.base.config()

    def tokenizer(self) -> Path | None:
        """Return the folder of the tokenizer: of the adapter's, which may have more tokens, or else of the base's."""
        from degen.text.tokenizer import has_tokenizer

        own = self.adapter.tokenizer() or self.base.tokenizer()
        return self.beside if own is None and self.beside is not None and has_tokenizer(self.beside) else own

    def tensors(self) -> StoredTensors:
        """Return the tensors of base and adapter together, as they are stored: they are not merged."""
        return _Both(self.base.tensors(), self.adapter.tensors())

    def fetch(self, downloads: Downloads, whole: bool) -> CheckpointFiles:
        """Bring the files of base and adapter to this machine.

        Args:
            downloads: where they go.
            whole: whether all tensors of the base are needed; they are also where the adapter may change the head.
        """
        folder = self.adapter.fetch(downloads, self.key)
        files = downloads.shared(self.base, whole or may_change_head(open_tensors(folder)), self.base.fetch)
        return replace(files, adapter=folder)

    def hashes(self) -> dict[str, str] | None:
        """Return a dict: name of a weight file -> its hash, of base and adapter; None where the base has none."""
        published = self.base.hashes()
        return published | {self.adapter.weights: self.adapter.sha256} if published is not None else None

    def size(self) -> int:
        """Return the size of the weights of base and adapter together, in bytes."""
        return self.base.size() + self.adapter.size()

    @property
    def twin(self) -> tuple[Source, str] | None:
        """The base and the hash of the adapter, by which two local checkpoints are recognised as copies.

        None where the base is not a local folder (then its published hashes serve for that), or where the adapter's
        files cannot be read.
        """
        if not isinstance(self.base, LocalSource):
            return None
        try:
            return self.base, self.adapter.sha256
        except CheckpointError:
            return None


class _Both(StoredTensors):
    """The tensors of a base and of its adapter in one; no name occurs in both."""

    def __init__(self, base: StoredTensors, adapter: StoredTensors) -> None:
        self._of = {key: tensors for tensors in (base, adapter) for key in tensors.keys}

    @property
    def keys(self) -> frozenset[str]:
        """The names of all tensors."""
        return frozenset(self._of)

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of the tensor called `key`."""
        return self._of[key].shape(key)

    def dtype(self, key: str) -> str:
        """Return the type of the values of the tensor called `key`, as it is stored."""
        return self._of[key].dtype(key)

    def shard(self, key: str) -> str:
        """Return the name of the file that holds the tensor called `key`."""
        return self._of[key].shard(key)

    def rows(self, key: str, first: int, last: int) -> torch.Tensor:
        """Return the rows `first` to `last` − 1 of the tensor called `key`."""
        return self._of[key].rows(key, first, last)

    def raw(self, key: str) -> Iterator[bytes | memoryview]:
        """Return the stored bytes of the tensor called `key`, in pieces."""
        return self._of[key].raw(key)

    def size(self, key: str | None) -> int:
        """Return the stored size in bytes of the tensor called `key`; for None that of all tensors together."""
        return self._of[key].size(key) if key is not None else sum(self._of[k].size(k) for k in self._of)

    def prefetch_rows(self, rows: Mapping[str, int]) -> None:
        """Read the first rows of some tensors ahead; `rows` says how many of each, by name of the tensor."""
        for tensors in set(self._of.values()):
            tensors.prefetch_rows({key: count for key, count in rows.items() if self._of[key] is tensors})
