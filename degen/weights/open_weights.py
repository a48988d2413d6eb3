"""The weight files of a checkpoint folder, opened: safetensors and legacy PyTorch files, whole or sharded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from degen.device import is_unmapped
from degen.errors import CheckpointError, MissingFileError, one_line
from degen.paths import is_file, is_inside

from .safetensors_header import Entry, read_header
from .stored_tensors import StoredTensors
from .torch_load import check_stored, load_weights_only
from .training_formats import format_hint

if TYPE_CHECKING:
    import torch


def weight_files(folder: Path) -> tuple[list[Path], str]:
    """Return the weight files of a checkpoint folder and their kind, `safetensors` or `bin`.

    Raises:
        CheckpointError: there are none, or the index names one that is missing.
    """
    layout = find_weights(str(folder), lambda name: is_file(folder / name), lambda name: (folder / name).read_text())
    return [folder / name for name in layout.shards], layout.kind


@dataclass(frozen=True)
class WeightLayout:
    """The files that hold the weights of a checkpoint.

    Attributes:
        kind: `safetensors` or `bin`.
        shards: names of the weight files, in the order of their names.
        index: name of the index; None for weights in one file.
        place_of: the shard of every tensor, by the index; empty without one.
    """

    kind: Literal["safetensors", "bin"]
    shards: tuple[str, ...]
    index: str | None = None
    shard_of: Mapping[str, str] = field(default_factory=dict)


def find_weights(location: str, exists: Callable[[str], bool], read: Callable[[str], str]) -> WeightLayout:
    """Return the weight files of a checkpoint, in a folder or on the hub: safetensors before `.bin`, whole or sharded.

    Args:
        location: the folder or revision, for messages.
        exists: returns whether there is a file of that name.
        read: returns the text of a file.

    Raises:
        CheckpointError: there are none, or the index names one that is missing or lies outside the checkpoint.
    """
    kinds: tuple[tuple[Literal["safetensors", "bin"], str], ...]
    kinds = (("safetensors", "model.safetensors"), ("bin", "pytorch_model.bin"))
    for kind, name in kinds:
        if exists(name):
            return WeightLayout(kind, (name,))
        index = f"{name}.index.json"
        if exists(index):
            return _sharded(location, index, kind, exists, read)
    expected = "model.safetensors or pytorch_model.bin, whole or with an index"
    raise MissingFileError(f"{location}: no weights ({expected}){format_hint(Path(location))}")


def _sharded(
    location: str,
    index: str,
    kind: Literal["safetensors", "bin"],
    exists: Callable[[str], bool],
    read: Callable[[str], str],
) -> WeightLayout:
    try:
        shard_of = dict(json.loads(read(index))["weight_map"].items())
        if not all(isinstance(name, str) for name in shard_of.values()):
            raise ValueError("its weight_map does not name files")
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{location}/{index}: not a shard index ({one_line(error)})") from error
    shards = tuple(sorted(set(shard_of.values())))
    if not shards:
        raise CheckpointError(f"{location}/{index}: names no shard")
    for name in shards:
        if not is_inside(name):
            raise CheckpointError(f"{location}/{index}: shard {name[:80]!r} lies outside the checkpoint")
        if not exists(name):
            raise MissingFileError(f"{location}/{name}: the index names this shard, and it is missing")
    return WeightLayout(kind, shards, index, shard_of)


class SafeTensors(StoredTensors):
    """Tensors of safetensors files, read slice by slice."""

    def __init__(self, files: list[Path]) -> None:
        from safetensors import safe_open

        self._stored: dict[str, tuple[Any, Path, Entry]] = {}
        for file in files:
            entries = _header_of(file)
            try:
                opened: Any = safe_open(file, framework="pt")
            except Exception as error:  # the library raises no narrower class of its own
                if is_unmapped(error):
                    raise
                raise CheckpointError(f"{file}: not a sound safetensors file ({one_line(error)})") from error
            self._stored.update((key, (opened, file, entry)) for key, entry in entries.items())

    @property
    def keys(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(self._stored)

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self._stored[key][2].shape

    def dtype(self, key: str) -> str:
        """Return the type of its values, by the header."""
        return self._stored[key][2].dtype

    def shard(self, key: str) -> str:
        """Return the name of the file that holds a tensor."""
        return self._stored[key][1].name

    def rows(self, key: str, first: int, last: int) -> torch.Tensor:
        """Return the rows of a matrix, read from the file."""
        opened, file, entry = self._stored[key]
        try:
            tensor: torch.Tensor = opened.get_slice(key)[first:last]
        except Exception as error:  # the library raises no narrower class of its own
            if is_unmapped(error):
                raise
            raise CheckpointError(
                f"{file}: {key} is {entry.dtype}, which torch cannot read ({one_line(error)})"
            ) from error
        return tensor

    def size(self, key: str | None) -> int:
        """Return the stored size in bytes, by the offsets of the headers."""
        entries = [self._stored[k][2] for k in (self.keys if key is None else [key])]
        return sum(entry.last - entry.first for entry in entries)

    def raw(self, key: str) -> Iterator[bytes]:
        """Yield the stored bytes, by the offsets of the file's header."""
        _, file, entry = self._stored[key]
        with file.open("rb") as opened:
            opened.seek(entry.first)
            rest = entry.last - entry.first
            while rest and (piece := opened.read(min(rest, 1 << 22))):
                rest -= len(piece)
                yield piece


