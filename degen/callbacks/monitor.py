"""A model in memory, measured as a scan measures the checkpoint it would be saved as."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

from degen.errors import CheckpointError, DegenError
from degen.forward.batch_size import batch_tokens_for
from degen.forward.learned_positions import check_positions
from degen.forward.out_of_memory import halve_batch
from degen.hashing import fingerprint
from degen.model.architecture import Architecture
from degen.model.configuration import config_sha256
from degen.placement.describe_trained import describe_trained
from degen.placement.shards import compute_device, is_sharded
from degen.probe import SourceProbe, StreamProbe
from degen.probe_registry import needs_text
from degen.scanning.checkpoint_columns import model_columns
from degen.scanning.measure_head import head_of, measure_head
from degen.scanning.measure_spec import MeasureSpec
from degen.scanning.measure_stream import measure_stream
from degen.scanning.plan import plan_probes
from degen.scanning.progress import Progress
from degen.scanning.sampling import Samples, find_samples
from degen.scanning.settings import CONTEXT, MeasureKeywords, list_settings, make_settings
from degen.scanning.timing import Clock, timing_rows
from degen.tables import CHECKPOINTS, TIMING, Row, Rows
from degen.text.tokenizer import Tokenizer

from .argument_names import argument_names
from .preserve_state import preserve_state, unwrapped
from .processes import from_main

if TYPE_CHECKING:
    import torch

MODEL = "model"  # label where nobody named one


@dataclass(frozen=True)
class Measurement:
    """The figures of a model at one moment.

    Attributes:
        rows: name of the table -> its rows without the key columns; `timing` is among the tables.
        measures: the columns of `checkpoints` that hold figures of the probes.
        source_hash: hash of head and configuration, as a part of a run keeps it.
        batch_tokens: the most tokens, padding included, that a batch had.
        device: the device on which the model was measured.
        dtype: the type of the model's weights.
    """

    rows: Rows
    measures: tuple[str, ...]
    source_hash: str
    batch_tokens: int
    device: torch.device
    dtype: Any

    @property
    def row(self) -> Row:
        """The row of table `checkpoints`, without the key columns."""
        return self.rows[CHECKPOINTS][0]

    @property
    def figures(self) -> dict[str, float]:
        """The figures for a tracker: those of `row` that were measured, by name."""
        return {name: self.row[name] for name in self.measures if self.row.get(name) is not None}


@list_settings(MeasureKeywords, corpus=None)
class Monitor:
    """Measures a model in memory: windows and probes are made ready once, and each measurement costs one pass.

    Args:
        tokenizer: of transformers, or a folder or name to load it from. It is copied, never called.
        settings: fields of `Settings` that apply to a model in memory, by name.

    Raises:
        DegenError: there is no text to draw windows from, a setting is wrong, or a probe trains or reads files.
    """

    def __init__(self, tokenizer: Any, **settings: Unpack[MeasureKeywords]) -> None:
        with argument_names():
            self._make_ready(tokenizer, settings)

    def _make_ready(self, tokenizer: Any, settings: MeasureKeywords) -> None:
        """Find the probes and draw the windows."""
        has_text = settings.get("corpus") is not None or settings.get("sample") is not None
        self.settings = make_settings(**settings)
        self.probes, self.tables = plan_probes(self.settings)
        self.tokenizer = Tokenizer(_text_tokenizer(tokenizer))
        self.samples = Samples({MODEL: self.tokenizer}, {}, {})
        if needs_text(self.probes.values()):
            if not has_text:
                raise DegenError(
                    "there is no text to measure on; name one with the setting corpus, or the sample.parquet of a run "
                    "with the setting sample"
                )
            self.samples = Samples({MODEL: self.tokenizer}, *find_samples(self.settings, [self.tokenizer], Progress()))
        self._sample = next(iter(self.samples.samples.values()), None)
        self._refuse_unfit()
        self._batch_tokens: int | None = None
        self._shared = False

    def _refuse_unfit(self) -> None:
        """Refuse probes that read files, of which a model in memory has none, and those that train."""
        for name, probe in self.probes.items():
            if issubclass(probe, SourceProbe):
                raise DegenError(
                    f"the probe {name} reads stored tensors, which a model in training has not; measure it with a scan "
                    "of the saved checkpoints"
                )
            if self._sample is None or not issubclass(probe, StreamProbe):
                continue
            if probe(self._sample, **self.settings.options.get(name, {})).trains:
                raise DegenError(
                    f"the probe {name} trains heads for itself, which is not possible during a training; measure it "
                    "with a scan of the saved checkpoints"
                )

    def check(self, model: Any) -> None:
        """Refuse a model that cannot be measured, without running it.

        Raises:
            CheckpointError: the model is sharded, transformers does not know its head, or it has fewer positions than
                the longest window.
        """
        with argument_names():
            shape = describe_trained(unwrapped(model))
            self._fit_windows(shape)
            if self._sample is not None:
                check_positions(shape, self._sample)

    def _fit_windows(self, shape: Architecture) -> None:
        """Draw shorter windows where the model has too few learned positions, unless the user set their length."""
        settings, positions = self.settings, shape.positions
        if self._sample is None or settings.context is not None or settings.sample is not None:
            return
        fewer = positions is not None and positions < CONTEXT
        self.settings = replace(settings, context=positions if fewer else CONTEXT)
        if fewer and self._sample.longest > self.settings.longest_window:
            progress = Progress()
            progress.warn(
                f"the model has {positions} learned positions: windows of up to {positions} tokens, not {CONTEXT}"
            )
            self.samples = Samples({MODEL: self.tokenizer}, *find_samples(self.settings, [self.tokenizer], progress))
            self._sample = next(iter(self.samples.samples.values()))

    def measure(self, model: Any) -> Measurement:
        """Measure a model as it is now, and leave it and all random states as they are.

        The figures are those of a scan of the checkpoint it would be saved as, on the same device, in the same dtype
        and with batches of the same size: to the last bit on a CPU. Mixed precision plays no part in either.

        Args:
            model: a causal LM, perhaps wrapped by torch.compile, data parallelism or PEFT, on any device.

        Raises:
            CheckpointError: the model cannot be measured.
        """
        with argument_names():
            return self._measure(unwrapped(model))

    def share_windows(self) -> None:
        """Take the windows of the main process; called by all processes, before they measure one model together."""
        if self._shared:
            return
        self.settings, self.samples = from_main(lambda: (self.settings, self.samples))
        self._sample = next(iter(self.samples.samples.values()), None)
        self._shared = True

    def _measure(self, model: Any) -> Measurement:
        """Measure a model that is unwrapped."""
        shape, device = describe_trained(model), compute_device(model)
        self._fit_windows(shape)
        if is_sharded(model):
            self.share_windows()
        spec = MeasureSpec(
            self.probes, self.tables, self._sample, self.tokenizer.ids, device, model.dtype,
            options=self.settings.options, skip_first=self.settings.skip_first,
        )  # fmt: skip
        if self._batch_tokens is None:
            windows, context = self.settings.batch_size, self.settings.longest_window
            self._batch_tokens = batch_tokens_for(spec.sample, windows, context, shape, device)
        clock = Clock()
        with preserve_state(model):
            rows = self._rows(model, shape, spec, clock)
        rows[CHECKPOINTS][0] |= {"status": "ok", "reason": rows[CHECKPOINTS][0].get("reason")}
        rows[TIMING] = timing_rows(clock, spec, None, model.dtype)
        source = fingerprint([rows[CHECKPOINTS][0]["head_sha256"], config_sha256(model.config)])
        return Measurement(rows, self.measured_columns(CHECKPOINTS), source, self._batch_tokens, device, model.dtype)

    def _rows(self, model: Any, shape: Architecture, spec: MeasureSpec, clock: Clock) -> Rows:
        """Run the probes once, and return rows by table; where a batch does not fit in memory, halve it and repeat."""
        head = head_of(model, spec.ids, shape)
        failures: list[CheckpointError] = []
        rows = [("degen", {CHECKPOINTS: [model_columns(shape, head)]}), *measure_head(head, spec, clock, failures)]
        if failures and len(failures) == len(self.probes):
            raise failures[0]  # as nothing is measured
        if (sample := spec.sample) is not None and spec.text_probes:

            def attempt(batch_tokens: int) -> list[tuple[str, Rows]]:
                self._batch_tokens = batch_tokens
                return measure_stream(model, shape, spec, sample, batch_tokens, clock, lambda _: None)

            assert self._batch_tokens is not None
            rows += halve_batch(attempt, self._batch_tokens, sample.longest, "the context", lambda _: None)
        return self.tables.merge(rows)

    def measured_columns(self, table: str) -> tuple[str, ...]:
        """Return the names of the columns of a table in which the probes put figures."""
        columns = [c for probe in self.probes.values() for c in probe.columns.get(table, ())]
        return tuple(c.name for c in columns if c.type in ("float64", "int64") and not c.key)

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains of the windows, each once; windows of unknown domain add none."""
        windows = self._sample.windows if self._sample is not None else ()
        return tuple(dict.fromkeys(w.domain for w in windows if w.domain is not None))


@list_settings(MeasureKeywords, corpus=None)
def measure_model(model: Any, tokenizer: Any, **settings: Unpack[MeasureKeywords]) -> Row:
    """Measure a model in memory, once.

    Args:
        model: a causal LM, perhaps wrapped by torch.compile, data parallelism or PEFT, on any device.
        tokenizer: of transformers, or a folder or name to load it from.
        settings: fields of `Settings` that apply to a model in memory, by name.

    Returns:
        Its row of table `checkpoints`: `loss`, `anisotropy`, `singular_entropy` and the others, by name.

    Raises:
        DegenError: wrong settings, or a model that cannot be measured.
    """
    return Monitor(tokenizer, **settings).measure(model).row


def _text_tokenizer(tokenizer: Any) -> Any:
    """Return the tokenizer for text: that of a processor for several kinds of input, or the given tokenizer itself.

    Raises:
        DegenError: `tokenizer` is None.
    """
    if tokenizer is None:
        raise DegenError("there is no tokenizer to make windows with; give one as the argument tokenizer")
    from transformers import ProcessorMixin

    return tokenizer.tokenizer if isinstance(tokenizer, ProcessorMixin) else tokenizer
