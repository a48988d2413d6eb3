"""The checkpoints of one series, measured in order; a failure is a row like any other.

`SeriesScan.run` is called by `degen.scanning.scan`; for each checkpoint it calls `open_checkpoint`, then
`measure.measure`.
"""

from __future__ import annotations

import os
import re
import shutil
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from degen.checkpoints.downloads import Downloads
from degen.checkpoints.prefetch import Fetcher, FetchRequest
from degen.checkpoints.series import Checkpoint, Series
from degen.device import is_out_of_memory
from degen.errors import DegenError, one_line
from degen.runs.run import DOWNLOADS, TRAINING_FOLDER
from degen.runs.run_writer import RunWriter
from degen.tables import CHECKPOINTS, TIMING, Rows, file_name

from .duplicates import MeasuredCheckpoints, published_digest, source_hash
from .extend import earlier_rows, missing_probes
from .plan import Plan
from .progress import Progress
from .sampling import Samples, training_windows
from .settings import Settings
from .target_error import above_targets

if TYPE_CHECKING:
    from .measure_spec import MeasureSpec
    from .open_checkpoint import OpenCheckpoint
    from .timing import Clock


WHEN_FREE = "the same command measures it when more memory is free"
ELSEWHERE = "measured by another process meanwhile"
Pending = Mapping[Checkpoint, Sequence[str]]  # checkpoints to be measured -> names of the probes to do it with


