"""The configuration of a model: read from `config.json`, a GGUF file, or weights that give one, and checked."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from degen.checkpoint_formats.registry import find_format
from degen.errors import CheckpointError, MissingFileError, one_line, shorten_number
from degen.paths import is_file
from degen.weights.gguf_reader import quick_reader, without_vocabulary
from degen.weights.training_formats import format_hint

_PROVENANCE = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")

MAX_CONFIG = 1 << 24  # bytes of a configuration
MAX_COUNT = 4096  # layers of a model, or experts of a layer
_COUNT = re.compile(r"(^|_)(layers?|blocks|experts)$")  # entries that say how many modules there are


def read_config(path: Path, trust: bool = False) -> Any:
    """Return the transformers configuration of a checkpoint.

    Args:
        path: a folder with `config.json`, a `.json` file, a `.gguf` file, or weights in a format that gives the
            configuration.
        trust: whether Python code from the folder may run.

    Raises:
        CheckpointError: missing, not JSON, or of a model type that transformers does not know.
    """
    from transformers import AutoConfig

    is_gguf = path.suffix == ".gguf"
    if not is_gguf and not has_config(path):
        return _config_of_weights(path)
    if not is_gguf:
        check_json(config_file(path))
    try:
        if is_gguf:
            status = path.stat()
            return copy.deepcopy(_gguf_config(path, status.st_mtime_ns, status.st_size))
        return AutoConfig.from_pretrained(path, trust_remote_code=trust)
    except Exception as error:  # transformers raises errors of any class for a damaged file
        if not is_gguf and not trust and "auto_map" in check_json(config_file(path)):
            raise CheckpointError(
                f"{path}: its model type needs Python code that comes with it; read that code, and if you trust it, "
                "--trust-remote-code runs it"
            ) from error
        hint = "; is the file truncated?" if is_gguf else ""
        raise CheckpointError(f"{path}: its configuration cannot be used ({one_line(error)}){hint}") from error


def has_config(path: Path) -> bool:
    """Return whether a path is a folder with a `config.json`, or a `.json` file.

    Raises:
        CheckpointError: it has one that no file system could give.
    """
    return is_file(config_file(path)) and (path.is_dir() or path.suffix == ".json")


def config_file(path: Path) -> Path:
    """Return the file of a configuration: `config.json` of a folder, or the `.json` file that the path is."""
    return path if path.suffix == ".json" and is_file(path) else path / "config.json"


def _config_of_weights(path: Path) -> Any:
    """Return the configuration that weights without `config.json` give themselves.

    Raises:
        MissingFileError: they give none.
        CheckpointError: they cannot be read, or give one that cannot be used.
    """
    from transformers import AutoConfig

    known = find_format(path)
    entries = known.configuration(path) if known is not None else None
    if entries is None:
        hint = "; name one with --model-config ORG/MODEL or a folder" if known is not None else format_hint(path)
        raise MissingFileError(f"{path}: no config.json in it{hint}")
    check_counts(str(path), entries)
    try:
        return AutoConfig.for_model(**entries)
    except Exception as error:  # transformers raises errors of any class for entries that do not fit together
        raise CheckpointError(f"{path}: its configuration cannot be used ({one_line(error)})") from error


@lru_cache(maxsize=4)
def _gguf_config(path: Path, _modified: int, _size: int) -> Any:
    """Return the configuration of a GGUF file, cached: it takes as long as loading a small model."""
    from transformers import AutoConfig

    with quick_reader(), without_vocabulary():
        return AutoConfig.from_pretrained(path.parent, gguf_file=path.name, trust_remote_code=False)


def check_json(file: Path) -> dict[str, Any]:
    """Return the content of a configuration file.

    Raises:
        MissingFileError: it is not there.
        CheckpointError: it is not JSON, or has no model type.
    """
    if not is_file(file):
        raise MissingFileError(f"{file.parent}: no config.json in it{format_hint(file.parent)}")
    try:
        if file.stat().st_size > MAX_CONFIG:
            raise ValueError(f"it is larger than {MAX_CONFIG:,} bytes")
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: not JSON ({error})") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise CheckpointError(f"{file}: no model_type in it")
    check_counts(str(file), config)
    return config


def check_counts(origin: str, config: Mapping[str, Any]) -> None:
    """Refuse more layers or experts than a model has, before lists and modules are made of them.

    Args:
        origin: the file of the configuration, for the message.
        config: its entries.

    Raises:
        CheckpointError: there are more.
    """
    for name, value in config.items():
        if isinstance(value, dict):
            check_counts(origin, value)
        elif isinstance(value, int) and _COUNT.search(name) and value > MAX_COUNT:
            raise CheckpointError(
                f"{origin}: {name} {shorten_number(value)} is more than any model has ({MAX_COUNT:,})"
            )


def config_sha256(config: Any) -> str:
    """Return a hash of the entries of a configuration that define the model, without those on where it came from."""
    entries = {name: value for name, value in config.to_dict().items() if name not in _PROVENANCE}
    return hashlib.sha256(json.dumps(entries, sort_keys=True, default=str).encode()).hexdigest()
