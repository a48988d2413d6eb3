"""A configuration with some of its entries changed, as another size of the same model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from degen.errors import CheckpointError, DegenError, one_line
from degen.hints import did_you_mean

from .architecture import count_layers, text_config
from .configuration import check_counts

_LAYERS = "num_hidden_layers"
MAX_SIZE = 1 << 24  # of an entry that is a whole number


def change_config(config: Any, entries: Mapping[str, Any], changes: Mapping[str, Any], origin: str) -> Any:
    """Return a configuration of transformers with some entries of its file changed.

    Entries that the file leaves to transformers follow from the changed ones, as the width of a head from hidden_size;
    so do lists of one item a layer, as `layer_types`, where the number of layers changes.

    Args:
        config: as transformers has read the file.
        entries: content of the file.
        changes: name of an entry -> its new value; `text_config.hidden_size` is one of a model of text and images.
        origin: the file, for messages.

    Raises:
        DegenError: there is no such entry, two names are of the same one, or a size would be 0 or less, or huge.
        CheckpointError: transformers refuses the result.
    """
    changed = copy.deepcopy(dict(entries))
    names: dict[str, str] = {}
    for name, value in changes.items():
        own = _set_entry(config, changed, name, value, origin)
        if (other := names.setdefault(own, name)) != name:
            raise DegenError(f"--set {name}={value}: {other} is another name of it in {origin}; leave out one of them")
    check_counts(origin, changed)
    own_names = {own.rpartition(".")[2] for own in names}
    if _LAYERS in own_names or text_config(config).attribute_map.get(_LAYERS) in own_names:
        _drop_lists(changed, count_layers(config), own_names)
    try:
        return type(config).from_dict(changed)
    except Exception as error:  # transformers raises errors of any class for values that do not fit together
        raise CheckpointError(f"{origin}: transformers refuses these values ({one_line(error)})") from error


def _set_entry(config: Any, entries: dict[str, Any], name: str, value: Any, origin: str) -> str:
    """Set one entry, in place, and return its own name; it may lead into a part, as `text_config.hidden_size`."""
    first, dot, rest = name.partition(".")
    part = getattr(config, first, None)
    if dot and hasattr(part, "to_dict"):
        inner = entries.setdefault(first, {})
        return f"{first}.{_set_entry(part, inner, rest, value, origin)}"
    known = {**entries, **config.to_dict()}
    own: str = getattr(config, "attribute_map", {}).get(name, name)  # as n_layer for num_hidden_layers
    if own not in known:
        raise DegenError(f"--set {name}={value}: {origin} has no such entry; {_hint(name, config, known)}")
    present = known[own]
    sized = isinstance(present, int) and not isinstance(present, bool) and present > 0 and not own.endswith("_id")
    if sized and value is not None and not (type(value) is int and 0 < value <= MAX_SIZE):
        limits = f"from 1 to {MAX_SIZE:,}"
        raise DegenError(f"--set {name}={value}: must be a whole number {limits}; it is {present} in {origin}")
    entries.pop(name, None)
    entries[own] = value
    return own


def _hint(name: str, config: Any, known: Mapping[str, Any]) -> str:
    """Return a hint on an entry that a configuration does not have; those of its parts have the part in front."""
    groups = sorted((key for key, value in known.items() if isinstance(value, dict)), key=lambda k: k != "text_config")
    inner = [f"{group}.{entry}" for group in groups for entry in known[group]]
    same = next((entry for entry in inner if entry.rpartition(".")[2] == name), None)
    return f"did you mean {same!r}?" if same else did_you_mean(name, [*known, *config.attribute_map, *inner])


def _drop_lists(entries: dict[str, Any], layers: int, kept: set[str]) -> None:
    """Remove the lists of one item a layer, in place, but for those of the names `kept`."""
    for name, value in list(entries.items()):
        if isinstance(value, dict):
            _drop_lists(value, layers, kept)
        elif isinstance(value, list) and len(value) == layers and name not in kept:
            del entries[name]