def _header_of(file: Path) -> dict[str, Entry]:
    try:
        with file.open("rb") as opened:

            def read(first: int, last: int) -> bytes:
                opened.seek(first)
                return opened.read(last - first)

            return read_header(str(file), file.stat().st_size, read)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror or error})") from error


class LoadedTensors(StoredTensors):
    """Tensors already in memory or memory-mapped: legacy PyTorch files, or a module's own.

    Args:
        tensors: by name.
        place_of: the file of each; empty for a module's own.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], shard_of: Mapping[str, str] | None = None) -> None:
        self._tensors = tensors
        self._place_of = shard_of or {}

    @property
    def keys(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(self._tensors)

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return tuple(self._tensors[key].shape)

    def dtype(self, key: str) -> str:
        """Return the type of its values."""
        name = str(self._tensors[key].dtype).removeprefix("torch.")
        return TYPES.get(name, name)

    def shard(self, key: str) -> str:
        """Return the name of the file that holds a tensor."""
        return self._place_of.get(key, "")

    def rows(self, key: str, first: int, last: int) -> torch.Tensor:
        """Return the rows of a matrix."""
        return self._tensors[key][first:last]

    def size(self, key: str | None) -> int:
        """Return the stored size in bytes."""
        tensors = self._tensors.values() if key is None else [self._tensors[key]]
        return sum(t.numel() * t.element_size() for t in tensors)

    def raw(self, key: str) -> Iterator[bytes]:
        """Yield the stored bytes, in row-major order."""
        import torch

        flat = self._tensors[key].detach().cpu().contiguous().flatten()
        for first in range(0, len(flat), 1 << 20):
            yield flat[first : first + (1 << 20)].view(torch.uint8).numpy().tobytes()


# Types of torch, as safetensors names them.
TYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
    "complex64": "C64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0",
    "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ",
}  # fmt: skip


def read_bin(files: Sequence[Path]) -> LoadedTensors:
    """Return the tensors of legacy PyTorch files, unpickled as weights only, memory-mapped where a file is a zip.

    Raises:
        CheckpointError: a file holds anything but a table of tensors.
    """
    import torch

    tensors: dict[str, torch.Tensor] = {}
    shard_of: dict[str, str] = {}
    for file in files:
        loaded = load_weights_only(file)
        if not isinstance(loaded, dict):
            raise CheckpointError(f"{file}: holds a {type(loaded).__name__}, not a table of tensors")
        held = {key: value for key, value in loaded.items() if isinstance(value, torch.Tensor)}
        for key, value in held.items():
            check_stored(file, key, value)
        tensors.update(held)
        shard_of.update(dict.fromkeys(held, file.name))
    return LoadedTensors(tensors, shard_of)
