"""Stored tensors on the hub: safetensors files read by byte ranges, no more than is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from degen.errors import CheckpointError, FormatError, one_line
from degen.weights.open_weights import WeightLayout
from degen.weights.safetensors_header import Entry, header_of, read_header
from degen.weights.stored_tensors import StoredTensors

if TYPE_CHECKING:
    import torch

PIECE = 1 << 23  # bytes of one request


class HubTensors(StoredTensors):
    """Tensors of safetensors files on the hub. The header of a shard is read when a tensor of it is first needed.

    Args:
        location: where the files are, for messages.
        layout: which files hold the weights.
        sizes: bytes of each shard.
        read: returns the bytes `first` to `last` − 1 of a shard, given its name, first and last.
    """

    def __init__(
        self, location: str, layout: WeightLayout, sizes: dict[str, int], read: Callable[[str, int, int], bytes]
    ) -> None:
        self._location = location
        self._layout = layout
        self._sizes = sizes
        self._read = read
        self._headers: dict[str, dict[str, Entry]] = {}
        self._prefetched: list[tuple[str, int, bytes]] = []  # shard, first byte, bytes

    @property
    def keys(self) -> frozenset[str]:
        """The names of all tensors; they are read from the index if there is one, else from the headers."""
        if self._layout.shard_of:
            return frozenset(self._layout.shard_of)
        return frozenset(key for shard in self._layout.shards for key in self._header(shard))

    def shard(self, key: str) -> str:
        """Return the name of the file that holds the tensor called `key`."""
        if self._layout.shard_of:
            return self._layout.shard_of[key]
        return next(shard for shard in self._layout.shards if key in self._header(shard))

    def entry(self, key: str) -> Entry:
        """Return the entry of the tensor called `key` in the header of its file: its type, shape and bytes.

        Raises:
            CheckpointError: the file that the index names for the tensor does not hold it.
        """
        shard = self.shard(key)
        header = self._header(shard)
        if key not in header:
            raise CheckpointError(
                f"{self._location}: the index says that the file {shard} holds the tensor {key}, but it does not; the "
                "checkpoint is damaged"
            )
        return header[key]

    def _header(self, shard: str) -> dict[str, Entry]:
        if shard not in self._headers:
            self._headers[shard] = read_header(
                f"{self._location}: {shard}", self._sizes[shard], lambda first, last: self._read(shard, first, last)
            )
        return self._headers[shard]

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of the tensor called `key`."""
        return self.entry(key).shape

    def dtype(self, key: str) -> str:
        """Return the type of the values of the tensor called `key`, as the header of its file names it."""
        return self.entry(key).dtype

    def _span(self, key: str, first: int, last: int) -> tuple[str, int, int]:
        """Return where the rows `first` to `last` − 1 of the tensor called `key` are: name of the file, and bytes."""
        entry = self.entry(key)
        width = (entry.last - entry.first) // max(entry.shape[0], 1)
        return self.shard(key), entry.first + first * width, entry.first + last * width

    def rows(self, key: str, first: int, last: int) -> torch.Tensor:
        """Return the rows `first` to `last` − 1 of the tensor called `key`, read in one request.

        Raises:
            CheckpointError: the hub cannot send them.
            FormatError: their type is unknown to torch.
        """
        from safetensors.torch import load

        entry = self.entry(key)
        data = self._bytes(*self._span(key, first, last))
        part = Entry(entry.dtype, (last - first, *entry.shape[1:]), 0, len(data))
        try:
            tensor: torch.Tensor = load(header_of({key: part}) + data)[key]
        except Exception as error:  # the library raises no class of its own for a dtype that torch has not
            raise FormatError(
                f"{self._location}: the tensor {key} has a type that cannot be read, {entry.dtype} ({one_line(error)})"
            ) from error
        return tensor

    def prefetch_rows(self, rows: Mapping[str, int]) -> None:
        """Read the first rows of several tensors ahead, with one request for those that lie side by side.

        Args:
            rows: name of the tensor -> how many rows, counted from its first.
        """
        spans: list[tuple[str, int, int]] = []
        for shard, first, last in sorted(self._span(key, 0, count) for key, count in rows.items()):
            before = spans[-1] if spans else None
            if before is not None and before[0] == shard and before[2] == first and last - before[1] <= PIECE:
                spans[-1] = (shard, before[1], last)
            elif last - first <= PIECE:
                spans.append((shard, first, last))
        self._prefetched = [(shard, first, self._read(shard, first, last)) for shard, first, last in spans]

    def _bytes(self, shard: str, first: int, last: int) -> bytes:
        for other, start, data in self._prefetched:
            if other == shard and start <= first and last <= start + len(data):
                return data[first - start : last - start]
        return self._read(shard, first, last)

    def size(self, key: str | None) -> int:
        """Return the stored size in bytes of the tensor called `key`; for None that of all files together."""
        if key is None:
            return sum(self._sizes[shard] for shard in self._layout.shards)
        entry = self.entry(key)
        return entry.last - entry.first

    def raw(self, key: str) -> Iterator[bytes]:
        """Yield the stored bytes of the tensor called `key` in pieces, each read with a request of its own."""
        entry, shard = self.entry(key), self.shard(key)
        for first in range(entry.first, entry.last, PIECE):
            yield self._read(shard, first, min(first + PIECE, entry.last))

    def save(self, keys: Sequence[str], file: Path) -> None:
        """Write some tensors as a safetensors file that holds nothing else, their bytes as they are stored."""
        with file.open("wb") as opened:
            opened.write(header_of({key: self.entry(key) for key in keys}))
            for key in keys:
                for piece in self.raw(key):
                    opened.write(piece)
