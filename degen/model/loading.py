"""Loading a checkpoint as a module on a device; a parameter that is not in the files is an error."""

from __future__ import annotations

import logging as python_logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.checkpoint_formats.registry import format_of, open_tensors
from degen.device import is_out_of_memory
from degen.errors import CheckpointError, DegenError, one_line
from degen.weights.checkpoint_files import CheckpointFiles
from degen.weights.gguf_reader import quick_reader, without_vocabulary
from degen.weights.open_weights import weight_files

from .architecture import BUILD_LOCK, auto_class
from .merging import merge
from .stored_keys import check_unexpected, explain_missing, key_mapping

if TYPE_CHECKING:
    import torch


def silence_transformers() -> None:
    """Keep transformers, for this process, from printing and from asking the hub to convert weights to safetensors."""
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    from transformers.utils import logging

    python_logging.getLogger("accelerate.big_modeling").setLevel(python_logging.ERROR)
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def choose_device(name: str) -> torch.device:
    """Return the device that a user named; for `auto` an accelerator if there is one, else the CPU.

    Raises:
        DegenError: no such device here.
    """
    import torch

    try:
        if name == "auto":
            device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
            return device or torch.device("cpu")
        device = torch.device(name)
        torch.empty(1, device=device).item()  # `meta` has no memory to read from
    except (RuntimeError, AssertionError) as error:
        raise DegenError(f"--device {name}: not available here ({one_line(error)})") from error
    return device


def choose_dtype(name: str, device: torch.device) -> Any:
    """Return the dtype that a user named; for `auto` float32 on the CPU, and the checkpoint's own on an accelerator."""
    import torch

    if name == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    return getattr(torch, name)


def load_model(
    files: CheckpointFiles,
    config: Any,
    device: torch.device,
    dtype: Any,
    trust: bool = False,
    note: Callable[[str], None] = lambda _: None,
    device_map: str | Mapping[str, Any] | None = None,
) -> Any:
    """Return a checkpoint loaded as a causal LM, in evaluation mode on a device.

    Args:
        files: of the checkpoint, with all tensors.
        config: as `read_config` returns it.
        device: for the model.
        dtype: as transformers takes it.
        trust: whether Python code among the files may run.
        note: called with a remark on tensors that the text model has no part for.
        device_map: where the modules of the model go, as transformers takes it; None for all on `device`. What goes to
            the disk lies in a temporary folder for as long as the model lives.

    Raises:
        CheckpointError: files are missing or damaged, do not hold a parameter, which transformers alone would fill
            with random numbers, or hold a tensor that the model should take and does not.
    """
    if device_map is not None and files.adapter is not None:
        raise CheckpointError(
            f"{files.path}: an adapter cannot be merged into a model that is spread by --device-map; leave it out, or "
            "save the merged model first"
        )
    path, options = _where_from(files)
    folder = Path(tempfile.mkdtemp(prefix="degen-offload-")) if device_map is not None else None
    try:
        model = _load(files, config, path, options | _spreading(device_map, folder), dtype, trust, note)
    except BaseException:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if folder is not None:
        weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)
        return model
    model = model.to(device)
    return model if files.adapter is None else merge(model, files.adapter)


def _spreading(device_map: str | Mapping[str, Any] | None, folder: Path | None) -> dict[str, Any]:
    """Return the options of transformers that spread a model over devices, and its files over a folder."""
    if device_map is None:
        return {}
    return {"device_map": device_map, "offload_folder": str(folder), "offload_buffers": True}


def _load(
    files: CheckpointFiles,
    config: Any,
    path: Path | None,
    options: dict[str, Any],
    dtype: Any,
    trust: bool,
    note: Callable[[str], None],
) -> Any:
    """Return a checkpoint loaded by transformers, in evaluation mode, its keys checked; see `load_model`."""
    builder = _class_for(config, path)
    options |= {
        "config": config,
        "dtype": dtype,
        "output_loading_info": True,
        "local_files_only": True,
        "ignore_mismatched_sizes": True,  # the message below names them
        "adapter_kwargs": {"subfolder": "none"},  # else an adapter beside the weights would be applied
    }
    if path is not None:
        options["trust_remote_code"] = trust
    try:
        with BUILD_LOCK, quick_reader() if files.is_gguf else nullcontext(), without_vocabulary():
            model, info = builder.from_pretrained(path, **options)
    except ImportError as error:  # of a package that its kind of quantised weights needs
        raise CheckpointError(
            f"{files.path}: transformers needs another package to load it: {' '.join(str(error).split())}"
        ) from error
    except Exception as error:  # transformers raises errors of any class for a damaged file
        if is_out_of_memory(error):
            raise
        raise CheckpointError(f"{files.path}: cannot be loaded ({one_line(error)})") from error
    _check_keys(files, model, info, note)
    model.config.use_cache = False
    return model.eval()


def _where_from(files: CheckpointFiles) -> tuple[Path | None, dict[str, Any]]:
    """Return the path that transformers loads from, None for a state dict, and its options that belong to it."""
    state = format_of(files.path).state_dict(files.path)
    if state is not None:
        if files.adapter is not None:  # merging changes the weights in place, and the file may be mapped
            state = {key: tensor.clone() for key, tensor in state.items()}
        return None, {"state_dict": state}
    if files.is_gguf:
        return files.path.parent, {"gguf_file": files.path.name}
    _, kind = weight_files(files.path)
    options: dict[str, Any] = {"use_safetensors": kind == "safetensors", "weights_only": True}
    if files.config is not None:  # else it is looked for in the folder
        from transformers import GenerationConfig

        options["generation_config"] = GenerationConfig()
    if (mapping := key_mapping(open_tensors(files).keys)) is not None:
        options["key_mapping"] = mapping
    return files.path, options


def _class_for(config: Any, path: Path | None) -> Any:
    """Return the class that loads a model; for a state dict, which has no path, the model's own.

    Raises:
        CheckpointError: the model's own is Python code that comes with its configuration.
    """
    found = auto_class(config)
    if path is not None or not hasattr(found, "_model_mapping"):
        return found
    if type(config) not in found._model_mapping:
        raise CheckpointError(
            f"model type {config.model_type!r} is Python code that comes with a checkpoint, and a state dict cannot be "
            "loaded with it; write the model with save_pretrained"
        )
    own = found._model_mapping[type(config)]
    return own[0] if isinstance(own, tuple) else own


def _check_keys(files: CheckpointFiles, model: Any, info: Mapping[str, Any], note: Callable[[str], None]) -> None:
    """Check what transformers reports of the stored tensors: of other shapes, missing, or not taken.

    Raises:
        CheckpointError: one is not as the model needs it.
    """
    for key, stored, expected in sorted(info["mismatched_keys"], key=str):
        raise CheckpointError(
            f"{files.path}: {key} is {_size(stored)} in the files, and {_size(expected)} by the configuration; is its "
            "config.json that of these weights?"
        )
    if info["missing_keys"]:
        raise CheckpointError(f"{files.path}: {explain_missing(model, info['missing_keys'])}")
    if (remark := check_unexpected(str(files.path), model, info["unexpected_keys"])) is not None:
        note(remark)


def _size(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
