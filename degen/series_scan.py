"""The checkpoints of one series, measured in order; a failure is a row like any other."""

from __future__ import annotations

import gc
import os
import traceback
from typing import TYPE_CHECKING

from .architecture import config_sha256
from .duplicates import Measured
from .errors import CheckpointError, DegenError, one_line
from .plan import Plan
from .progress import Progress
from .run_writer import RunWriter, modified_ns
from .sampling import Samples
from .series import Checkpoint, Series
from .settings import Settings, fingerprint
from .tables import CHECKPOINTS, TIMING, Rows

if TYPE_CHECKING:
    from .measure import Job, Opened


class SeriesScan:
    """The checkpoints of one series, in order."""

    def __init__(
        self,
        series: Series,
        settings: Settings,
        plan: Plan,
        samples: Samples,
        writer: RunWriter,
        progress: Progress,
    ) -> None:
        self.settings = settings
        self.progress = progress
        self.plan = plan
        self.writer = writer
        self.series = series
        self.samples = samples
        self.measured = Measured()
        self.batch_tokens: int | None = None  # as run.json keeps it, by the checkpoint from which it holds

    def run(self, todo: set[Checkpoint]) -> None:
        """Measure those in `todo`; the others are done, and only remembered."""
        job = self._job()
        if job.unmeasured:
            self.progress.warn(f"{self.series.model}: {job.unmeasured}")
        for checkpoint in self.series.checkpoints:
            self.batch_tokens = self.writer.info["batch_tokens"].get(str(checkpoint), self.batch_tokens)
            if checkpoint in todo:
                self._measure(checkpoint, job)
            else:
                row = self.writer.done(checkpoint, self.plan.tables)
                if row is not None and row["status"] == "ok":
                    self.measured.add(row["head_sha256"], checkpoint)

    def _job(self) -> Job:
        from .loading import choose_device, choose_dtype
        from .measure import Job

        settings = self.settings
        device = choose_device(settings.device)
        tokenizer = self.samples.tokenizer_of(self.series)
        return Job(
            probes=self.plan.probes,
            tables=self.plan.tables,
            sample=self.samples.sample_of(self.series),
            ids=tokenizer.ids if tokenizer is not None else None,
            device=device,
            dtype=choose_dtype(settings.dtype, device),
        )

    def _measure(self, checkpoint: Checkpoint, job: Job) -> None:
        """Measure one checkpoint and write its parts; a failure is a row like any other."""
        from .measure import Clock, open_checkpoint, timing_rows

        progress = self.progress
        modified = modified_ns(checkpoint) or 0
        progress.start(checkpoint, job.sample.tokens if job.sample and job.stream_probes else 0)
        opened, source = None, ""
        try:
            opened = open_checkpoint(checkpoint, job)
            rows = self._duplicate(opened, job) or self._measured(opened, job)
            row = rows[CHECKPOINTS][0]
            source = fingerprint([row["head_sha256"], config_sha256(opened.config)])
            if row["status"] == "ok":
                self.measured.add(row["head_sha256"], checkpoint)
        except Exception as error:
            if os.environ.get("DEGEN_DEBUG") == "1":
                progress.warn(traceback.format_exc())
            row = {"tokens_seen": checkpoint.tokens_seen, "status": "failed", "reason": one_line(error)}
            rows = {CHECKPOINTS: [(opened.identity if opened is not None else {}) | row]}
        clock, dtype = (opened.clock, opened.dtype) if opened is not None else (Clock(), None)
        rows[TIMING] = timing_rows(clock, job, modified, dtype)
        self._write(checkpoint, rows, source)
        progress.finish(checkpoint, row["status"], row["reason"] or "")

    def _write(self, checkpoint: Checkpoint, rows: Rows, source: str) -> None:
        try:
            self.writer.write(checkpoint, self.plan.tables, rows, source)
        except OSError as error:
            raise DegenError(
                f"{self.writer.path}: {checkpoint} cannot be written ({error.strerror or error}); what was finished is "
                "kept, and the same command goes on from there",
                exit_code=4,
            ) from error

    def _measured(self, opened: Opened, job: Job) -> Rows:
        """Measure; where a batch does not fit, halve it and begin the checkpoint again."""
        from .cost import auto_batch_tokens
        from .measure import measure
        from .memory import OutOfMemoryError

        progress, settings = self.progress, self.settings
        longest = max((len(w.tokens) for w in job.sample.windows), default=1) if job.sample else settings.context
        if self.batch_tokens is None:
            asked = settings.batch_size and settings.batch_size * longest
            most = longest * len(job.sample.windows) if job.sample else longest
            auto = auto_batch_tokens(opened.architecture, longest, job.device)
            self._keep_plan(opened, min(asked or auto, most))
        while True:
            assert self.batch_tokens is not None
            try:
                rows = measure(opened, job, self.batch_tokens, progress.advance)
            except OutOfMemoryError as error:
                if self.batch_tokens <= longest:
                    raise CheckpointError(
                        f"out of memory with one window of {longest} tokens; lower --context ({one_line(error)})"
                    ) from error
                self._keep_plan(opened, max(self.batch_tokens // 2, longest))
                progress.warn(f"{opened.checkpoint}: out of memory; batches of {self.batch_tokens} tokens from here")
                progress.start(opened.checkpoint, job.sample.tokens if job.sample else 0)
            else:
                rows[CHECKPOINTS][0] |= {"status": "ok", "reason": job.unmeasured}
                return rows
            gc.collect()  # what the batch held that did not fit; its error is gone only here

    def _keep_plan(self, opened: Opened, batch_tokens: int) -> None:
        """Batches of this size from this checkpoint on, also when the run is continued."""
        self.batch_tokens = batch_tokens
        self.writer.info["batch_tokens"][str(opened.checkpoint)] = batch_tokens
        self.writer.save_info()

    def _duplicate(self, opened: Opened, job: Job) -> Rows | None:
        """The rows of an earlier checkpoint whose bytes are the same; None where there is none."""
        from .measure import open_checkpoint

        if opened.head is None:
            return None
        alike = self.measured.alike(opened.head.sha256)
        earlier = next((c for c in alike if self.measured.same(opened, open_checkpoint(c, job))), None)
        if earlier is None:
            return None
        rows = self.writer.rows(earlier, self.plan.tables)
        rows[CHECKPOINTS][0] |= {
            "tokens_seen": opened.checkpoint.tokens_seen,
            "status": "duplicate",
            "duplicate_of": earlier.revision,
        }
        return rows
