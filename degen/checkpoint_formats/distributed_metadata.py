"""The `.metadata` of torch.distributed.checkpoint: which tensors there are, and in which bytes of which files.

It is a pickle, and torch reads it as one, so that a stranger's could run anything. Here no class of torch is made and
nothing of a stranger's is called: a name of the few that such a file needs stands for a record that only keeps what it
is given, and any other name is refused.

Source: https://github.com/pytorch/pytorch, torch/distributed/checkpoint/metadata.py and filesystem.py
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from degen.device import is_unmapped
from degen.errors import CheckpointError, one_line
from degen.paths import is_inside
from degen.weights.pickle_check import MAX_PICKLE, check_pickle

METADATA = ".metadata"
MAX_DIMENSIONS = 16
_RECORDS = (
    *(("torch.distributed.checkpoint.metadata", name) for name in (
        "Metadata", "TensorStorageMetadata", "BytesStorageMetadata", "TensorProperties", "ChunkStorageMetadata",
        "MetadataIndex", "StorageMeta", "_MEM_FORMAT_ENCODING")),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.serialization", "_get_layout"),
    *((module, name) for module in ("pathlib", "pathlib._local") for name in ("PosixPath", "WindowsPath")),
)  # fmt: skip
_BYTES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1,
    "float8_e5m2fnuz": 1, "float8_e8m0fnu": 1, "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "uint16": 2,
    "uint32": 4, "uint64": 8, "bool": 1, "complex64": 8, "complex128": 16,
}  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """A rectangular part of a tensor, in a byte range of a file.

    Attributes:
        offsets: where it begins, one number a dimension.
        sizes: its shape.
        file: name of the file.
        first: its first byte there.
        length: number of bytes, those of a file of `torch.save`.
    """

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    file: str
    first: int
    length: int


@dataclass(frozen=True)
class DistributedTensor:
    """A tensor that is stored in pieces.

    Attributes:
        dtype: as torch names it, `float32`.
        shape: of the whole.
        pieces: that cover it.
    """

    dtype: str
    shape: tuple[int, ...]
    pieces: tuple[Piece, ...]

    @property
    def bytes(self) -> int:
        """Size of its values."""
        return math.prod(self.shape) * _BYTES[self.dtype]


def read_metadata(folder: Path) -> Mapping[str, DistributedTensor]:
    """Return every tensor of a checkpoint by name; what is stored beside them, as numbers and texts, is left out.

    Args:
        folder: with `.metadata` and the files that it names.

    Raises:
        CheckpointError: the metadata is not sound: it names other classes, files outside the folder or bytes outside
            the files, or pieces that do not make up their tensors.
    """
    file = folder / METADATA
    try:
        status = file.stat()
        if status.st_size > MAX_PICKLE:
            raise CheckpointError(f"{file}: has {status.st_size:,} bytes, and {MAX_PICKLE:,} are allowed")
        return _read(file, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror or error})") from error


@lru_cache(maxsize=4)
def _read(file: Path, _modified: int, _size: int) -> Mapping[str, DistributedTensor]:
    data = file.read_bytes()
    try:
        check_pickle(data)
        metadata: Any = _Unpickler(io.BytesIO(data)).load()
        tensors = _tensors(metadata, _file_sizes(file.parent))
    except Exception as error:  # a stranger's pickle can fail in any way
        if is_unmapped(error):
            raise
        raise CheckpointError(f"{file}: not a sound index of a checkpoint ({one_line(error, 300)})") from error
    return tensors


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows the names of such a file alone; each stands for something new that does nothing.

    What a stranger's pickle changes in them ends with it.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._known: dict[tuple[str, str], Any] = {key: _record(key[1]) for key in _RECORDS}
        self._known["collections", "OrderedDict"] = type("OrderedDict", (dict,), {})
        self._known["torch", "Size"] = lambda sizes=(): tuple(sizes)

    def find_class(self, module: str, name: str, /) -> Any:
        """Return what a name stands for.

        Raises:
            UnpicklingError: no such name is needed.
        """
        if module == "torch" and name in _BYTES:
            return name
        if (module, name) not in self._known:
            raise pickle.UnpicklingError(f"it names {module[:80]}.{name[:80]}, which no index needs; nothing was run")
        return self._known[module, name]


def _record(name: str) -> type:
    """Return a new class whose objects keep what a pickle gives them."""

    def ignore(self: Any, *_: Any) -> None:
        pass

    def keep(self: Any, state: Any) -> None:
        self.__dict__.update(state if isinstance(state, dict) else {"state": state})

    return type(name, (), {"__init__": ignore, "__setstate__": keep})


def _tensors(metadata: Any, files: Mapping[str, int]) -> dict[str, DistributedTensor]:
    ranges: dict[tuple[str, tuple[int, ...]], Any] = {}
    for index, info in metadata.storage_data.items():
        if getattr(index, "offset", None) is not None:  # none: no tensor
            ranges[index.fqn, _numbers(index.offset)] = info
    tensors = {}
    for name, stored in metadata.state_dict_metadata.items():
        if hasattr(stored, "chunks"):
            tensors[str(name)] = _tensor(str(name), stored, ranges, files)
    pieces = {(p.file, p.first): p for tensor in tensors.values() for p in tensor.pieces}
    if len(pieces) < sum(len(t.pieces) for t in tensors.values()):
        raise ValueError("two tensors are the same bytes")
    if sum(p.length for p in pieces.values()) > sum(files.values()):
        raise ValueError("its tensors overlap in the files")
    return tensors


def _tensor(name: str, stored: Any, ranges: Mapping[Any, Any], files: Mapping[str, int]) -> DistributedTensor:
    shown = name[:200]
    properties = stored.properties
    dtype = properties.state[0] if hasattr(properties, "state") else properties.dtype
    if dtype not in _BYTES:
        raise ValueError(f"{shown} is of no dtype that is known")
    shape = _numbers(stored.size)
    pieces = []
    for chunk in stored.chunks:
        offsets, sizes = _numbers(chunk.offsets), _numbers(chunk.sizes)
        pieces.append(_piece(shown, offsets, sizes, ranges[name, offsets], files))
        if math.prod(sizes) * _BYTES[dtype] > pieces[-1].length:
            raise ValueError(f"{shown}: {_size(sizes)} values of {dtype} are not {pieces[-1].length:,} bytes")
        if len(offsets) != len(shape) or len(sizes) != len(shape):
            raise ValueError(f"{shown}: a piece has other dimensions than {_size(shape)}")
        if any(a + n > whole for a, n, whole in zip(offsets, sizes, shape, strict=True)):
            raise ValueError(f"{shown}: a piece lies outside {_size(shape)}")
    if len({p.offsets for p in pieces}) < len(pieces) or sum(math.prod(p.sizes) for p in pieces) != math.prod(shape):
        raise ValueError(f"{shown}: its pieces do not make up {_size(shape)}")
    return DistributedTensor(dtype, shape, tuple(pieces))


def _piece(name: str, offsets: tuple[int, ...], sizes: tuple[int, ...], info: Any, files: Mapping[str, int]) -> Piece:
    file, (first, length) = info.relative_path, _numbers((info.offset, info.length))
    if not isinstance(file, str) or not is_inside(file) or "/" in file:
        raise ValueError(f"{name} would be in {str(file)[:80]!r}, outside the folder")
    if file not in files:
        raise ValueError(f"{name} is in {file}, which is missing")
    if first + length > files[file]:
        raise ValueError(
            f"{name} would be at bytes {first:,} to {first + length:,} of {file}, which has {files[file]:,}"
        )
    if getattr(info, "transform_descriptors", None):
        raise ValueError(f"{name} is stored compressed, which cannot be read; save without transforms")
    return Piece(offsets, sizes, file, first, length)


def _numbers(values: Any) -> tuple[int, ...]:
    """Return some whole numbers, as offsets and sizes are."""
    numbers = tuple(values)
    if len(numbers) > MAX_DIMENSIONS or any(type(n) is not int or not 0 <= n < 1 << 62 for n in numbers):
        raise ValueError("an offset or a size is none")
    return numbers


def _file_sizes(folder: Path) -> dict[str, int]:
    """Return the size of every regular file in a folder."""
    return {p.name: p.stat().st_size for p in folder.iterdir() if p.is_file() and not p.is_symlink()}


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "1"
