"""The scan: a series of checkpoints and a corpus go in, a run folder of tables comes out."""

from __future__ import annotations

import gc
import os
import platform
import traceback
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from .duplicates import Measured
from .errors import CheckpointError, DegenError, one_line
from .plan import Plan, make_plan
from .progress import Progress
from .run import Run, RunWriter, modified_ns, open_run, read_run
from .sampling import Samples, check_context, prepare_samples
from .series import Checkpoint, Series
from .settings import Settings, fingerprint
from .tables import CHECKPOINTS, SCHEMA_VERSION, TIMING, Rows
from .version import __version__

if TYPE_CHECKING:
    from .measure import Job, Opened


def scan(
    series: str | Path | Sequence[str | Path] | None = None,
    *,
    out: str | Path = "degen-run",
    fresh: bool = False,
    progress: Progress | None = None,
    steps: str = "all",
    corpus: str | Path = "demo",
    tokens: int = 50_000,
    context: int = 512,
    seed: int = 0,
    sample: str | Path | None = None,
    tokenizer: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int | None = None,
    threads: int | None = None,
    probes: str | Sequence[str] | None = None,
) -> Run:
    """Measure every checkpoint of the series, in order, into a run folder.

    Args:
        series: one or several of: a checkpoint folder, a folder of checkpoints, a `.gguf` file, each perhaps with
            `label=` in front. None: the bundled demo.
        out: the run folder. A run that stopped goes on where it was.
        fresh: start over in a folder that holds a run.
        progress: told how far the scan is; by default the log `degen` is, warnings as such and the rest as INFO.
        steps: thins each series: `all`, `log:20`, or a list as in `0,1000:143000:4000`.
        corpus: a file, a folder, `hf://org/dataset[:split]`, or `demo`.
        tokens: sum of the windows' lengths.
        context: the longest window, in tokens.
        seed: of the draw of windows.
        sample: `sample.parquet` of an earlier run, whose windows are taken instead of a draw.
        tokenizer: a folder or name, instead of the series' own.
        device: `auto`, or as torch names it.
        dtype: `auto` (float32 on a CPU, the checkpoint's own elsewhere), `float32`, `bfloat16` or `float16`.
        batch_size: full windows in a batch; None for automatic.
        threads: CPU threads of torch; None for its own choice.
        probes: names; None for the default ones.

    Returns:
        The run, for reading. Checkpoints that could not be measured are in `Run.failed`, each with its reason.

    Raises:
        DegenError: wrong settings, nothing to scan, or a run folder that cannot be used.

    Source: Godey, de la Clergerie and Sagot 2024 (arXiv 2404.07647).
    """
    named = (series,) if isinstance(series, str | Path) else tuple(series or ())
    settings = Settings(
        series=tuple(map(str, named)),
        steps=steps,
        corpus=str(corpus),
        tokens=tokens,
        context=context,
        seed=seed,
        sample=str(sample) if sample is not None else None,
        tokenizer=str(tokenizer) if tokenizer is not None else None,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        threads=threads,
        probes=(probes,) if isinstance(probes, str) else tuple(probes) if probes is not None else None,
    )
    return Scan(settings, Path(out), fresh, progress or Progress()).run()


class Scan:
    """One scan from plan to parts. `run` is the whole way of the data, top to bottom."""

    def __init__(self, settings: Settings, out: Path, fresh: bool, progress: Progress) -> None:
        self.settings = settings
        self.out = out
        self.fresh = fresh
        self.progress = progress

    def run(self) -> Run:
        """Scan what is not measured yet."""
        plan = make_plan(self.settings)
        with open_run(self.out, self.settings.asked(), self.fresh) as writer:
            pending = _pending(plan, writer)
            self.progress.begin(plan.checkpoints, len(plan.checkpoints) - len(pending))
            if pending or "config_hash" not in writer.info:
                self._measure(plan, writer, pending)
        return read_run(self.out)

    def _measure(self, plan: Plan, writer: RunWriter, pending: Sequence[Checkpoint]) -> None:
        """Fix the sample, then measure checkpoint after checkpoint."""
        from .loading import choose_device, choose_dtype, quieten

        quieten()
        device = choose_device(self.settings.device)
        dtype = choose_dtype(self.settings.dtype, device)
        samples = prepare_samples(self.settings, plan, writer, self.progress)
        check_context(plan, samples, self.progress)
        self._resolve(plan, writer, samples, {"device": device.type, "dtype": str(dtype).removeprefix("torch.")})
        writer.start()  # from here on the folder changes
        samples.save(writer)
        writer.save_info()
        todo = set(pending)
        for series in plan.series:
            if not todo.isdisjoint(series.checkpoints):
                SeriesScan(self, plan, writer, samples, series).run(todo)

    def _resolve(self, plan: Plan, writer: RunWriter, samples: Samples, runs_on: Mapping[str, str]) -> None:
        """Complete run.json before the first checkpoint: what the words of the settings mean here and now.

        Raises:
            DegenError: in a continued run they meant something else before.
        """
        import torch

        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        elif "threads" in writer.info:
            torch.set_num_threads(writer.info["threads"])
        info = writer.info
        info["degen_version"] = __version__
        info["versions"] = {"python": platform.python_version()} | {
            name: version(name) for name in ("torch", "transformers", "safetensors", "pyarrow", "numpy")
        }
        info["models"] = [s.model for s in plan.series]
        info["tables"] = plan.tables.names
        info["threads"] = torch.get_num_threads()
        info["sample"] = samples.info
        resolved = {
            "probes": list(plan.probes),
            "columns": fingerprint({name: plan.tables.schema(name).to_string() for name in plan.tables.names}),
            **runs_on,
        }
        before = info.setdefault("resolved", resolved)
        if changed := [name for name in resolved if resolved[name] != before.get(name)]:
            raise DegenError(
                f"{writer.path}: {changed[0]} would be {resolved[changed[0]]} here, and was {before.get(changed[0])} "
                "when the run began; choose another --out, or start over with --fresh"
            )
        info["config_hash"] = fingerprint(
            {name: info["asked"][name] for name in ("tokens", "context", "seed")}
            | {"resolved": resolved, "schema_version": SCHEMA_VERSION}
            | {"sample": sorted(s.sha256 for s in samples.samples.values())}
        )
        info.setdefault("batch_tokens", {})


def _pending(plan: Plan, writer: RunWriter) -> list[Checkpoint]:
    """The checkpoints still to be measured, copies of one that is measured anew among them."""
    pending: list[Checkpoint] = []
    for series in plan.series:
        anew: set[str] = set()
        for checkpoint in series.checkpoints:
            row = writer.done(checkpoint, plan.tables)
            if row is None or row["duplicate_of"] in anew:
                anew.add(checkpoint.revision)
                pending.append(checkpoint)
    return pending


class SeriesScan:
    """The checkpoints of one series, in order."""

    def __init__(self, scan: Scan, plan: Plan, writer: RunWriter, samples: Samples, series: Series) -> None:
        self.scan = scan
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
            self.scan.progress.warn(f"{self.series.model}: {job.unmeasured}")
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

        settings = self.scan.settings
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

        progress = self.scan.progress
        modified = modified_ns(checkpoint) or 0
        progress.start(checkpoint, job.sample.tokens if job.sample and job.stream_probes else 0)
        opened, source = None, ""
        try:
            opened = open_checkpoint(checkpoint, job)
            rows = self._duplicate(opened, job) or self._measured(opened, job)
            row = rows[CHECKPOINTS][0]
            source = fingerprint([row["head_sha256"], opened.config.to_json_string()])
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

        progress, settings = self.scan.progress, self.scan.settings
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
