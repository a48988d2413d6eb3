"""Series of adapters: `base+adapter` as a user names it, and adapters whose own configurations name the base."""

from __future__ import annotations

import os.path
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeGuard

from degen.errors import CheckpointError, DegenError
from degen.paths import path_of_spec
from degen.weights.peft_adapter import CONFIG, NEEDS_PEFT, read_settings

from .adapter_files import HubAdapter, LocalAdapter
from .adapter_source import AdapterSource
from .hub_series import is_hub_name
from .hub_source import HubSource
from .local import LocalSource
from .series import Checkpoint, Series
from .source import Source

# Files with the weights of a model. A folder with one of them is a checkpoint, even where an adapter lies beside it.
_MODELS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")

Find = Callable[[str], list[Series]]
Base = tuple[Source, Path | None]  # a base, and a folder beside it that may have its tokenizer


def split_adapter(spec: str) -> tuple[str, str] | None:
    """Return base and adapter of a spec `BASE+ADAPTER`; None where it has no `+`.

    Where the spec has several `+`, the first one behind an existing path separates the two.

    Raises:
        DegenError: the base or the adapter is empty.
    """
    signs = [index for index, character in enumerate(spec) if character == "+"]
    if not signs:
        return None
    split = next((index for index in signs if _exists(spec[:index])), signs[0])
    base, adapter = spec[:split], spec[split + 1 :]
    if not base or not adapter:
        raise DegenError(f"{spec!r}: a base must stand before the + and an adapter behind it; write BASE+ADAPTER")
    return base, adapter


def are_paths(spec: str) -> bool:
    """Return whether a spec has the form `BASE+ADAPTER` and both are existing paths."""
    pair = split_adapter(spec) if spec.strip("+") == spec else None
    return pair is not None and all(map(_exists, pair))


def _exists(path: str) -> bool:
    return os.path.exists(os.path.expanduser(path))


def on_base(base: str, adapter: str, find: Find) -> list[Series]:
    """Return the series whose checkpoints are adapters, each on one and the same base.

    A folder of such folders is several series.

    Args:
        base: the spec of a single checkpoint.
        adapter: a folder of an adapter or of several, or a name on the hub, perhaps with revisions.
        find: returns the series that a spec without an adapter names.

    Raises:
        DegenError: base or adapter does not exist, or the base is not one checkpoint.
    """
    _need_peft()
    on = find_base(base, adapter, find)
    if not path_of_spec(adapter).is_dir() and (_exists(adapter) or not is_hub_name(adapter)):
        raise DegenError(
            f"{adapter}: no such adapter; name a folder that holds {CONFIG}, a folder of such folders, or a repository "
            "on the hub"
        )
    adapted = []
    for series in find(adapter):
        adapters = [c for c in series.checkpoints if isinstance(c.source, HubSource) or _has_settings(c.source)]
        if not adapters:
            raise DegenError(
                f"{series.root or adapter}: no checkpoint here is an adapter, because none holds {CONFIG}; name the "
                "folder of an adapter"
            )
        kept = [_adapted(c, on) for c in series.checkpoints if c in adapters or c.step is not None]
        adapted.append(replace(series, checkpoints=tuple(kept)))
    return adapted


def on_own_bases(series: Series, find: Find) -> Series:
    """Return the series with each adapter in it put on the base that its configuration names.

    A series without adapters is returned as it is.

    Args:
        series: the series.
        find: returns the series that a spec without an adapter names.

    Raises:
        DegenError: no configuration names a base, or a base cannot be found.
    """
    adapters = [c.source.path for c in series.checkpoints if isinstance(c.source, LocalSource) and is_adapter(c.source)]
    if not adapters:
        return series
    _need_peft()
    named = {path: named_base(path) for path in adapters}
    bases: dict[str, Base] = {}
    for path, name in named.items():
        if name is not None and name not in bases:
            try:
                bases[name] = find_base(name, str(path), find)
            except DegenError as error:
                raise DegenError(
                    f"{path}: the base that this adapter names cannot be found ({error}); write BASE+{path}"
                ) from error
    if not bases:
        read_settings(adapters[0] / CONFIG)
        raise DegenError(f"{adapters[0]}: the {CONFIG} of this adapter names no base model; write BASE+{adapters[0]}")
    return replace(series, checkpoints=tuple(_on_own_base(c, named, bases) for c in series.checkpoints))


