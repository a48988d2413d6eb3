"""The scan: a series of checkpoints and a corpus go in, a run folder of tables comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from degen.checkpoints.downloads import Downloads
from degen.checkpoints.prefetch import Fetcher
from degen.checkpoints.series import Checkpoint
from degen.runs.run import DOWNLOADS, Run, read_run
from degen.runs.run_writer import RunWriter, open_run

from .plan import Plan, make_plan
from .progress import Progress
from .run_info import complete_info
from .sampling import check_context, prepare_samples
from .series_scan import SeriesScan
from .settings import Settings


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
    options: Mapping[str, Mapping[str, Any]] | None = None,
    revision_pattern: str | None = None,
    tokens_per_step: int | None = None,
    trust_remote_code: bool = False,
    keep: str = "none",
) -> Run:
    """Measure every checkpoint of the series, in order, into a run folder.

    Args:
        series: one or several of: a checkpoint folder, a folder of checkpoints, a `.gguf` file, `base+adapter`, a
            suite such as `pythia:70m`, revisions of the hub such as `org/name@step*`; each perhaps with `label=` in
            front. None: the bundled demo.
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
        options: for single probes, as in `{"rank": {"ranks": (64, 256)}}`.
        revision_pattern: a regular expression that reads names of revisions, with a group `step`.
        tokens_per_step: training tokens of a step, where names and suites say nothing of tokens.
        trust_remote_code: run Python code that a checkpoint brings, with all you may do yourself.
        keep: `all` leaves weights of the hub in its cache; `none` deletes what the scan downloaded.

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
        options={name: dict(chosen) for name, chosen in (options or {}).items()},
        revision_pattern=revision_pattern,
        tokens_per_step=tokens_per_step,
        trust_remote_code=trust_remote_code,
    )
    return Scan(settings, Path(out), fresh, progress or Progress(), keep).run()


class Scan:
    """One scan from plan to parts. `run` is the whole way of the data, top to bottom."""

    def __init__(self, settings: Settings, out: Path, fresh: bool, progress: Progress, keep: str = "none") -> None:
        self.settings = settings
        self.out = out
        self.fresh = fresh
        self.progress = progress
        self.downloads = Downloads(out / DOWNLOADS, keep)

    def run(self, look: Callable[[Plan], None] | None = None) -> Run:
        """Scan what is not measured yet; `look` is shown the plan before."""
        plan = make_plan(self.settings, self.progress.note)
        if look is not None:
            look(plan)
        with open_run(self.out, self.settings.asked(), self.fresh) as writer:
            pending = _pending(plan, writer)
            self.progress.begin(plan.checkpoints, len(plan.checkpoints) - len(pending))
            if pending or "config_hash" not in writer.info:
                self._measure(plan, writer, pending)
        return read_run(self.out)

    def _measure(self, plan: Plan, writer: RunWriter, pending: Sequence[Checkpoint]) -> None:
        """Fix the sample, then measure checkpoint after checkpoint."""
        from degen.model.loading import choose_device, choose_dtype, quieten

        quieten()
        device = choose_device(self.settings.device)
        dtype = choose_dtype(self.settings.dtype, device)
        samples = prepare_samples(self.settings, plan, writer, self.progress)
        check_context(plan, samples, self.progress, self.settings.trust_remote_code)
        self._use_threads(writer)
        complete_info(writer, [s.model for s in plan.series], plan.probes, plan.tables, samples, device, dtype)
        writer.start()  # from here on the folder changes
        samples.save(writer)
        writer.save_info()
        todo = set(pending)
        scans = {
            s.model: SeriesScan(s, self.settings, plan, samples, writer, self.progress)
            for s in plan.series if not todo.isdisjoint(s.checkpoints)
        }  # fmt: skip
        order = [wanted for series_scan in scans.values() for wanted in series_scan.wanted(todo)]
        with Fetcher(self.downloads, order, lambda c: scans[c.model].is_copy(c)) as fetcher:
            for series_scan in scans.values():
                series_scan.run(todo, fetcher)

    def _use_threads(self, writer: RunWriter) -> None:
        """As many threads as asked for, or as when the run began."""
        import torch

        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        elif "threads" in writer.info:
            torch.set_num_threads(writer.info["threads"])


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