class SeriesScan:
    """The checkpoints of one series, in order."""

    def __init__(
        self, series: Series, settings: Settings, plan: Plan, samples: Samples, writer: RunWriter, progress: Progress
    ) -> None:
        self.series = series
        self.settings = settings
        self.plan = plan
        self.samples = samples
        self.writer = writer
        self.progress = progress
        self.measured = MeasuredCheckpoints()
        self.opened: OpenCheckpoint | None = None  # the checkpoint that is being measured
        self.digest: str | None = None  # its published digest
        self.not_added: list[str] = []  # checkpoints that an added probe failed on, each with the reason
        self.batch_tokens: int | None = None  # as run.json keeps it, by the checkpoint from which it holds

    def fetch_requests(self, pending: Pending) -> list[FetchRequest]:
        """Return the pending checkpoints of this series, in order, each with how much of it is needed."""
        specs = {c: self._spec_of(pending[c]) for c in self.series.checkpoints if c in pending}
        return [FetchRequest(c, spec.needs_all_tensors, spec.reads_ahead) for c, spec in specs.items()]

    def _spec_of(self, probes: Sequence[str]) -> MeasureSpec:
        """Return `spec` with some of its probes alone."""
        return replace(self.spec, probes={name: self.plan.probes[name] for name in probes})

    def is_copy(self, checkpoint: Checkpoint) -> bool:
        """Return whether a checkpoint equals, by published hashes, one measured or the one being measured.

        Raises:
            CheckpointError: the hashes cannot be fetched.
        """
        digest = published_digest(checkpoint.source, self.settings.trust_remote_code)
        same = digest is not None and digest == self.digest
        return same or self.measured.find_by_digest(checkpoint.source, digest) is not None

    def run(self, pending: Pending, fetcher: Fetcher) -> None:
        """Measure the pending checkpoints; the others were measured earlier and may have copies among these."""
        if self.spec.skipped:
            self.progress.warn(f"{self.series.model}: {self.spec.skipped}")
        for checkpoint in filter(self.plan.measures, self.series.checkpoints):
            self.batch_tokens = self.writer.info["batch_tokens"].get(str(checkpoint), self.batch_tokens)
            if checkpoint not in pending:
                self._add_measured(checkpoint)
            elif self._measured_elsewhere(checkpoint, pending):
                self._add_measured(checkpoint)
                self.progress.start_checkpoint(checkpoint, 0)
                self.progress.finish_checkpoint(checkpoint, "ok", ELSEWHERE)
            else:
                self._measure(checkpoint, self._spec_of(pending[checkpoint]), fetcher)

    def _measured_elsewhere(self, checkpoint: Checkpoint, pending: Pending) -> bool:
        """Return whether another process has measured a checkpoint since this one looked which are pending."""
        if not self.writer.shared:
            return False
        missing, copy_of = missing_probes(checkpoint, self.plan, self.writer)
        return not missing and copy_of not in {c.revision for c in pending if c.model == checkpoint.model}

    def _add_measured(self, checkpoint: Checkpoint) -> None:
        """Add a checkpoint that was measured earlier to those whose copies are recognised."""
        row = self.writer.done(checkpoint, self.plan.tables)
        if row is not None and row["status"] == "ok":
            self.measured.add(checkpoint, row["head_sha256"], self.writer.source_hash(checkpoint))

    @cached_property
    def spec(self) -> MeasureSpec:
        """The probes, windows and device that every checkpoint is measured with."""
        from degen.model.loading import choose_device, choose_dtype
        from degen.placement.device_map import read_device_map

        from .measure_spec import MeasureSpec

        settings = self.settings
        device = choose_device(settings.device)
        tokenizer, sample = self.samples.tokenizers[self.series.model], self.samples.sample_of(self.series)
        return MeasureSpec(
            probes=self.plan.probes,
            tables=self.plan.tables,
            sample=sample,
            ids=tokenizer.ids if tokenizer is not None else None,
            device=device,
            dtype=choose_dtype(settings.dtype, device),
            trust=settings.trust_remote_code,
            options=settings.options,
            training=partial(training_windows, settings, self.series, sample) if sample is not None else None,
            training_folder=self.writer.path / TRAINING_FOLDER,
            on_progress=self.progress.report_training,
            first=self.series.checkpoints[0].source,
            skip_first=settings.skip_first,
            device_map=read_device_map(settings.device_map),
        )

    def _measure(self, checkpoint: Checkpoint, spec: MeasureSpec, fetcher: Fetcher) -> None:
        """Measure one checkpoint and write its parts; a failure is a row like any other."""
        from .timing import Clock, add_timing, timing_rows

        progress, clock = self.progress, Clock(self.progress.start_phase)
        earlier = earlier_rows(checkpoint, self.plan, self.writer) if len(spec.probes) < len(self.plan.probes) else None
        version, source = checkpoint.source.version(), ""
        self.opened, self.digest = None, None
        progress.start_checkpoint(checkpoint, spec.sample.tokens if spec.sample and spec.stream_probes else 0)
        try:
            rows, source = self._rows(checkpoint, spec, fetcher, clock)
            if earlier is not None and rows[CHECKPOINTS][0]["status"] == "ok":
                rows = self._joined_rows(earlier, rows)
            row = rows[CHECKPOINTS][0]
        except Exception as error:
            if os.environ.get("DEGEN_DEBUG") == "1":
                progress.warn(traceback.format_exc())
            reason = self._reason(error, checkpoint)
            if earlier is not None:
                self.not_added.append(f"{checkpoint}: {reason}")
                progress.finish_checkpoint(checkpoint, "failed", f"{reason}; what it had is kept")
                return
            if self.writer.shared and not missing_probes(checkpoint, self.plan, self.writer)[0]:
                progress.finish_checkpoint(checkpoint, "ok", ELSEWHERE)
                return
            row = {"tokens_seen": checkpoint.tokens_seen, "status": "failed", "reason": reason}
            rows = {CHECKPOINTS: [(self.opened.model_columns if self.opened is not None else {}) | row]}
        timing = timing_rows(clock, spec, version, self.opened.dtype if self.opened is not None else None)
        rows[TIMING] = add_timing(earlier[TIMING] if earlier is not None else [], timing)
        self._write(checkpoint, rows, source)
        self._delete_training_state(checkpoint)
        progress.finish_checkpoint(checkpoint, row["status"], row["reason"] or "")

    def _reason(self, error: Exception, checkpoint: Checkpoint) -> str:
        """Return why a checkpoint failed in one line; what lay in a folder of downloads goes by its name on the hub."""
        if is_out_of_memory(error):
            return f"out of memory ({one_line(error)}); {WHEN_FREE}"
        folder = rf"{re.escape(str(self.writer.path / DOWNLOADS))}(?:/[^\s/:]+)*?/[0-9a-f]{{16}}(?![0-9a-f])"
        return re.sub(folder, lambda _: str(checkpoint.source), one_line(error))

    def _delete_training_state(self, checkpoint: Checkpoint) -> None:
        """Delete the file that an interrupted training is continued from, and the folder once it is empty."""
        shutil.rmtree(self.writer.path / TRAINING_FOLDER / file_name(str(checkpoint)), ignore_errors=True)
        with suppress(OSError):
            (self.writer.path / TRAINING_FOLDER).rmdir()

    def _joined_rows(self, earlier: Rows, rows: Rows) -> Rows:
        """Return what was measured earlier and what was now, of one checkpoint."""
        joined = self.plan.tables.merge([("earlier", earlier), ("now", rows)])
        joined[CHECKPOINTS][0] |= {"status": "ok", "duplicate_of": None}
        return joined

    def _rows(self, checkpoint: Checkpoint, spec: MeasureSpec, fetcher: Fetcher, clock: Clock) -> tuple[Rows, str]:
        """Return the rows of a checkpoint, copied or measured, and the hash of its source."""
        from .open_checkpoint import open_checkpoint

        with clock.phase("fetch"):
            self.digest = published_digest(checkpoint.source, self.spec.trust)
            earlier = self.measured.find_by_digest(checkpoint.source, self.digest)
        if earlier is not None:
            fetcher.mark_copy(checkpoint)
            return self._copied_rows(checkpoint, earlier), self.digest or str(self.writer.source_hash(earlier))
        with ExitStack() as stack:
            with clock.phase("fetch"):
                files = stack.enter_context(fetcher.files(checkpoint))
            opened = self.opened = open_checkpoint(checkpoint, files, spec, clock)
            earlier = self._duplicate_of(opened, fetcher.downloads)
            rows = self._copied_rows(checkpoint, earlier) if earlier is not None else self._measured_rows(opened, spec)
            head = rows[CHECKPOINTS][0]["head_sha256"]
            if earlier is None:
                self.measured.add(checkpoint, head, self.digest)
            return rows, self.digest or source_hash(opened, head)

    def _write(self, checkpoint: Checkpoint, rows: Rows, source: str) -> None:
        """Write the parts of a checkpoint.

        Raises:
            DegenError: they cannot be written; its exit code is 4.
        """
        rows[CHECKPOINTS][0] |= {"stage": checkpoint.stage, "seed": checkpoint.seed}
        try:
            self.writer.write(checkpoint, self.plan.tables, rows, source)
        except OSError as error:
            raise DegenError(
                f"{self.writer.path}: {checkpoint} cannot be written ({error.strerror or error}); what was finished is "
                "kept, and the same command goes on from there",
                exit_code=4,
            ) from error

    def _measured_rows(self, opened: OpenCheckpoint, spec: MeasureSpec) -> Rows:
        """Measure; where a batch does not fit, halve it and begin the checkpoint again."""
        from degen.forward.batch_size import batch_tokens_for
        from degen.forward.out_of_memory import halve_batch

        from .measure import measure
        from .memory import bytes_to_load

        progress, settings = self.progress, self.settings
        longest = spec.sample.longest if spec.sample else settings.longest_window
        if self.batch_tokens is None and spec.needs_all_tensors:
            shape, windows = opened.architecture, settings.batch_size
            to_load = bytes_to_load(opened, spec, settings)
            first = batch_tokens_for(spec.sample, windows, settings.longest_window, shape, spec.device, to_load)
            self._save_batch_tokens(opened, first)

        def attempt(batch_tokens: int) -> Rows:
            return measure(opened, spec, batch_tokens, progress.advance)

        def on_halved(batch_tokens: int) -> None:
            self._save_batch_tokens(opened, batch_tokens)
            progress.warn(f"{opened.checkpoint}: out of memory; batches of {batch_tokens} tokens from here")
            progress.start_checkpoint(opened.checkpoint, spec.sample.tokens if spec.sample else 0)

        before = self.batch_tokens, dict(self.writer.info["batch_tokens"])
        try:
            rows = halve_batch(attempt, self.batch_tokens or longest, longest, "--context", on_halved)
        except Exception:  # other processes may have held the memory: a later attempt begins as this one did
            self.batch_tokens, self.writer.info["batch_tokens"] = before
            self.writer.save_info()
            raise
        if above := above_targets(settings.target_se, rows[CHECKPOINTS][0]):
            progress.note(f"{opened.checkpoint}: {', '.join(above)}")
            opened.notes += above
        reasons = dict.fromkeys(reason for reason in (rows[CHECKPOINTS][0].get("reason"), *opened.notes) if reason)
        rows[CHECKPOINTS][0] |= {"status": "ok", "reason": "; ".join(reasons) or None}
        return rows

    def _save_batch_tokens(self, opened: OpenCheckpoint, batch_tokens: int) -> None:
        """Use batches of this size from this checkpoint on, also when the run is continued."""
        self.batch_tokens = batch_tokens
        self.writer.info["batch_tokens"][str(opened.checkpoint)] = batch_tokens
        self.writer.save_info()

    def _duplicate_of(self, opened: OpenCheckpoint, downloads: Downloads) -> Checkpoint | None:
        """Return an earlier checkpoint whose bytes are the same; None where there is none."""
        from .open_checkpoint import open_checkpoint
        from .timing import Clock

        if opened.head is None or self.digest is not None or opened.files.adapter is not None:
            return None  # find_by_digest has decided that already
        for earlier in self.measured.same_head(opened.head.sha256):
            files = earlier.source.fetch(downloads, whole=True)
            if self.measured.same_bytes(opened, open_checkpoint(earlier, files, self.spec, Clock())):
                return earlier
        return None

    def _copied_rows(self, checkpoint: Checkpoint, earlier: Checkpoint) -> Rows:
        """Return the rows of an earlier checkpoint, for its copy."""
        rows = self.writer.rows(earlier, self.plan.tables)
        seen, per_token = checkpoint.tokens_seen, rows[CHECKPOINTS][0].get("flops_per_token")
        rows[CHECKPOINTS][0] |= {
            "tokens_seen": seen,
            "training_flops": per_token * seen if per_token is not None and seen is not None else None,
            "status": "duplicate",
            "duplicate_of": earlier.revision,
        }
        return rows
