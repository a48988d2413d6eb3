"""Folders of torch.distributed.checkpoint, as FSDP, accelerate, torchtitan, OLMo-core and Megatron-LM leave them.

Each piece of a tensor is a file of `torch.save` within a file; it is read by its byte range, as weights alone.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from degen.device import is_unmapped
from degen.errors import CheckpointError, one_line
from degen.weights.open_weights import TYPES
from degen.weights.pickle_check import check_torch_zip
from degen.weights.stored_tensors import StoredTensors

from .checkpoint_format import CheckpointFormat
from .distributed_metadata import METADATA, DistributedTensor, Piece, read_metadata
from .module_names import explain_head_alone, model_names

if TYPE_CHECKING:
    import torch

# Where the weights lie in a checkpoint: of accelerate, of OLMo-core, of NeMo.
_INNER = ("pytorch_model_fsdp_0", "model_and_optim", "weights", "model")
_RAW_ROWS = 4096  # rows at a time of what is hashed


class DistributedFolder(CheckpointFormat):
    """A folder with `.metadata`, or one that holds such a folder under a name that a library gives it."""

    def matches(self, path: Path) -> bool:
        """Return whether there is a `.metadata`."""
        return _folder_of(path) is not None

    def files(self, path: Path) -> list[Path]:
        """Return `.metadata` and the files beside it."""
        folder = _folder_of(path)
        return [folder / METADATA, *folder.glob("*.distcp")] if folder is not None else []

    def open(self, path: Path) -> StoredTensors:
        """Return the tensors of the model under the names that they have within it."""
        return _opened(path)

    def state_dict(self, path: Path) -> dict[str, torch.Tensor]:
        """Return every tensor of the model, put together."""
        if (reason := self.head_alone(path)) is not None:
            raise CheckpointError(f"{path}: no head of the configuration's shape in it, and {reason}")
        tensors = _opened(path)
        return {key: tensors.whole(key) for key in sorted(tensors.keys)}

    def head_alone(self, path: Path) -> str | None:
        """Return that names of torchtitan, OLMo-core or Megatron-LM tell no more than the head."""
        return explain_head_alone(read_metadata(_needed(path)))


def _folder_of(path: Path) -> Path | None:
    try:
        folders = (path, *(path / name for name in _INNER))
        return next((f for f in folders if (f / METADATA).is_file()), None)
    except OSError:
        return None


def _needed(path: Path) -> Path:
    folder = _folder_of(path)
    if folder is None:
        raise CheckpointError(f"{path}: no {METADATA} in it")
    return folder


def _opened(path: Path) -> DistributedTensors:
    folder = _needed(path)
    tensors = read_metadata(folder)
    return DistributedTensors(folder, {name: tensors[key] for name, key in model_names(str(folder), tensors).items()})


class DistributedTensors(StoredTensors):
    """Tensors of such a folder, put together from their pieces.

    The pieces of the tensor that was read last are kept, so that a head is read once.

    Args:
        folder: with the files.
        tensors: by name.
    """

    def __init__(self, folder: Path, tensors: Mapping[str, DistributedTensor]) -> None:
        self._folder = folder
        self._tensors = tensors
        self._read: dict[Piece, torch.Tensor] = {}
        self._read_key = ""

    @property
    def keys(self) -> frozenset[str]:
        """Names of all tensors."""
        return frozenset(self._tensors)

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self._tensors[key].shape

    def dtype(self, key: str) -> str:
        """Return the type of its values."""
        return TYPES.get(self._tensors[key].dtype, self._tensors[key].dtype)

    def shard(self, key: str) -> str:
        """Return the name of the file that holds a tensor's first piece."""
        return min((p.file for p in self._tensors[key].pieces), default="")

    def size(self, key: str | None) -> int:
        """Return the size of a tensor's values in bytes."""
        return sum(self._tensors[k].bytes for k in (self._tensors if key is None else [key]))

    def rows(self, key: str, first: int, last: int) -> torch.Tensor:
        """Return the rows of a matrix, put together from the pieces that they lie in."""
        import torch

        tensor = self._tensors[key]
        if key != self._read_key:
            self._read, self._read_key = {}, key
        inside = [p for p in tensor.pieces if p.offsets[0] < last and p.offsets[0] + p.sizes[0] > first]
        for piece in inside:
            if piece not in self._read:
                self._read[piece] = self._load(key, piece)
        if len(inside) == 1 and inside[0].sizes[1:] == tensor.shape[1:]:
            (piece,) = inside
            return self._read[piece][first - piece.offsets[0] : last - piece.offsets[0]]
        rows = torch.empty((min(last, tensor.shape[0]) - first, *tensor.shape[1:]), dtype=getattr(torch, tensor.dtype))
        for piece in inside:
            _place(rows, first, piece, self._read[piece])
        return rows

    def whole(self, key: str) -> torch.Tensor:
        """Return a whole tensor; none of its pieces is kept."""
        tensor = self._tensors[key]
        if not tensor.shape:
            return self._load(key, tensor.pieces[0])
        rows = self.rows(key, 0, tensor.shape[0])
        self._read, self._read_key = {}, ""
        return rows

    def raw(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of a tensor's values, in row-major order."""
        import torch

        if not self._tensors[key].shape:
            yield self.whole(key).reshape(1).view(torch.uint8).numpy().tobytes()
            return
        for first in range(0, self._tensors[key].shape[0], _RAW_ROWS):
            rows = self.rows(key, first, first + _RAW_ROWS).contiguous()
            yield rows.flatten().view(torch.uint8).numpy().tobytes()

    def _load(self, key: str, piece: Piece) -> torch.Tensor:
        """Return a piece, read from its bytes.

        Raises:
            CheckpointError: they are something else than the index says.
        """
        import torch

        file, expected = self._folder / piece.file, getattr(torch, self._tensors[key].dtype)
        try:
            with file.open("rb") as opened:
                opened.seek(piece.first)
                data = io.BytesIO(opened.read(piece.length))
            check_torch_zip(data)
            data.seek(0)
            loaded = torch.load(data, map_location="cpu", weights_only=True)
        except Exception as error:  # a stranger's bytes can fail in any way; none of it is executed
            if is_unmapped(error):
                raise
            raise CheckpointError(
                f"{file}: {key[:200]} is not readable as weights alone ({one_line(error)})"
            ) from error
        if not isinstance(loaded, torch.Tensor) or loaded.layout is not torch.strided or loaded.is_meta:
            raise CheckpointError(f"{file}: {key[:200]} is no plain tensor")
        if tuple(loaded.shape) != piece.sizes or loaded.dtype is not expected:
            raise CheckpointError(f"{file}: {key[:200]} is something else than {METADATA} says")
        return loaded.detach()


def _place(rows: torch.Tensor, first: int, piece: Piece, values: torch.Tensor) -> None:
    """Copy what a piece has of some rows of a tensor, which begin at `first`, to where it belongs."""
    top = piece.offsets[0] - first
    begin, end = max(top, 0), min(top + piece.sizes[0], len(rows))
    columns = tuple(slice(a, a + n) for a, n in zip(piece.offsets[1:], piece.sizes[1:], strict=True))
    rows[(slice(begin, end), *columns)] = values[begin - top : end - top]
