"""Windows longer than the positions a model has learned, as GPT-2 and OPT have: such a model cannot read them."""

from __future__ import annotations

from degen.errors import CheckpointError
from degen.model.architecture import Architecture
from degen.text.windows import Sample


def too_long(architecture: Architecture, longest: int, model: str = "the model") -> str | None:
    """Return why windows are too long for a model, and what to do; None where they are not.

    Args:
        architecture: of the model.
        longest: the longest window, tokens.
        model: how the message calls the model.
    """
    positions = architecture.positions
    if positions is None or longest <= positions:
        return None
    return f"windows of {longest} tokens, and {model} has {positions} learned positions; use --context {positions}"


def check_positions(architecture: Architecture, sample: Sample) -> None:
    """Refuse windows that are longer than the positions a model has learned.

    Raises:
        CheckpointError: they are.
    """
    if (reason := too_long(architecture, sample.longest)) is not None:
        raise CheckpointError(reason)
