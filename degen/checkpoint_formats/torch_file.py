"""Files of `torch.save`: `.ckpt` of Lightning, `.pt` of nanoGPT and of loops of one's own, `.pth`.

They are read as weights alone (`weights_only`), which runs no code, and mapped into memory: of a file with the states
of an optimiser only the weights are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.errors import CheckpointError
from degen.weights.open_weights import LoadedTensors
from degen.weights.stored_tensors import StoredTensors
from degen.weights.torch_load import check_stored, load_weights_only
from degen.weights.training_formats import find_training_format

from .checkpoint_format import CheckpointFormat
from .module_names import explain_head_alone, model_names
from .nanogpt import as_gpt2, gpt2_configuration

if TYPE_CHECKING:
    import torch

SUFFIXES = (".ckpt", ".pt", ".pth")
# Where a state dict lies in what was saved: of Lightning, of nanoGPT, and of loops after the examples of torch.
_TABLES = ("state_dict", "model", "model_state_dict", "module", "weights")
# What training leaves beside weights.
_BESIDE = re.compile(
    r"^(optim|optimizer|optimizers|scheduler|lr_scheduler|rng_state|rng|scaler|random_states|sampler|dl_state|dataloader"
    r"|training_args|trainer_state|train_state|common|loss|losses|meta|tokens|train|val)([_.\-\d].*)?$"
)


class TorchFile(CheckpointFormat):
    """A file of `torch.save`, or a folder with one such file."""

    def matches(self, path: Path) -> bool:
        """Return whether it is such a file, or a folder that holds one and no other."""
        return _file_of(path) is not None

    def files(self, path: Path) -> list[Path]:
        """Return the file."""
        return [file] if (file := _file_of(path)) is not None else []

    def open(self, path: Path) -> StoredTensors:
        """Return the tensors of the model under the names that they have within it; GPT-2's for nanoGPT's."""
        tensors = _saved(*_version_of(path))[0]
        return LoadedTensors(tensors, dict.fromkeys(tensors, self.files(path)[0].name))

    def state_dict(self, path: Path) -> dict[str, torch.Tensor]:
        """Return the tensors of the model, mapped into memory."""
        tensors, _, alone = _saved(*_version_of(path))
        if alone is not None:
            raise CheckpointError(f"{path}: no head of the configuration's shape in it, and {alone}")
        return tensors

    def head_alone(self, path: Path) -> str | None:
        """Return that names of Meta's Llama or of a training library tell no more than the head."""
        return _saved(*_version_of(path))[2]

    def configuration(self, path: Path) -> Mapping[str, Any] | None:
        """Return GPT-2's configuration where `model_args` of nanoGPT are in the file."""
        return _saved(*_version_of(path))[1]


def is_torch_file(path: Path) -> bool:
    """Return whether a file is one of torch that may hold weights, by its name."""
    return (
        path.suffix in SUFFIXES and _BESIDE.match(path.stem) is None and path.is_file()
        and find_training_format(path) is None
    )  # fmt: skip


def _file_of(path: Path) -> Path | None:
    """Return the file that a path is, or the only one in a folder."""
    try:
        if not path.is_dir():
            return path if is_torch_file(path) else None
        if find_training_format(path) is not None:
            return None
        files = [file for file in path.iterdir() if is_torch_file(file)]
        return files[0] if len(files) == 1 else None
    except OSError:
        return None


def _version_of(path: Path) -> tuple[Path, int, int]:
    """Return the file with its time and size, by which it is read once."""
    file = _file_of(path)
    if file is None:
        raise CheckpointError(f"{path}: no file of torch in it")
    try:
        status = file.stat()
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror or error})") from error
    return file, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=2)
def _saved(
    file: Path, _modified: int, _size: int
) -> tuple[dict[str, torch.Tensor], Mapping[str, Any] | None, str | None]:
    """Return the tensors of the model in a file, its configuration, and why no more than the head is read.

    The configuration is None where it is not in the file, the reason where all is read.
    """
    loaded = load_weights_only(file)
    table = _state_dict_in(file, loaded)
    for key, tensor in table.items():
        check_stored(file, key, tensor)
    tensors = {name: table[key] for name, key in model_names(str(file), table).items()}
    arguments = loaded.get("model_args") if isinstance(loaded, Mapping) else None
    if not isinstance(arguments, Mapping):
        return as_gpt2(tensors), None, explain_head_alone(table)
    return as_gpt2(tensors), gpt2_configuration(str(file), arguments), None


def _state_dict_in(file: Path, loaded: Any) -> dict[str, torch.Tensor]:
    """Return the state dict in what was saved.

    Raises:
        CheckpointError: there is none.
    """
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{file}: holds a {type(loaded).__name__}, and no table of tensors")
    for table in (*(loaded.get(name) for name in _TABLES), loaded):
        if isinstance(table, Mapping) and (tensors := _tensors(table)):
            return tensors
    names = ", ".join(sorted(str(name)[:40] for name in loaded)[:6]) or "nothing"
    raise CheckpointError(
        f"{file}: no state dict in it ({names}); save one, as torch.save(model.state_dict(), 'model.pt') does"
    )


def _tensors(table: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    import torch

    return {key: value for key, value in table.items() if isinstance(key, str) and isinstance(value, torch.Tensor)}
