"""A checkpoint whose files are open and whose tensors are still on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from degen.checkpoint_formats.registry import format_of, open_tensors
from degen.checkpoints.series import Checkpoint
from degen.device import factor_device
from degen.errors import CheckpointError
from degen.model.architecture import Architecture, describe, scale_block, text_config
from degen.model.configuration import read_config
from degen.model.lm_head import Head, as_stored, find_stored_head
from degen.tables import Row
from degen.weights.checkpoint_files import CheckpointFiles
from degen.weights.peft_adapter import ADDED_BESIDE, CONFIG, open_adapter, read_settings
from degen.weights.stored_tensors import StoredTensors

from .measure_spec import MeasureSpec
from .timing import Clock


@dataclass
class OpenCheckpoint:
    """A checkpoint with its configuration read and its tensors found.

    Attributes:
        checkpoint: which one.
        files: on this machine.
        config: of transformers.
        architecture: its shape.
        tensors: as they are stored.
        head: the stored head; None where it is known only once the model is loaded.
        clock: what has taken how long so far.
        dtype: of the model once it is loaded.
        model_columns: columns of `checkpoints` that describe the model, once its head is known.
        notes: remarks on what was left out, for its row.
        head_alone: why no more than the head can be measured; None where all can.
    """

    checkpoint: Checkpoint
    files: CheckpointFiles
    config: Any
    architecture: Architecture
    tensors: StoredTensors
    head: Head | None
    clock: Clock
    dtype: Any = None
    model_columns: Row = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    head_alone: str | None = None


def open_checkpoint(checkpoint: Checkpoint, files: CheckpointFiles, spec: MeasureSpec, clock: Clock) -> OpenCheckpoint:
    """Read the configuration and find the head among the stored tensors.

    Args:
        checkpoint: which one.
        files: its files, on this machine.
        spec: what is to be measured.
        clock: the time is added to its phase `load`.

    Raises:
        CheckpointError: configuration or files are missing or unsound.
    """
    with clock.phase("load"):
        config = read_config(files.config_path, spec.trust)
        tensors = open_tensors(files)
        layers = getattr(text_config(config), "num_hidden_layers", 0)
        if files.whole and isinstance(layers, int) and layers > max(len(tensors.keys), 1):
            raise CheckpointError(
                f"{files.path}: {layers:,} layers by its configuration, and {len(tensors.keys):,} tensors in its files"
            )
        architecture = describe(config, spec.trust)
        changed = files.adapter is not None and _may_change_head(files.adapter, spec)
        device, block = factor_device(spec.device), scale_block(config)
        head = None if changed else find_stored_head(tensors, architecture, spec.ids, block, device)
        if head is not None:
            architecture = as_stored(architecture, head)
        alone = format_of(files.path).head_alone(files.path)
        return OpenCheckpoint(checkpoint, files, config, architecture, tensors, head, clock, head_alone=alone)


def _may_change_head(adapter: Path, spec: MeasureSpec) -> bool:
    """Return whether an adapter may change the head of its base.

    Raises:
        CheckpointError: it cannot be read; or it cannot be merged, and probes need the merged head or model.
    """
    if not spec.head_probes and not spec.text_probes and read_settings(adapter / CONFIG)["peft_type"] in ADDED_BESIDE:
        return False
    return open_adapter(adapter).may_change_head
