"""A loaded model as model probes see it: its losses on a few windows, its attention weights, other values for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.arrays import Floats
from degen.device import as_float64, exact_float32, is_out_of_memory
from degen.errors import CheckpointError, NotFiniteError, one_line
from degen.model.architecture import count_layers
from degen.model_probe import LoadedModel
from degen.placement.device_map import is_spread
from degen.placement.output_layer import without_gradients
from degen.placement.shards import is_sharded
from degen.text.windows import Sample, Window

from .batches import padded_batches, prefetched
from .block_calls import NO_BLOCKS
from .head_entropy import losses_and_entropies
from .hooks import ModelHooks
from .prepare import PreparedModel, prepare

if TYPE_CHECKING:
    import torch


class ModelInMemory(LoadedModel):
    """A model that is loaded, for one probe.

    Args:
        model: a causal LM on `device`, in evaluation mode.
        sample: the windows of the scan.
        batch_tokens: padded tokens of a batch at most.
        device: where the model is.
    """

    def __init__(self, model: Any, sample: Sample, batch_tokens: int, device: torch.device) -> None:
        self.model, self.device, self.layers = model, device, count_layers(model.config)
        self._sample, self.batch_tokens = sample, batch_tokens

    @cached_property
    def _prepared(self) -> PreparedModel:
        return prepare(self.model, self._sample, {}, self.batch_tokens, self.device)

    def losses(self, windows: Sequence[Window]) -> Floats:
        """Return the summed loss of each window in nats, float64; the first token of a window is not scored.

        Raises:
            NotFiniteError: a loss is not finite.
        """
        sample, prepared = Sample("", tuple(windows)), self._prepared
        sums = np.zeros(len(windows))
        coming = padded_batches(sample, self.batch_tokens, self.device, halves=False, padded=prepared.padded)
        with without_gradients(self.model), exact_float32(), ModelHooks(self.model, {}, NO_BLOCKS) as hooks:
            hooks.show_first(slice(0, 1))
            for batch in prefetched(coming):
                states, _ = hooks.run(batch)
                rows, columns = batch.scored_at
                losses, _ = losses_and_entropies(states[rows, columns], batch.ids[:, 1:][rows, columns], prepared.head)
                np.add.at(sums, batch.windows[rows.cpu().numpy()], as_float64(losses).cpu().numpy())
        if not np.isfinite(sums).all():
            raise NotFiniteError("the loss of some tokens is NaN or infinite")
        return sums

    def attentions(self, ids: torch.Tensor) -> Iterator[tuple[int | None, torch.Tensor]]:
        """Yield the attention weights of each attention in order, see `LoadedModel`.

        Raises:
            CheckpointError: the model gives no attention weights.
        """
        family = self.model.config.model_type
        try:
            with without_gradients(self.model), exact_float32(), eager_attention(self.model):
                output = self.model(input_ids=ids.to(self.device), output_attentions=True)
        except Exception as error:  # what a model does that was never asked for its weights
            if is_out_of_memory(error):
                raise
            raise CheckpointError(f"model type {family!r} gives no attention weights ({one_line(error)})") from error
        maps = [weights for weights in getattr(output, "attentions", None) or () if _is_map(weights, ids.shape[1])]
        if not maps:
            raise CheckpointError(f"model type {family!r} gives no attention weights")
        for number, weights in enumerate(maps, 1):
            yield number if len(maps) == self.layers else None, weights

    @contextmanager
    def replaced(self, parameters: Mapping[str, torch.Tensor]) -> Iterator[None]:
        """Give parameters other values while the block lasts, and their own ones, to the bit, behind it.

        Their own are not written to: the parameters point elsewhere for a while.

        Raises:
            CheckpointError: this process does not hold the parameters.
        """
        if is_sharded(self.model) or is_spread(self.model):
            raise CheckpointError(
                "its parameters are divided among processes or spread over devices, and cannot be given other values"
            )
        own = {name: parameter.data for name, parameter in self.model.named_parameters() if name in parameters}
        try:
            for name, values in parameters.items():
                self.model.get_parameter(name).data = values
            yield
        finally:
            for name, before in own.items():
                self.model.get_parameter(name).data = before


def _is_map(weights: Any, tokens: int) -> bool:
    """Return whether something is attention weights of B × heads × T × T."""
    return weights is not None and weights.dim() == 4 and tuple(weights.shape[-2:]) == (tokens, tokens)


@contextmanager
def eager_attention(model: Any) -> Iterator[None]:
    """Have a model compute attention weights while the block lasts, which faster kernels never hold."""
    configs = {id(m.config): m.config for m in model.modules() if hasattr(m, "set_attn_implementation")}
    before = [(config, config._attn_implementation) for config in configs.values()]
    try:
        model.set_attn_implementation("eager")
        yield
    finally:
        for config, kind in before:
            config._attn_implementation = kind
