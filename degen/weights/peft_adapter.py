"""An adapter of PEFT: its configuration and tensors, read and checked as far as possible without the base."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.device import is_out_of_memory
from degen.errors import CheckpointError, MissingFileError, one_line
from degen.paths import is_file

from .open_weights import SafeTensors, read_bin
from .stored_tensors import EMBEDDING_KEYS, HEAD_KEYS, StoredTensors

if TYPE_CHECKING:
    import torch

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")  # the first of them that is there
NEEDS_PEFT = "adapters need an extra: pip install 'degen-lm[peft]'"

# Kinds that leave every weight as it is and add what runs beside them.
ADDED_BESIDE = frozenset({"PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "CPT", "CARTRIDGE",
                          "ADAPTION_PROMPT"})  # fmt: skip

_PREFIX = "base_model.model."  # before a module's name in the files
_WRAPPED = (".base_layer", ".original_module", ".modules_to_save")  # PEFT may put one of them behind it
# Sizes in the configuration for which PEFT allocates memory before it reads a tensor of the files.
_SIZES = ("r", "init_r", "n_frequency", "num_vectors", "vector_length", "theta_d_length", "u")
_LARGE_R = ("LOKR", "ADAMSS")  # kinds whose r is cut to what a matrix has


@dataclass(frozen=True)
class Adapter:
    """An adapter whose files are open.

    Attributes:
        folder: where they are.
        config: PEFT's own configuration.
        tensors: the trained weights.
    """

    folder: Path
    config: Any
    tensors: StoredTensors

    @property
    def may_change_head(self) -> bool:
        """Whether it may change the head or its size, see the function `may_change_head`."""
        return may_change_head(self.tensors)

    @property
    def vocabulary(self) -> int | None:
        """Rows of the embedding or head that it replaces as a whole; None where it replaces neither."""
        for key in self.tensors.keys:
            if in_module(key) in (*HEAD_KEYS, *EMBEDDING_KEYS):
                return self.tensors.shape(key)[0]
        return None

    def loaded(self) -> dict[str, torch.Tensor]:
        """Return every tensor by its name."""
        return {key: self.tensors.rows(key, 0, self.tensors.shape(key)[0]) for key in self.tensors.keys}


def read_settings(file: Path) -> dict[str, Any]:
    """Return the content of an `adapter_config.json`.

    Raises:
        CheckpointError: it is missing, or not the configuration of an adapter.
    """
    if not is_file(file):
        raise MissingFileError(f"{file.parent}: no {CONFIG} in it")
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: not JSON ({one_line(error)})") from error
    if not isinstance(settings, dict) or not isinstance(settings.get("peft_type"), str):
        raise CheckpointError(f"{file}: no peft_type in it")
    return settings


def open_tensors(folder: Path) -> StoredTensors:
    """Return the tensors of an adapter folder. Of a legacy `.bin` file weights alone are read, and no code is run.

    Raises:
        CheckpointError: there are none, or they cannot be read.
    """
    for name in WEIGHTS:
        if is_file(folder / name):
            return SafeTensors([folder / name]) if name.endswith(".safetensors") else read_bin([folder / name])
    raise MissingFileError(f"{folder}: no adapter weights ({' or '.join(WEIGHTS)})")


def may_change_head(tensors: StoredTensors) -> bool:
    """Return whether an adapter may change the head.

    It may where a tensor lies outside the blocks, which have a number in their names.
    """
    return not all(key.startswith(_PREFIX) and any(p.isdecimal() for p in key.split(".")) for key in tensors.keys)


def open_adapter(folder: Path) -> Adapter:
    """Return an adapter with its files open, its configuration checked as far as possible without the base.

    Raises:
        CheckpointError: files are missing or damaged, or the kind of adapter cannot be merged into a causal LM.
    """
    settings = read_settings(folder / CONFIG)
    _check_purpose(folder, settings)
    with peft_errors(f"{folder / CONFIG}: cannot be used"):
        from peft import PEFT_TYPE_TO_CONFIG_MAPPING

        kind = settings["peft_type"]
        if kind not in PEFT_TYPE_TO_CONFIG_MAPPING:
            raise CheckpointError(f"{folder / CONFIG}: the installed peft knows no peft_type {kind!r}")
        config = PEFT_TYPE_TO_CONFIG_MAPPING[kind].from_pretrained(str(folder))
        config.inference_mode = True
    if config.is_prompt_learning or config.is_adaption_prompt or kind == "XLORA":
        raise CheckpointError(
            f"{folder}: {kind} does not change the weights of its base but what runs beside them; "
            "adapters are measured merged, and this one cannot be"
        )
    known = {field.name for field in fields(config)}
    if unknown := [name for name, value in settings.items() if value and name not in known | {"runtime_config"}]:
        raise CheckpointError(
            f"{folder / CONFIG}: the installed peft does not know {unknown[0]} and would leave it out; update peft"
        )
    tensors = open_tensors(folder)
    _check_sizes(folder, settings, tensors)
    return Adapter(folder, config, tensors)


def _check_purpose(folder: Path, settings: dict[str, Any]) -> None:
    """Check that an adapter is made for a causal LM of transformers, needs no other code, and can be merged.

    Raises:
        CheckpointError: it is not.
    """
    file, task = folder / CONFIG, settings.get("task_type")
    if task not in (None, "CAUSAL_LM"):
        raise CheckpointError(f"{file}: made for {task}, and only adapters of causal LMs are measured")
    mapping = settings.get("auto_mapping") or {}
    library = mapping.get("parent_library", "transformers") if isinstance(mapping, dict) else mapping
    if str(library).split(".")[0] not in ("transformers", "transformers_modules"):
        raise CheckpointError(f"{file}: made for a model of the package {str(library)!r}, which is not imported")
    if settings.get("megatron_config") is not None:
        raise CheckpointError(f"{file}: made for Megatron's layers, and models of transformers are measured")
    if settings.get("layer_replication") is not None:
        raise CheckpointError(f"{file}: repeats layers of its base, which cannot be merged then")
    if str(begin := settings.get("init_lora_weights")).startswith("pissa_niter"):
        raise CheckpointError(
            f"{file}: PiSSA ({begin}) trained it on a base without some singular vectors, which were found at random "
            "and are not stored; let PEFT convert the adapter to plain LoRA"
        )


def _check_sizes(folder: Path, settings: dict[str, Any], tensors: StoredTensors) -> None:
    """Check that no size in the configuration is larger than the tensors; in some kinds a huge `r` means whole ones.

    Raises:
        CheckpointError: one is.
    """
    largest = max((size for key in tensors.keys for size in tensors.shape(key)), default=0)
    patterns = settings.get("rank_pattern")
    sizes = {name: settings.get(name) for name in _SIZES if name != "r" or settings["peft_type"] not in _LARGE_R}
    for name, size in (sizes | (patterns if isinstance(patterns, dict) else {})).items():
        if isinstance(size, int | float) and size > largest:
            raise CheckpointError(f"{folder / CONFIG}: {name} is {size:,}, and its largest tensor has {largest:,} rows")


def in_module(key: str) -> str:
    """Return the name of a tensor in the model without adapter, given its name in the adapter's files."""
    for part in _WRAPPED:
        key = key.replace(f"{part}.", ".")
    return key.removeprefix(_PREFIX)


@contextmanager
def peft_errors(problem: str) -> Iterator[None]:
    """Silence PEFT's warnings in the block, and turn its errors into one message.

    Args:
        problem: the beginning of the message, as in `FILE: cannot be used`; PEFT's own follows in brackets.

    Raises:
        CheckpointError: the block met an error. Out of memory is raised as it is.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (CheckpointError, MemoryError):
        raise
    except ModuleNotFoundError as error:
        raise CheckpointError(NEEDS_PEFT if error.name == "peft" else f"{problem} ({one_line(error)})") from error
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise CheckpointError(f"{problem} ({one_line(error)})") from error
