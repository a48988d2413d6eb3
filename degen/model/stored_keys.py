"""Every stored tensor of a checkpoint is taken by its model, known to be harmless, or named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from degen.errors import CheckpointError
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


def explain_missing(model: Any, missing: Iterable[str]) -> str:
    """Return which parameters of a model the files do not hold, and what to do about it."""
    names = sorted(missing)
    problem = f"the files do not hold {name_some(names, 1)}, which the model needs"
    head = model.get_output_embeddings()
    if len(names) == 1 and head is not None and model.get_submodule(names[0].rpartition(".")[0]) is head:
        return f"{problem}; if its head is the input embedding, set tie_word_embeddings to true in its config.json"
    return f"{problem}; is its config.json that of these weights, and was it saved whole?"
