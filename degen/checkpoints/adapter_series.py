"""Series of adapters: `base+adapter` as a user names it, and adapters whose own configurations name the base."""

from __future__ import annotations

import os.path
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TypeGuard

from degen.errors import CheckpointError, DegenError
from degen.paths import expand_user
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
    """Return base and adapter of a spec; None where it has no `+`.

    Of several `+` the first one behind an existing path separates the two.

    Raises:
        DegenError: a base without an adapter, or an adapter without a base.
    """
    signs = [index for index, character in enumerate(spec) if character == "+"]
    if not signs:
        return None
    split = next((index for index in signs if _exists(spec[:index])), signs[0])
    base, adapter = spec[:split], spec[split + 1 :]
    if not base or not adapter:
        raise DegenError(f"{spec!r}: an adapter on its base is written BASE+ADAPTER")
    return base, adapter


def are_paths(spec: str) -> bool:
    """Return whether a spec is an existing base and an existing adapter."""
    pair = split_adapter(spec) if spec.strip("+") == spec else None
    return pair is not None and all(map(_exists, pair))


def _exists(path: str) -> bool:
    return os.path.exists(os.path.expanduser(path))


def on_base(base: str, adapter: str, find: Find) -> list[Series]:
    """Return the series of some adapters on one base: of a folder of adapters, a single one, or revisions on the hub.

    A folder of such folders is several series.

    Args:
        base: the spec of a single checkpoint.
        adapter: a folder, or a name on the hub.
        find: returns the series of a spec without an adapter.

    Raises:
        DegenError: base or adapter does not exist, or the base is not one checkpoint.
    """
    _need_peft()
    on = _base(base, adapter, find)
    if not expand_user(adapter).is_dir() and (_exists(adapter) or not is_hub_name(adapter)):
        raise DegenError(
            f"{adapter}: no such adapter; it is a folder with {CONFIG}, a folder of such folders, or a name on the hub"
        )
    adapted = []
    for series in find(adapter):
        adapters = [c for c in series.checkpoints if isinstance(c.source, HubSource) or _has_settings(c.source)]
        if not adapters:
            raise DegenError(f"{series.root or adapter}: no adapter in it ({CONFIG})")
        kept = [_adapted(c, on) for c in series.checkpoints if c in adapters or c.step is not None]
        adapted.append(replace(series, checkpoints=tuple(kept)))
    return adapted


def on_own_bases(series: Series, find: Find) -> Series:
    """Return the series with its adapters, if it has any, on the bases that their configurations name.

    Raises:
        DegenError: a base is not named, or cannot be found.
    """
    adapters = [c.source.path for c in series.checkpoints if isinstance(c.source, LocalSource) and is_adapter(c.source)]
    if not adapters:
        return series
    _need_peft()
    named = {path: _named_base(path) for path in adapters}
    bases: dict[str, Base] = {}
    for path, name in named.items():
        if name is not None and name not in bases:
            try:
                bases[name] = _base(name, str(path), find)
            except DegenError as error:
                raise DegenError(f"{path}: its base cannot be found ({error}); write BASE+{path}") from error
    if not bases:
        read_settings(adapters[0] / CONFIG)
        raise DegenError(f"{adapters[0]}: its {CONFIG} names no base; write BASE+{adapters[0]}")
    return replace(series, checkpoints=tuple(_on_own_base(c, named, bases) for c in series.checkpoints))


def is_adapter(source: Source) -> bool:
    """Return whether a folder holds an adapter and no weights of a model; a `config.json` may be there."""
    return _has_settings(source) and not any((source.path / name).exists() for name in _MODELS)


def _has_settings(source: Source) -> TypeGuard[LocalSource]:
    return isinstance(source, LocalSource) and os.path.isfile(source.path / CONFIG)


def _base(spec: str, adapter: str, find: Find) -> Base:
    """Return the checkpoint that a spec names, and a folder beside it. A repository alone stands for its main branch.

    Raises:
        DegenError: the spec names several checkpoints, or an adapter.
    """
    models = find(f"{spec}@main" if "@" not in spec and is_hub_name(spec) and not _exists(spec) else spec)
    if len(models) > 1:
        raise DegenError(f"{spec}: a base is one checkpoint, and this is {len(models)} models; name one of them")
    series = models[0]
    first = series.checkpoints[0]
    if len(series.checkpoints) > 1:
        raise DegenError(
            f"{spec}: a base is one checkpoint, and this is a series of {len(series.checkpoints)}; "
            f"name one of them, as in {first.source}+{adapter}"
        )
    if isinstance(first.source, LocalSource) and is_adapter(first.source):
        raise DegenError(f"{spec}: is an adapter itself, and a base is a model; merge the two and name the result")
    if isinstance(first.source, LocalSource) and first.step is not None:
        return first.source, first.source.path.parent
    return first.source, series.root


def _named_base(folder: Path) -> str | None:
    """Return the base that an adapter's configuration names, as a spec; None where it names none or cannot be read."""
    try:
        settings = read_settings(folder / CONFIG)
    except CheckpointError:
        return None  # the error is met again, and reported, when the adapter is measured
    name, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    if not isinstance(name, str) or not name:
        return None
    for path in (os.path.join(folder, os.path.expanduser(name)), os.path.expanduser(name)):
        if os.path.exists(path):
            return os.path.realpath(path)
    return f"{name}@{revision}" if isinstance(revision, str) and revision else name


def _on_own_base(checkpoint: Checkpoint, named: Mapping[Path, str | None], bases: Mapping[str, Base]) -> Checkpoint:
    """Return an adapter on the base that it names, or else on that of the first that names one; a model as it is."""
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
