"""Hooks that pass states to probes while a model runs: at every block, and where the LM head receives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from degen.errors import CheckpointError
from degen.model.architecture import count_layers, find_head, text_config
from degen.placement.output_layer import readable
from degen.probe import Batch, OutputHead, Site, StreamProbe, probe_errors

from .batches import without_first
from .block_calls import BlockCalls, tensors_in
from .fit_transform import ladder
from .host_reads import HostReads

if TYPE_CHECKING:
    import torch

IDENTITY_POSITIONS = 16  # at which our logits are compared with the model's own


class ModelHooks:
    """Hooks before the first block, after every block and before the LM head, for as long as a `with` lasts.

    Args:
        model: a causal LM.
        probes: by name; each gets the states that it needs.
        blocks: the calls of its blocks.
        reads: where probes have their results read later; None to read them at once.
        skip_first: positions at the start of each window that probes of states do not get.

    Attributes:
        unread: why a site gave no states that probes can read, by site.
        positions: of the first window, for which the model's own head is called.
        ladder: the states of known size that it was handed beside them, T × d; None without any.
    """

    def __init__(
        self,
        model: Any,
        probes: Mapping[str, StreamProbe],
        blocks: BlockCalls,
        reads: HostReads | None = None,
        skip_first: int = 0,
    ) -> None:
        self.probes = probes
        self._skip_first = skip_first
        self._reads = reads if reads is not None else HostReads(model.device, later=False)
        self.unread: dict[Site, str] = {}
        self.show_first(slice(0, IDENTITY_POSITIONS))
        self._model = model
        self._head = find_head(model)
        self._blocks = blocks
        self._layers = len(blocks.names) or count_layers(model.config)
        self._width: int = text_config(model.config).hidden_size
        self._states: torch.Tensor | None = None
        self._batch: Batch | None = None
        self._later: Batch | None = None  # the same without the first positions; None where none is left
        self._calls = 0  # of blocks, in this pass
        self._paused = False
        self._hooks = ExitStack()

    def needs(self, need: str) -> bool:
        """Return whether a probe needs `states`, `head_input` or `losses`."""
        return any(need in probe.needs for probe in self.probes.values())

    def __enter__(self) -> ModelHooks:
        register = self._hooks.enter_context
        register(_hooked(self._head.register_forward_pre_hook(self._on_head)))
        if self.needs("states"):
            if self._blocks.reason is not None:
                inner = [Site(0, "embedding"), *(Site(i, "block") for i in range(1, self._layers + 1))]
                self.unread |= dict.fromkeys(inner, self._blocks.reason)
            for name in dict.fromkeys(self._blocks.names):
                block = self._model.get_submodule(name)
                register(_hooked(block.register_forward_pre_hook(self._before_block, with_kwargs=True)))
                register(_hooked(block.register_forward_hook(self._after_block)))
        return self

    def __exit__(self, *exception: object) -> None:
        self._hooks.close()

    def show_first(self, positions: slice, with_ladder: bool = False) -> None:
        """Set what the model's own head is shown: positions of the first window, and perhaps a ladder of states."""
        self.positions = positions
        self.ladder: torch.Tensor | None = None
        self._with_ladder = with_ladder

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the model run as without hooks while a `with` lasts."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def begin(self, head: OutputHead) -> None:
        """Call `begin` of every probe with the LM head."""
        for name, probe in self.probes.items():
            with probe_errors(name):
                probe.begin(head)

    def run(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Run a forward pass; the model's own head gets some positions of the first window alone.

        Returns:
            The states before the head, B × T × d, and the model's logits at those positions.

        Raises:
            CheckpointError: the model does not call its head.
        """
        self._batch, self._calls = batch, 0
        self._later = without_first(batch, self._skip_first)
        options = {} if batch.mask is None else {"attention_mask": batch.mask.long()}
        own = self._model(input_ids=batch.ids, **options).logits
        states, self._states = self._states, None
        if states is None:
            raise CheckpointError(
                f"model type {self._model.config.model_type!r} does not call its LM head module, so what enters it is "
                "unknown; --probes spectrum measures its head alone"
            )
        states = states.to(batch.ids.device)
        self._serve(Site(self._layers, "head_input"), states)
        return states, own[0].float()

    def _serve(self, site: Site, states: torch.Tensor) -> None:
        assert self._batch is not None
        states = states.to(self._batch.ids.device)  # blocks may lie on several devices
        for name, probe in self.probes.items():
            if "states" in probe.needs and self._later is not None:
                with self._errors_of(name):
                    probe.update_states(self._later, site, states[:, self._skip_first :])
            elif "states" not in probe.needs and site.name == "head_input" and "head_input" in probe.needs:
                with self._errors_of(name):
                    probe.update_states(self._batch, site, states)

    def serve_losses(self, batch: Batch, losses: torch.Tensor) -> None:
        """Pass the losses of a batch, B × (T − 1), to the probes that need them."""
        for name, probe in self.probes.items():
            if "losses" in probe.needs:
                with self._errors_of(name):
                    probe.update_losses(batch, losses, batch.scored)

    @contextmanager
    def _errors_of(self, name: str) -> Iterator[None]:
        """Name a probe in the errors of the block, and in those of the reads that it asks for."""
        self._reads.owner = name
        try:
            with probe_errors(name):
                yield
        finally:
            self._reads.owner = None

    def _on_head(self, _module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        import torch

        if self._paused:
            return args
        self._states = args[0]
        shown = args[0][:1, self.positions]
        if self._with_ladder:
            steps = ladder(args[0][:1, :IDENTITY_POSITIONS], readable(self._model, self._head, "weight"))
            self.ladder, shown = steps[0], torch.cat([shown, steps], dim=1)
        return (shown, *args[1:])

    def _before_block(self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._paused:
            return
        self._calls += 1
        if self._calls == 1:
            self._serve_stream(Site(0, "embedding"), tensors_in([args, kwargs]))

    def _after_block(self, _module: Any, _args: Any, output: Any) -> None:
        if self._paused:
            return
        self._serve_stream(Site(self._calls, "block"), tensors_in(output))

    def _serve_stream(self, site: Site, tensors: Iterator[torch.Tensor]) -> None:
        """Serve the first of a block's tensors, which is the residual stream, or note why it cannot be read."""
        assert self._batch is not None
        expected = (*self._batch.ids.shape, self._width)
        states = next(tensors, None)
        if states is not None and tuple(states.shape) == expected:
            self._serve(site, states)
        elif states is not None:
            shape, axes = " × ".join(map(str, states.shape)), " × ".join(map(str, expected))
            self.unread.setdefault(
                site, f"its states are {shape} where a residual stream is {axes}; layer=last of head_input is measured"
            )


@contextmanager
def _hooked(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()
