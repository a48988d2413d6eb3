"""What is to be measured of every checkpoint of a series, and with what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.probe import HeadProbe, Probe, StreamProbe, Tell
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
        tell: called as training goes on, with its state in words, tokens done and tokens to do.
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
    tell: Tell = lambda *_: None

    @property
    def whole(self) -> bool:
        """Whether every tensor of a checkpoint is needed, or its head alone."""
        return self.sample is not None and bool(self.stream_probes)

    @property
    def head_probes(self) -> dict[str, type[HeadProbe]]:
        """The probes that need the head's weights alone."""
        return {n: p for n, p in self.probes.items() if issubclass(p, HeadProbe)}

    @property
    def stream_probes(self) -> dict[str, type[StreamProbe]]:
        """The probes that need text streamed through the model."""
        return {n: p for n, p in self.probes.items() if issubclass(p, StreamProbe)}

    @property
    def unmeasured(self) -> str | None:
        """Why some of the probes cannot be measured; None where all can."""
        if self.sample is not None or not self.stream_probes:
            return None
        return f"{', '.join(self.stream_probes)} not measured: the series has no tokenizer; name one with --tokenizer"
