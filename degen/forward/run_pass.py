"""The pass: every window through the model once, every stream probe served on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from degen.errors import CheckpointError, NotFiniteError
from degen.model.architecture import LogitTransform, find_blocks, find_head
from degen.probe import Batch, OutputHead, Site, StreamProbe, probe_errors
from degen.text.windows import Sample, batches

from .cross_entropy import token_losses

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

IDENTITY_POSITIONS = 16
# Largest |our logits − the model's own|, relative to the largest logit. Within one call the states are the same, and
# only the head and what follows it are compared; the untouched call has another batch shape, and rounds otherwise.
SAME_CALL = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 1e-2}
UNTOUCHED_CALL = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}


def run_pass(
    model: Any,
    sample: Sample,
    probes: Mapping[str, StreamProbe],
    batch_tokens: int,
    device: torch.device,
    advance: Callable[[int], None],
) -> None:
    """Stream a sample through a model, once for all probes.

    States are handed to the probes as the pass moves on, and die with it. The head itself sees a few positions of a
    batch: what it receives is caught on its threshold, and the losses are made from there.

    Args:
        model: a causal LM on `device`.
        sample: the windows.
        probes: accumulators by name, fed in place.
        batch_tokens: padded tokens of a batch at most.
        device: where the model is.
        advance: told the tokens of every batch done.

    Raises:
        CheckpointError: our logits are not the model's.
        NotFiniteError: states or losses are not finite.
    """
    import torch

    _check_ids(model, sample)
    halves = any(probe.halves for probe in probes.values())
    with torch.inference_mode():
        untouched: torch.Tensor | None = _own_logits(model, sample, batch_tokens, device, halves)
        with Taps(model, probes) as taps:
            taps.begin()
            for batch in prefetched(collated(sample, batch_tokens, device, halves)):
                states, own = taps.run(batch)
                _check_finite(model, batch, states, sample)
                if untouched is not None:
                    _check_identity(model, taps, states, own, SAME_CALL)
                    _check_identity(model, taps, states, untouched, UNTOUCHED_CALL)
                    untouched = None
                if taps.wants("losses"):
                    _serve_losses(model, taps, batch, states)
                advance(int(batch.ids.numel() if batch.mask is None else batch.mask.sum()))


class Taps:
    """Hooks on the blocks and on the head's threshold, for as long as the block of a `with` lasts."""

    def __init__(self, model: Any, probes: Mapping[str, StreamProbe]) -> None:
        self.probes = probes
        self.head = find_head(model)
        self.transform = LogitTransform(model.config)
        self._model = model
        self._blocks = find_blocks(model)
        self._states: torch.Tensor | None = None
        self._batch: Batch | None = None
        self._hooks = ExitStack()

    def wants(self, need: str) -> bool:
        """Whether any probe needs it."""
        return any(need in probe.needs for probe in self.probes.values())

    def __enter__(self) -> Taps:
        register = self._hooks.enter_context
        register(_hooked(self.head.register_forward_pre_hook(self._on_head)))
        if self.wants("states"):
            first = self._blocks[0]
            register(_hooked(first.register_forward_pre_hook(self._on_first_block, with_kwargs=True)))
            for layer, block in enumerate(self._blocks, 1):
                register(_hooked(block.register_forward_hook(self._after_block(Site(layer, "block")))))
        return self

    def __exit__(self, *exception: object) -> None:
        self._hooks.close()

    def begin(self) -> None:
        """Show every probe the head."""
        head = OutputHead(self.head.weight, getattr(self.head, "bias", None), self.transform)
        for name, probe in self.probes.items():
            with probe_errors(name):
                probe.begin(head)

    def run(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """One forward pass.

        Returns:
            What the head received, B × T × d, and the model's own logits of the first positions of the first window.
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


def collated(sample: Sample, batch_tokens: int, device: torch.device, halves: bool) -> Iterator[Batch]:
    """Windows as padded tensors on the device, longest first."""
    import torch

    for rows in batches(sample, batch_tokens, halves):
        lengths = np.asarray([len(sample.windows[i].tokens) for i in rows])
        ids = np.zeros((len(rows), lengths.max()), dtype=np.int64)
        for row, i in enumerate(rows):
            ids[row, : lengths[row]] = sample.windows[i].tokens
        mask = np.arange(lengths.max()) < lengths[:, None]
        windows = np.asarray(rows, dtype=np.int64)

        def there(array: np.ndarray[Any, Any]) -> torch.Tensor:
            tensor = torch.from_numpy(array)
            return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)

        yield Batch(there(ids), None if mask.all() else there(mask), windows, sample.document_slots[windows])


def prefetched(items: Iterator[T]) -> Iterator[T]:
    """The items, each prepared in a thread while the one before it is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def _own_logits(model: Any, sample: Sample, batch_tokens: int, device: torch.device, halves: bool) -> torch.Tensor:
    """What the untouched model says of the first positions of the first window of the first batch."""
    import torch

    first = next(batches(sample, batch_tokens, halves))[0]
    ids = torch.from_numpy(sample.windows[first].tokens[:IDENTITY_POSITIONS].astype(np.int64))
    logits: torch.Tensor = model(input_ids=ids.unsqueeze(0).to(device)).logits[0].float()
    return logits


def _check_identity(
    model: Any, taps: Taps, states: torch.Tensor, expected: torch.Tensor, tolerances: Mapping[str, float]
) -> None:
    """Our head on our head input must give the model's own logits, caps and scales included."""
    import torch

    head = taps.head
    ours = torch.nn.functional.linear(states[0, : len(expected)], head.weight, getattr(head, "bias", None))
    ours, finite = taps.transform(ours.float()), expected.isfinite()
    apart = (ours - expected)[finite].abs().max().item() if finite.any() else 0.0
    largest = expected[finite].abs().max().item() if finite.any() else 0.0
    tolerance = tolerances[str(states.dtype).removeprefix("torch.")] * largest
    if not (apart <= tolerance and torch.equal(finite, ours.isfinite())):
        raise CheckpointError(
            f"identity check failed for model type {model.config.model_type!r}: our logits are {apart:.3g} from the "
            f"model's own, {tolerance:.3g} is rounding; figures would be wrong, so none are given. "
            "Please open an issue with the model's name"
        )


def _check_finite(model: Any, batch: Batch, states: torch.Tensor, sample: Sample) -> None:
    bad = ~states.isfinite().all(dim=-1)
    if batch.mask is not None:
        bad &= batch.mask
    if bad.any():
        window = sample.windows[int(batch.windows[int(bad.any(dim=1).nonzero()[0])])].number
        raise NotFiniteError(f"NaN or infinity in the states of window {window}; {_culprit(model)}")


def _culprit(model: Any) -> str:
    """Which parameter is to blame, or that none is."""
    for name, parameter in model.named_parameters():
        bad = int((~parameter.isfinite()).sum())
        if bad:
            return f"the parameter {name} holds {bad} such values"
    return f"the parameters are finite, so {model.dtype} overflows: try --dtype float32"


def _check_ids(model: Any, sample: Sample) -> None:
    """A tokenizer of another model gives ids that this one has no row for."""
    rows = model.get_input_embeddings().weight.shape[0]
    largest = max(int(w.tokens.max()) for w in sample.windows)
    if largest >= rows:
        raise CheckpointError(
            f"the tokenizer gives id {largest}, and the model has {rows} rows: is it this model's tokenizer?"
        )


def _serve_losses(model: Any, taps: Taps, batch: Batch, states: torch.Tensor) -> None:
    """The loss of every token but a window's first, for the probes that want it."""
    import torch

    targets = batch.ids[:, 1:]
    scored = torch.ones_like(targets, dtype=torch.bool) if batch.mask is None else batch.mask[:, 1:]
    found = token_losses(states[:, :-1][scored], targets[scored], taps.head, taps.transform)
    if not found.isfinite().all():
        raise NotFiniteError(f"the loss of some tokens is NaN or infinite; {_culprit(model)}")
    losses = torch.zeros(targets.shape, device=states.device)
    losses[scored] = found
    for name, probe in taps.probes.items():
        if "losses" in probe.needs:
            with probe_errors(name):
                probe.update_losses(batch, losses, scored)