def is_adapter(source: Source) -> bool:
    """Return whether `source` is a folder that holds an adapter and no weights of a model.

    A `config.json` makes no difference.
    """
    return _has_settings(source) and not any((source.path / name).exists() for name in _MODELS)


def _has_settings(source: Source) -> TypeGuard[LocalSource]:
    return isinstance(source, LocalSource) and os.path.isfile(source.path / CONFIG)


def find_base(spec: str, adapter: str, find: Find) -> Base:
    """Return the checkpoint that a spec names, and a folder in which its tokenizer may be as well, or None.

    Args:
        spec: the spec of the base; a repository without a revision stands for its main branch.
        adapter: the adapter, for the error.
        find: returns the series that a spec without an adapter names.

    Raises:
        DegenError: the spec names several checkpoints, or an adapter.
    """
    models = find(f"{spec}@main" if "@" not in spec and is_hub_name(spec) and not _exists(spec) else spec)
    if len(models) > 1:
        raise DegenError(f"{spec}: a base must be one checkpoint, and these are {len(models)} models; name one of them")
    series = models[0]
    first = series.checkpoints[0]
    if len(series.checkpoints) > 1:
        raise DegenError(
            f"{spec}: a base must be one checkpoint, and this is a series of {len(series.checkpoints)}; "
            f"name one of them, as in {first.source}+{adapter}"
        )
    if isinstance(first.source, LocalSource) and is_adapter(first.source):
        raise DegenError(
            f"{spec}: a base must be a whole model, and this is an adapter; merge it into its own base, save that "
            "model and name its folder"
        )
    if isinstance(first.source, LocalSource) and first.step is not None:
        return first.source, first.source.path.parent
    return first.source, series.root


def named_base(folder: Path) -> str | None:
    """Return the base that the configuration of the adapter in `folder` names, as a spec.

    None where it names none, or cannot be read.
    """
    try:
        return base_in_settings(read_settings(folder / CONFIG), folder)
    except CheckpointError:
        return None  # the error is met again, and reported, when the adapter is measured


def base_in_settings(settings: Mapping[str, Any], folder: Path | None) -> str | None:
    """Return the base that an adapter's configuration names, as a spec; None where it names none.

    Args:
        settings: the configuration.
        folder: of the adapter, to which a path may be relative; None for one on the hub, which names no path here.
    """
    name, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    if not isinstance(name, str) or not name:
        return None
    if folder is not None:
        for path in (os.path.join(folder, os.path.expanduser(name)), os.path.expanduser(name)):
            if os.path.exists(path):
                return os.path.realpath(path)
    return f"{name}@{revision}" if isinstance(revision, str) and revision else name


def _on_own_base(checkpoint: Checkpoint, named: Mapping[Path, str | None], bases: Mapping[str, Base]) -> Checkpoint:
    """Return the checkpoint, if it is an adapter, on its base; any other checkpoint as it is.

    Args:
        checkpoint: the checkpoint.
        named: folder of each adapter -> the base that it names; None where it names none: it then gets the base of
            the first adapter that names one.
        bases: name of a base -> the base.
    """
    if not isinstance(checkpoint.source, LocalSource) or checkpoint.source.path not in named:
        return checkpoint
    name = named[checkpoint.source.path]
    return _adapted(checkpoint, bases[name] if name is not None else next(iter(bases.values())))


def _adapted(checkpoint: Checkpoint, base: Base) -> Checkpoint:
    source = checkpoint.source
    adapter = HubAdapter(source) if isinstance(source, HubSource) else LocalAdapter(Path(str(source)))
    return replace(checkpoint, source=AdapterSource(base[0], adapter, base[1]))


def _need_peft() -> None:
    if find_spec("peft") is None:
        raise DegenError(NEEDS_PEFT)
