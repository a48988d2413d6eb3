"""Hooks that pass states to probes while a model runs: at every block, and where the LM head receives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from degen.errors import CheckpointError
from degen.model.architecture import LogitTransform, find_blocks, find_head
from degen.probe import Batch, OutputHead, Site, StreamProbe, probe_errors

if TYPE_CHECKING:
    import torch

IDENTITY_POSITIONS = 16  # at which our logits are compared with the model's own


class ModelHooks:
    """Hooks before the first block, after every block and before the LM head, for as long as a `with` lasts.

    Args:
        model: a causal LM.
        probes: by name; each gets the states that it needs.
    """

    def __init__(self, model: Any, probes: Mapping[str, StreamProbe]) -> None:
        self.probes = probes
        self.head = find_head(model)
        self.transform = LogitTransform(model.config)
        self._model = model
        self._blocks = find_blocks(model)
        self._states: torch.Tensor | None = None
        self._batch: Batch | None = None
        self._hooks = ExitStack()

    def needs(self, need: str) -> bool:
        """Return whether a probe needs `states`, `head_input` or `losses`."""
        return any(need in probe.needs for probe in self.probes.values())

    def __enter__(self) -> ModelHooks:
        register = self._hooks.enter_context
        register(_hooked(self.head.register_forward_pre_hook(self._on_head)))
        if self.needs("states"):
            first = self._blocks[0]
            register(_hooked(first.register_forward_pre_hook(self._on_first_block, with_kwargs=True)))
            for layer, block in enumerate(self._blocks, 1):
                register(_hooked(block.register_forward_hook(self._after_block(Site(layer, "block")))))
        return self

    def __exit__(self, *exception: object) -> None:
        self._hooks.close()

    def begin(self) -> None:
        """Call `begin` of every probe with the LM head."""
        head = OutputHead(self.head.weight, getattr(self.head, "bias", None), self.transform)
        for name, probe in self.probes.items():
            with probe_errors(name):
                probe.begin(head)

    def run(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Run a forward pass; the model's own head gets the first positions of the first window alone.

        Returns:
            The states before the head, B × T × d, and the model's logits at those positions.

        Raises:
            CheckpointError: the model does not call its head.
        """
        self._batch = batch
        options = {} if batch.mask is None else {"attention_mask": batch.mask.long()}
        own = self._model(input_ids=batch.ids, **options).logits
        states, self._states = self._states, None
        if states is None:
            raise CheckpointError(
                f"model type {self._model.config.model_type!r} does not call its LM head module; "
                "please open an issue with the model's name"
            )
        self._serve(Site(len(self._blocks), "head_input"), states)
        return states, own[0].float()

    def _serve(self, site: Site, states: torch.Tensor) -> None:
        assert self._batch is not None
        for name, probe in self.probes.items():
            if "states" in probe.needs or (site.name == "head_input" and "head_input" in probe.needs):
                with probe_errors(name):
                    probe.update_states(self._batch, site, states)

    def _on_head(self, _module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self._states = args[0]
        return (args[0][:1, :IDENTITY_POSITIONS], *args[1:])

    def _on_first_block(self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._serve(Site(0, "embedding"), args[0] if args else kwargs["hidden_states"])

    def _after_block(self, site: Site) -> Callable[[Any, Any, Any], None]:
        def hook(_module: Any, _args: Any, output: Any) -> None:
            self._serve(site, output[0] if isinstance(output, tuple) else output)

        return hook


@contextmanager
def _hooked(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()
