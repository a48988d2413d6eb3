"""What every checkpoint of a series is measured with: probes, windows, device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.arrays import Ints
from degen.checkpoints.source import Source
from degen.model_probe import ModelProbe
from degen.placement.device_map import DeviceMap
from degen.probe import HeadProbe, OnProgress, Probe, SourceProbe, StreamProbe
from degen.tables import Tables
from degen.text.windows import Sample, Window

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class MeasureSpec:
    """The probes, windows and device that every checkpoint of a series is measured with.

    Attributes:
        probes: the probes asked for, by name.
        tables: their schemas.
        sample: the windows; None where the series has no tokenizer.
        ids: the tokenizer's ids; None where there is none.
        device: of the pass.
        dtype: of the pass, as transformers takes it.
        trust: whether Python code that a checkpoint brings may run.
        options: what was set for single probes, by probe and option.
        training: makes windows to train on, without end; None where there is no text.
        training_folder: for what an interrupted training is continued from; None where nothing trains.
        on_progress: called during training with the losses as text, tokens trained and tokens to train.
        first: where the files of the first checkpoint are; None for a model in memory.
        skip_first: positions at the start of each window whose states are left out.
        device_map: where the modules of a model go that is spread over devices; None for one that is not.
    """

    probes: Mapping[str, type[Probe]]
    tables: Tables
    sample: Sample | None
    ids: frozenset[int] | None
    device: torch.device
    dtype: Any
    trust: bool = False
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    training: Callable[[], Iterator[Window]] | None = None
    training_folder: Path | None = None
    on_progress: OnProgress = lambda *_: None
    first: Source | None = None
    skip_first: int = 0
    device_map: DeviceMap | None = None

    def token_counts(self, rows: int) -> Ints | None:
        """Return how often each id from 0 to `rows` − 1 is among the scored tokens of the sample; None without one."""
        if self.sample is None:
            return None
        scored = np.concatenate([window.tokens[1:] for window in self.sample.windows])
        return np.bincount(scored[scored < rows], minlength=rows).astype(np.int64)

    @property
    def needs_all_tensors(self) -> bool:
        """Whether every tensor of a checkpoint is needed; otherwise its head alone."""
        return self.sample is not None and bool(self.text_probes)

    @property
    def reads_ahead(self) -> bool:
        """Whether the weights of the next checkpoint are read while one is measured.

        An accelerator is done before a disk has read the next model; a CPU takes longer than the disk. A model that is
        spread may lie on the disk itself, which is then read for every batch.
        """
        return self.needs_all_tensors and self.device.type != "cpu" and self.device_map is None

    @property
    def head_probes(self) -> dict[str, type[HeadProbe]]:
        """The probes that need the head's weights alone."""
        return {n: p for n, p in self.probes.items() if issubclass(p, HeadProbe)}

    @property
    def source_probes(self) -> dict[str, type[SourceProbe]]:
        """The probes that need what is stored of a checkpoint, and no model."""
        return {n: p for n, p in self.probes.items() if issubclass(p, SourceProbe)}

    @property
    def stream_probes(self) -> dict[str, type[StreamProbe]]:
        """The probes that need text streamed through the model."""
        return {n: p for n, p in self.probes.items() if issubclass(p, StreamProbe)}

    @property
    def model_probes(self) -> dict[str, type[ModelProbe]]:
        """The probes that call the loaded model by themselves."""
        return {n: p for n, p in self.probes.items() if issubclass(p, ModelProbe)}

    @property
    def text_probes(self) -> list[str]:
        """The names of the probes that need text and the model."""
        return [name for name in self.probes if name in self.stream_probes or name in self.model_probes]

    @property
    def skipped(self) -> str | None:
        """Which probes cannot be measured, and why; None where all can."""
        if self.sample is not None or not self.text_probes:
            return None
        return f"{', '.join(self.text_probes)} not measured: the series has no tokenizer; name one with --tokenizer"
