"""One checkpoint from files to rows; the model is loaded only where a probe needs it.

`measure` is called by `SeriesScan`; it calls `measure_head` and `measure_stream`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.device import OutOfMemoryError, memory_errors
from degen.errors import CheckpointError, one_line
from degen.model.architecture import describe
from degen.model.loading import load_model
from degen.tables import CHECKPOINTS, Rows, file_name

from .checkpoint_columns import model_columns
from .measure_head import head_of, measure_head, measure_sources
from .measure_spec import MeasureSpec
from .measure_stream import measure_stream
from .open_checkpoint import OpenCheckpoint

if TYPE_CHECKING:
    import torch

SMALL = 1 << 22  # parameters: 16 MB in float32


def measure(opened: OpenCheckpoint, spec: MeasureSpec, batch_tokens: int, advance: Callable[[int], None]) -> Rows:
    """Measure a checkpoint.

    Args:
        opened: the checkpoint.
        spec: what is to be measured.
        batch_tokens: padded tokens of a batch at most.
        advance: called with the tokens of every batch done.

    Returns:
        Rows by table, without the key columns.

    Raises:
        CheckpointError: it cannot be measured.
        OutOfMemoryError: a batch of this size does not fit.
    """
    model = None
    try:
        if opened.head is None:
            model = _load(opened, spec)
            if opened.files.adapter is not None:
                opened.architecture = describe(model.config, spec.trust)  # it may have other rows than its base
            opened.head = head_of(model, spec.ids)
        opened.model_columns = model_columns(opened.architecture, opened.head, opened.checkpoint.tokens_seen)
        measured: list[tuple[str, Rows]] = [("degen", {CHECKPOINTS: [opened.model_columns]})]
        failures: list[CheckpointError] = []
        measured += measure_head(opened.head, spec, opened.clock, failures)
        measured += measure_sources(opened.checkpoint.source, spec, opened.clock, failures)
        skipped = spec.skipped or _no_text(opened, spec)
        without_text = len(spec.head_probes) + len(spec.source_probes)
        if skipped is not None and not without_text:
            raise CheckpointError(skipped)
        if failures and len(failures) == without_text and (skipped is not None or not spec.text_probes):
            raise failures[0]  # as nothing is measured
        opened.notes += [skipped] if skipped is not None else []
        if spec.sample is not None and spec.text_probes and skipped is None:
            model = model if model is not None else _load(opened, spec)
            shape, clock, folder = opened.architecture, opened.clock, _training_folder(opened, spec)
            measured += measure_stream(model, shape, spec, spec.sample, batch_tokens, clock, advance, folder)
    finally:
        del model
        _free(spec.device, opened.architecture.parameters)
    return spec.tables.merge(measured)


def _no_text(opened: OpenCheckpoint, spec: MeasureSpec) -> str | None:
    """Return why no text can be streamed through a model; None where it can, or where no probe needs it."""
    reason = opened.architecture.not_causal or opened.head_alone
    if reason is None or not spec.text_probes:
        return None
    return f"{', '.join(spec.text_probes)} not measured: {reason}"


def _training_folder(opened: OpenCheckpoint, spec: MeasureSpec) -> Path | None:
    """Return the folder from which training of this very version of a checkpoint is continued."""
    if spec.training_folder is None:
        return None
    version = opened.checkpoint.source.version() or "unknown"
    return spec.training_folder / file_name(str(opened.checkpoint)) / file_name(version)


def _free(device: torch.device, parameters: int) -> None:
    """Free the memory that a checkpoint of so many parameters used.

    Most is free with its last reference. What reference cycles keep takes a collection, which walks over every object
    of the process: 0.2 s, longer than all else of a small model, whose memory waits for Python's own collections.
    """
    import torch

    if parameters > SMALL:
        gc.collect()
    module: Any = torch.get_device_module(device)
    if hasattr(module, "empty_cache"):
        module.empty_cache()


def _load(opened: OpenCheckpoint, spec: MeasureSpec) -> Any:
    """Load the model.

    Raises:
        CheckpointError: it does not fit in memory, or its files are unsound.
    """
    parameters, stored = opened.architecture.parameters, opened.tensors.size(None)
    if parameters > 8 * stored:  # a parameter takes a bit at least
        raise CheckpointError(
            f"{opened.files.path}: {parameters:,} parameters by its configuration, and {stored:,} bytes in its files"
        )
    try:
        with opened.clock.phase("load"), memory_errors():
            model = load_model(
                opened.files, opened.config, spec.device, spec.dtype, spec.trust, opened.notes.append, spec.device_map
            )
            opened.dtype = model.dtype
            return model
    except OutOfMemoryError as error:
        size = opened.architecture.parameters
        raise CheckpointError(
            f"out of memory while its {size:,} parameters were loaded ({one_line(error)}); a smaller --dtype, "
            "another --device or --device-map auto may hold them"
        ) from error
