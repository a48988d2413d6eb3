"""Files of `torch.save`, read as weights alone: nothing in them is executed, and zips are mapped into memory."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.device import is_unmapped
from degen.errors import CheckpointError, one_line

from .pickle_check import check_torch_zip

if TYPE_CHECKING:
    import torch


def load_weights_only(file: Path) -> Any:
    """Return what a file of torch holds, unpickled as weights only, memory-mapped where the file is a zip.

    Raises:
        CheckpointError: it cannot be read so, or would take more memory than its size explains.
    """
    import zipfile

    import torch

    try:
        is_zip = zipfile.is_zipfile(file)
        if is_zip:
            check_torch_zip(file)
        return torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # a stranger's pickle can fail in any way; none of it is executed
        if is_unmapped(error):
            raise
        raise CheckpointError(f"{file}: not readable as weights alone ({_unpickling(error)})") from error


def check_stored(file: Path, key: str, tensor: torch.Tensor) -> None:
    """Refuse a tensor of more values than are stored: a few bytes can be said to be a matrix of any size.

    Raises:
        CheckpointError: it is such a tensor, or of a kind that stores no matrix.
    """
    import torch

    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
        raise CheckpointError(f"{file}: {str(key)[:200]} is no plain tensor")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise CheckpointError(f"{file}: {str(key)[:200]} is larger than what is stored of it")


def _unpickling(error: Exception) -> str:
    """Return the line of torch's message that says what is wrong; other lines advise to unpickle the file unsafely.

    What Python's own errors say of bytes that are no pickle, as a key that is not in a table, helps nobody.
    """
    if isinstance(error, LookupError | EOFError | AttributeError | UnicodeError | TypeError | struct.error):
        return "no file of torch.save, or a damaged one; get or write it again"
    lines = [line for line in str(error).splitlines() if "unsupported" in line.lower()]
    return lines[-1].strip() if lines else one_line(error)
