"""The scan: a series of checkpoints and a corpus go in, a run folder of tables comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Unpack

from degen.checkpoints.downloads import Downloads
from degen.checkpoints.prefetch import Fetcher
from degen.checkpoints.series import Checkpoint
from degen.runs.run import DOWNLOADS, Run, read_run
from degen.runs.run_writer import RunWriter, open_run

from .list_settings import list_settings
from .plan import Plan, make_plan
from .progress import Progress
from .run_info import complete_info
from .sampling import check_context, prepare_samples
from .series_scan import SeriesScan
from .settings import RUN_FOLDER, ScanKeywords, Settings, make_settings


@list_settings(ScanKeywords)
def scan(
    series: str | Path | Sequence[str | Path] | None = None,
    *,
    out: str | Path = RUN_FOLDER,
    fresh: bool = False,
    progress: Progress | None = None,
    keep: str = "none",
    **settings: Unpack[ScanKeywords],
) -> Run:
    """Measure every checkpoint of the series, in order, into a run folder.

    Args:
        series: one or several of: a checkpoint folder, a folder of checkpoints, a `.gguf` file, `base+adapter`, a
            suite such as `pythia:70m`, revisions of the hub such as `org/name@step*`; each perhaps with `label=` in
            front. None: the bundled demo.
        out: the run folder. A run that stopped goes on where it was.
        fresh: start over in a folder that holds a run.
        progress: told how far the scan is; by default the log `degen` is, warnings as such and the rest as INFO.
        keep: `all` leaves weights of the hub in its cache; `none` deletes what the scan downloaded.
        settings: the other fields of `Settings`, by name.

    Returns:
        The run, for reading. Checkpoints that could not be measured are in `Run.failed`, each with its reason.

    Raises:
        DegenError: wrong settings, nothing to scan, or a run folder that cannot be used.

    Source: Godey, de la Clergerie and Sagot 2024 (arXiv 2404.07647).
    """
    chosen = make_settings(series, **settings)
    return Scan(chosen, out=Path(out), fresh=fresh, progress=progress or Progress(), keep=keep).run()


class Scan:
    """One scan from plan to parts. `run` is the whole way of the data, top to bottom."""

    def __init__(self, settings: Settings, *, out: Path, fresh: bool, progress: Progress, keep: str) -> None:
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
        from degen.model.loading import choose_device, choose_dtype, silence_transformers

        silence_transformers()
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
        """Use as many threads as asked for, or as when the run began."""
        import torch

        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        elif "threads" in writer.info:
            torch.set_num_threads(writer.info["threads"])


def _pending(plan: Plan, writer: RunWriter) -> list[Checkpoint]:
    """Return the checkpoints still to be measured, copies of one that is measured anew among them."""
    pending: list[Checkpoint] = []
    for series in plan.series:
        anew: set[str] = set()
        for checkpoint in series.checkpoints:
            row = writer.done(checkpoint, plan.tables)
            if row is None or row["duplicate_of"] in anew:
                anew.add(checkpoint.revision)
                pending.append(checkpoint)
    return pending
