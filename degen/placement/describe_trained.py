"""The architecture of a model that is being trained, when its parameters may be divided among processes."""

from __future__ import annotations

from typing import Any

from degen.errors import CheckpointError, one_line
from degen.model.architecture import BUILD_LOCK, Architecture, describe_module

from .shards import is_sharded, unsharded_class


def describe_trained(model: Any) -> Architecture:
    """Return the architecture of a causal LM; where it is sharded, that of the class and configuration it was made of.

    Raises:
        CheckpointError: it has no linear head that transformers names.
    """
    import torch

    if not is_sharded(model):
        return describe_module(model)
    kind: Any = unsharded_class(model)
    try:
        with BUILD_LOCK, torch.device("meta"):
            whole = kind._from_config(model.config, dtype=torch.float32)
    except Exception as error:  # code of any model
        raise CheckpointError(f"{kind.__name__} cannot be built from its configuration ({one_line(error)})") from error
    return describe_module(whole)
