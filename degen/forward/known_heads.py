"""What an earlier checkpoint of the same configuration showed of its logits, taken for granted until it is checked.

A small call of a model keeps an accelerator waiting: to ask for it takes longer than to compute it. So what a model
does to its logits is measured by calls of its own for the first checkpoint of a configuration alone; in a later one the
head is handed the same states beside its own, in the first batch, and must do the same to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from degen.errors import CheckpointError
from degen.model.architecture import find_head
from degen.model.logit_transform import LogitTransform
from degen.placement.output_layer import output_layer
from degen.probe import OutputHead

from .fit_transform import compare_products, fit_products

if TYPE_CHECKING:
    import torch

Key = tuple[Any, ...]  # a configuration, the dtype, the length of the longest window

_known: dict[Key, LogitTransform] = {}
_changing: set[Key] = set()  # whose checkpoints differ in what they do to logits


class HeadChangedError(CheckpointError):
    """A checkpoint does to its logits what an earlier one of its configuration did not; measure it anew."""


def known_head(model: Any, key: Key) -> OutputHead | None:
    """Return the head of a model by what was measured of its configuration; None where nothing was."""
    if key not in _known:
        return None
    head = output_layer(model)
    return OutputHead(head.weight, head.bias, _known[key])


def remember_head(model: Any, key: Key, head: OutputHead) -> None:
    """Keep what was measured of a head for later checkpoints, unless the head has a bias that only a call shows."""
    if head.bias is getattr(find_head(model), "bias", None) and key not in _changing:
        _known[key] = head.transform


def check_known(
    model: Any,
    key: Key,
    given: torch.Tensor,
    own: torch.Tensor,
    tolerances: Mapping[str, float],
    read: Callable[..., None],
) -> None:
    """Check that a model does to its logits what is known of its configuration.

    Args:
        model: the causal LM.
        key: of its configuration.
        given: the states that the head was handed, T × d, as `ladder` makes them.
        own: the logits that the model gave for them, T × V.
        tolerances: largest difference allowed, relative to the largest logit, by dtype.
        read: calls a function with tensors once they are on the host; the check is made then.

    Raises:
        HeadChangedError: it does something else.
    """

    def judge(both: Any) -> None:
        import torch

        if fit_products(model, torch.from_numpy(both), given.dtype, tolerances) != (_known.get(key), False):
            _known.pop(key, None)
            _changing.add(key)
            raise HeadChangedError(
                f"model type {model.config.model_type!r}: this checkpoint does something else to its logits than an "
                "earlier one of the same configuration; scan it again, alone"
            )

    read(judge, compare_products(output_layer(model, given.dtype), given, own))
