"""A configuration with some of its entries changed, as another size of the same model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from degen.errors import CheckpointError, DegenError, one_line
from degen.hints import did_you_mean

from .architecture import check_counts, count_layers


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
        DegenError: there is no such entry, or a size would be 0 or less.
        CheckpointError: transformers refuses the result.
    """
    changed = copy.deepcopy(dict(entries))
    for name, value in changes.items():
        _set_entry(config, changed, name, value, origin)
    check_counts(origin, changed)
    try:
        result = type(config).from_dict(changed)
        if count_layers(result) != count_layers(config):
            _drop_lists(changed, count_layers(config), {name.rpartition(".")[2] for name in changes})
            result = type(config).from_dict(changed)
        return result
    except Exception as error:  # transformers raises errors of any class for values that do not fit together
        raise CheckpointError(f"{origin}: transformers refuses these values ({one_line(error)})") from error


def _set_entry(config: Any, entries: dict[str, Any], name: str, value: Any, origin: str) -> None:
    """Set one entry, in place; a name may lead into a part of the file, as `text_config.hidden_size`."""
    first, dot, rest = name.partition(".")
    part = getattr(config, first, None)
    if dot and hasattr(part, "to_dict"):
        inner = entries.setdefault(first, {})
        _set_entry(part, inner if isinstance(inner, dict) else {}, rest, value, origin)
        return
    known = {**config.to_dict(), **entries}
    own = getattr(config, "attribute_map", {}).get(name, name)  # as n_layer for num_hidden_layers
    if own not in known:
        names = [*known, *getattr(config, "attribute_map", {})]
        names += [f"{key}.{inner}" for key, group in known.items() if isinstance(group, dict) for inner in group]
        raise DegenError(f"--set {name}={value}: {origin} has no such entry; {did_you_mean(name, names)}")
    present = known[own]
    sized = isinstance(present, int) and not isinstance(present, bool) and present > 0 and not own.endswith("_id")
    if sized and value is not None and (type(value) is not int or value <= 0):
        raise DegenError(f"--set {name}={value}: must be a whole number above 0, as the {present} in {origin}")
    entries.pop(name, None)
    entries[own] = value


def _drop_lists(entries: dict[str, Any], layers: int, kept: set[str]) -> None:
    """Remove the lists of one item a layer, in place, but for those of the names `kept`."""
    for name, value in list(entries.items()):
        if isinstance(value, dict):
            _drop_lists(value, layers, kept)
        elif isinstance(value, list) and len(value) == layers and name not in kept:
            del entries[name]
