"""What has to be known of a model before a pass: its head, its blocks, and whether short windows may be padded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.device import copied_ahead, exact_float32
from degen.errors import CheckpointError
from degen.model.architecture import find_head, text_config
from degen.model.configuration import config_sha256
from degen.model.logit_tolerances import OTHER_CALL, SAME_CALL
from degen.placement.output_layer import without_gradients
from degen.placement.shards import is_sharded, whole_shape
from degen.probe import Batch, OutputHead, StreamProbe
from degen.text.windows import Sample

from .block_calls import NO_BLOCKS, TOKENS, BlockCalls, watch_blocks
from .find_readout import find_readout
from .fit_transform import measure_head
from .hooks import ModelHooks
from .known_heads import Key, known_head

if TYPE_CHECKING:
    import torch

_TOKENS_OF_HEAD = 16  # of the call that measures what is done to logits
_LENGTH_DEPENDENT = ("dynamic", "longrope")  # rotary embeddings that change with the longest window of a batch

_blocks: dict[str, BlockCalls] = {}  # by configuration
_padded: dict[tuple[Any, ...], bool] = {}  # by configuration, lengths of windows and dtype


@dataclass(frozen=True)
class PreparedModel:
    """A model with what a pass has to know of it.

    Attributes:
        model: a causal LM on its device.
        head: its LM head, and what the model does to logits.
        blocks: the calls of its blocks.
        padded: whether a window gives in a padded batch what it gives alone.
        key: of its configuration, for `known_heads`.
        is_known: whether `head` is what is known of its configuration, and is still to be checked.
    """

    model: Any
    head: OutputHead
    blocks: BlockCalls
    padded: bool
    key: Key
    is_known: bool


def prepare(
    model: Any,
    sample: Sample,
    probes: Mapping[str, StreamProbe],
    batch_tokens: int,
    device: torch.device,
    trusts: bool = False,
) -> PreparedModel:
    """Return a model with what a pass has to know of it, from a few small calls.

    Blocks and padding are looked at once for each configuration.

    Args:
        model: a causal LM on `device`.
        sample: the windows.
        probes: that will be updated, by name.
        batch_tokens: padded tokens of a batch at most.
        device: where the model is.
        trusts: whether to take for granted what is known of its configuration.

    Raises:
        CheckpointError: the model cannot be measured.
    """
    import torch

    check_ids(model, sample)
    window = max(sample.windows, key=lambda w: len(w.tokens))
    ids = torch.from_numpy(window.tokens[:_TOKENS_OF_HEAD].astype(np.int64)).unsqueeze(0)
    ids = copied_ahead(ids, device)
    key = f"{type(model).__module__}.{type(model).__name__} {config_sha256(model.config)}"
    of_head: Key = (key, model.dtype, len(window.tokens))
    with without_gradients(model), exact_float32():
        known = known_head(model, of_head) if trusts and not is_sharded(model) else None
        head = known if known is not None else measure_head(model, find_head(model), ids, SAME_CALL)
        if key not in _blocks and any("states" in probe.needs for probe in probes.values()):
            _blocks[key] = watch_blocks(model, ids[:, :TOKENS], text_config(model.config).hidden_size)
        if any("readout" in probe.needs for probe in probes.values()):
            head = replace(head, readout=find_readout(model, ids[:, :TOKENS], _blocks.get(key, NO_BLOCKS)))
        padded = may_pad(model, sample, batch_tokens, device, key)
    return PreparedModel(model, head, _blocks.get(key, NO_BLOCKS), padded, of_head, known is not None)


def check_ids(model: Any, sample: Sample) -> None:
    """Check that the model has a row for every id; the tokenizer of another model may have more."""
    rows = min(whole_shape(model.get_input_embeddings())[0], whole_shape(find_head(model))[0])
    largest = max(int(w.tokens.max()) for w in sample.windows)
    if largest >= rows:
        raise CheckpointError(
            f"the tokenizer gives id {largest}, and the model has {rows} rows: is it this model's tokenizer? "
            "--tokenizer names another"
        )


def may_pad(model: Any, sample: Sample, batch_tokens: int, device: torch.device, key: str) -> bool:
    """Return whether the shortest window gives the same states beside a long one as alone.

    Args:
        model: a causal LM on `device`.
        sample: the windows.
        batch_tokens: padded tokens of a batch at most.
        device: where the model is.
        key: of the configuration.
    """
    order = sorted(sample.windows, key=lambda w: len(w.tokens))
    short = order[0]
    long = next((w for w in reversed(order) if 2 * len(w.tokens) <= batch_tokens), short)
    if len(long.tokens) == len(short.tokens):
        return True
    if any(getattr(m, "rope_type", None) in _LENGTH_DEPENDENT for m in model.modules()):
        return False
    lengths = len(short.tokens), len(long.tokens)
    known = (key, lengths, model.dtype)
    if known not in _padded:
        same = _same_when_padded(model, short.tokens, long.tokens, device)
        if same is None:
            return True
        _padded[known] = same
    return _padded[known]


def _same_when_padded(model: Any, short: Any, long: Any, device: torch.device) -> bool | None:
    """Return whether the head receives the same for a short window beside a long one as alone; None where it is NaN."""
    import torch

    ids = np.zeros((2, len(long)), dtype=np.int64)
    ids[0], ids[1, : len(short)] = long, short
    mask = np.arange(len(long)) < np.asarray([len(long), len(short)])[:, None]
    rows = np.arange(2)
    both = Batch(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device), rows, rows)
    alone = Batch(both.ids[1:, : len(short)], None, rows[:1], rows[:1])
    with ModelHooks(model, {}, NO_BLOCKS) as hooks:
        beside, by_itself = hooks.run(both)[0][1, : len(short)], hooks.run(alone)[0][0]
    if not by_itself.isfinite().all():
        return None
    tolerance = OTHER_CALL[str(by_itself.dtype).removeprefix("torch.")]
    apart = (beside.float() - by_itself.float()).abs().max()
    return bool(apart <= tolerance * by_itself.float().abs().max())
