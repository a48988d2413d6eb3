"""Every stored tensor of a checkpoint is taken by its model, known to be harmless, or named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from degen.errors import CheckpointError
from degen.weights.stored_tensors import StoredTensors
from degen.weights.tensor_kinds import WRAPPERS, explain, is_harmless, name_some


def check_unexpected(location: str, model: Any, keys: Iterable[str]) -> str | None:
    """Check the stored tensors that a model did not take.

    Args:
        location: the checkpoint, for messages.
        model: as it was loaded.
        keys: names of the tensors, as transformers has renamed them.

    Returns:
        A note on the modules that the text model has not and that were left out, as a vision tower; None without any.

    Raises:
        CheckpointError: a tensor belongs to a part of the model that is used.
    """
    left = [key for key in keys if not is_harmless(key)]
    outside = {id(model), id(getattr(model, model.base_model_prefix, None))}
    ours = [key for key in left if id(_deepest_module(model, key)) not in outside]
    if ours:
        first = sorted(ours)[0]
        alike = [key for key in ours if explain(key) == explain(first)]
        raise CheckpointError(
            f"{location}: holds {name_some(alike)}, which {type(model).__name__} does not take: {explain(first)}"
        )
    modules = sorted({_top_module(model, key) for key in left})
    return f"left out, as the text model has no such part: {', '.join(modules)}" if modules else None


def _deepest_module(model: Any, key: str) -> Any:
    """Return the deepest module of a model that a tensor's name leads to."""
    module = model
    for part in key.split("."):
        if (inner := module._modules.get(part)) is None:
            return module
        module = inner
    return module


def _top_module(model: Any, key: str) -> str:
    """Return the name of the outermost module in a tensor's name that the model has not."""
    parts, module, name = key.split("."), model, []
    for part in parts:
        name.append(part)
        if (module := module._modules.get(part)) is None:
            break
    return ".".join(name)


def key_mapping(keys: Iterable[str]) -> dict[str, str] | None:
    """Return how transformers is to rename keys that a wrapper of torch put something before; None where none did."""
    names = list(keys)
    return {WRAPPERS.pattern: ""} if names and all(WRAPPERS.match(key) for key in names) else None


def explain_missing(tensors: StoredTensors, missing: Iterable[str], tie: bool) -> str:
    """Return what to do about parameters that the files do not hold.

    Args:
        tensors: that the files do hold.
        missing: names of the parameters.
        tie: whether the model would be whole if its head were its embedding.
    """
    names = sorted(missing)
    if tie:
        return f"{names[0]}; if the head is the input embedding, set tie_word_embeddings to true in config.json"
    stored = name_some(tensors.keys, 1)
    return f"{name_some(names, 1)}, which the model needs; they hold {stored}: is this their config.json?"


def untied(stored: StoredTensors, head: str, embedding: str | None) -> bool:
    """Return whether a head in the files is another matrix than the input embedding in the files."""
    if embedding is None or embedding == head:
        return False
    if stored.shape(head) != stored.shape(embedding):
        return True
    return stored.sha256(head) != stored.sha256(embedding)


def renamed(keys: Iterable[str]) -> Mapping[str, str]:
    """Return the stored name of every tensor by its name without what wrappers put before it."""
    return {WRAPPERS.sub("", key): key for key in keys}
