"""The check that windows are no longer than the learned positions of a model, as GPT-2 and OPT have them."""

from __future__ import annotations

from degen.errors import CheckpointError
from degen.model.architecture import Architecture
from degen.text.windows import Sample


def too_long(architecture: Architecture, longest: int, model: str = "the model") -> str | None:
    """Return a message if windows are longer than a model's learned positions; None if they are not.

    Args:
        architecture: of the model.
        longest: tokens of the longest window.
        model: the model's name in the message.
    """
    positions = architecture.positions
    if positions is None or longest <= positions:
        return None
    return f"windows of {longest} tokens, and {model} has {positions} learned positions; use --context {positions}"


def check_positions(architecture: Architecture, sample: Sample) -> None:
    """Check that no window is longer than the learned positions of a model.

    Raises:
        CheckpointError: one is.
    """
    if (reason := too_long(architecture, sample.longest)) is not None:
        raise CheckpointError(reason)
