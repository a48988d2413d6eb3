"""The weight files of a checkpoint, opened: safetensors and legacy PyTorch files, whole or sharded, and GGUF."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CheckpointError, one_line
from .gguf_tensors import GgufTensors
from .series import Checkpoint
from .stored import StoredTensors

if TYPE_CHECKING:
    import torch


def open_tensors(checkpoint: Checkpoint) -> StoredTensors:
    """Open the tensors of a checkpoint: safetensors before legacy `.bin`, sharded or not, or a GGUF file.

    Raises:
        CheckpointError: no weights, a missing shard, or a file that cannot be read.
    """
    if checkpoint.is_gguf:
        return GgufTensors(checkpoint.path)
    files, kind = weight_files(checkpoint.path)
    return SafeTensors(files) if kind == "safetensors" else read_bin(files)


def weight_files(folder: Path) -> tuple[list[Path], str]:
    """The weight files of a checkpoint folder and their kind, `safetensors` or `bin`.

    Raises:
        CheckpointError: there are none, or the index names one that is missing.
    """
    for kind, name in (("safetensors", "model.safetensors"), ("bin", "pytorch_model.bin")):
        if (folder / name).is_file():
            return [folder / name], kind
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _shards(index), kind
    raise CheckpointError(f"{folder}: no weights (model.safetensors or pytorch_model.bin, whole or with an index)")


def _shards(index: Path) -> list[Path]:
    try:
        files = [index.parent / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{index}: not a shard index ({one_line(error)})") from error
    if not files:
        raise CheckpointError(f"{index}: names no shard")
    for file in files:
        if index.parent.resolve() not in file.resolve().parents and not file.is_symlink():
            raise CheckpointError(f"{index}: shard {file.name} lies outside the checkpoint")
        if not file.is_file():
            raise CheckpointError(f"{file}: the index names this shard, and it is missing")
    return files


class SafeTensors(StoredTensors):
    """Tensors of safetensors files, read slice by slice."""

    def __init__(self, files: list[Path]) -> None:
        from safetensors import safe_open

        self._place: dict[str, tuple[Any, Path]] = {}
        self._headers: dict[Path, tuple[int, Any]] = {}
        for file in files:
            try:
                opened: Any = safe_open(file, framework="pt")
                names: list[str] = opened.keys()
                self._place.update(dict.fromkeys(names, (opened, file)))
            except Exception as error:  # the library has no narrower class of its own to catch
                size = file.stat().st_size
                raise CheckpointError(
                    f"{file}: not a sound safetensors file of {size} bytes ({one_line(error)}); is it truncated?"
                ) from error

    @property
    def keys(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(self._place)

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return tuple(self._place[key][0].get_slice(key).get_shape())

    def rows(self, key: str, first: int, last: int) -> torch.Tensor:
        """Rows of a matrix, read from the file."""
        tensor: torch.Tensor = self._place[key][0].get_slice(key)[first:last]
        return tensor

    def size(self, key: str | None) -> int:
        """Stored size, by the offsets of the headers."""
        spans = [self._span(k) for k in (self.keys if key is None else [key])]
        return sum(last - first for first, last in spans)

    def _span(self, key: str) -> tuple[int, int]:
        """First byte of a tensor in its file, and the one after its last."""
        file = self._place[key][1]
        if file not in self._headers:
            with file.open("rb") as opened:
                size = int.from_bytes(opened.read(8), "little")
                self._headers[file] = (8 + size, json.loads(opened.read(size)))
        start, header = self._headers[file]
        first, last = header[key]["data_offsets"]
        return start + first, start + last

    def raw(self, key: str) -> Iterator[bytes]:
        """The stored bytes, by the offsets of the file's header."""
        first, last = self._span(key)
        with self._place[key][1].open("rb") as opened:
            opened.seek(first)
            rest = last - first
            while rest and (piece := opened.read(min(rest, 1 << 22))):
                rest -= len(piece)
                yield piece


class LoadedTensors(StoredTensors):
    """Tensors already in memory or memory-mapped: legacy PyTorch files, or a module's own."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._tensors = tensors

    @property
    def keys(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(self._tensors)

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return tuple(self._tensors[key].shape)

    def rows(self, key: str, first: int, last: int) -> torch.Tensor:
        """Rows of a matrix."""
        return self._tensors[key][first:last]

    def size(self, key: str | None) -> int:
        """Stored size."""
        tensors = self._tensors.values() if key is None else [self._tensors[key]]
        return sum(t.numel() * t.element_size() for t in tensors)

    def raw(self, key: str) -> Iterator[bytes]:
        """The stored bytes, in row-major order."""
        import torch

        flat = self._tensors[key].detach().cpu().contiguous().flatten()
        for first in range(0, len(flat), 1 << 20):
            yield flat[first : first + (1 << 20)].view(torch.uint8).numpy().tobytes()


def read_bin(files: Sequence[Path]) -> LoadedTensors:
    """Legacy PyTorch files, unpickled as weights only, memory-mapped where a file is a zip.

    Raises:
        CheckpointError: a file holds anything but a table of tensors.
    """
    import zipfile

    import torch

    tensors: dict[str, torch.Tensor] = {}
    for file in files:
        try:
            loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
        except Exception as error:  # a stranger's pickle can fail in any way; none of it is executed
            raise CheckpointError(f"{file}: not readable as weights alone ({_unpickling(error)})") from error
        if not isinstance(loaded, dict):
            raise CheckpointError(f"{file}: holds a {type(loaded).__name__}, not a table of tensors")
        tensors.update((key, value) for key, value in loaded.items() if isinstance(value, torch.Tensor))
    return LoadedTensors(tensors)


def _unpickling(error: Exception) -> str:
    """What torch says of the file; the rest of its message advises to execute it."""
    said = [line for line in str(error).splitlines() if "unsupported" in line.lower()]
    return said[-1].strip() if said else one_line(error)
