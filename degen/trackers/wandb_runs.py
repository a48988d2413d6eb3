"""Runs in Weights & Biases, one for each series; without a network `WANDB_MODE=offline` keeps them in files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from degen.hashing import fingerprint

from .tracked_series import TrackedSeries

CONTENT = "degen_content"  # of the configuration: hash of the rows that the run holds


def write(series: Sequence[TrackedSeries], options: Mapping[str, str]) -> list[str]:
    """Log each series into a run whose id is that of the series, and return a line on each.

    A run that holds the same rows already is left as it is. wandb takes no row at an earlier step than its last one, so
    that of a series that has grown only the later rows are added.
    """
    import wandb

    lines = []
    for one in series:
        content = fingerprint([one.identity, *([step, row] for step, row in one.rows.items())])
        if _is_kept_offline(wandb, one, content, options):
            lines.append(f"{one.name}: its {len(one.rows)} rows are there already")
            continue
        run: Any = wandb.init(
            project=options["project"], entity=options.get("entity"), dir=options.get("dir"), id=one.identity,
            name=one.name, resume="allow", job_type="degen",
            settings=wandb.Settings(console="off", silent=True),
        )  # fmt: skip
        try:
            if run.config.get(CONTENT) == content:
                lines.append(f"{one.name}: its {len(one.rows)} rows are there already")
                continue
            run.config.update(one.settings, allow_val_change=True)
            for step, row in one.rows.items():
                if step >= run.step:
                    run.log(row, step=step)
            run.config.update({CONTENT: content}, allow_val_change=True)  # last: until then the rows are not all there
            if run.dir is not None and run.offline:
                (Path(run.dir) / f"{CONTENT}-{content}").touch()
            lines.append(f"{one.name}: {len(one.rows)} rows as run {one.identity} of project {options['project']}")
        finally:
            run.finish()
    return lines


def _is_kept_offline(wandb: Any, series: TrackedSeries, content: str, options: Mapping[str, str]) -> bool:
    """Return whether files of an offline run on this machine hold these very rows."""
    folder = Path(options.get("dir") or wandb.setup().settings.root_dir or ".") / "wandb"
    return any(folder.glob(f"offline-run-*-{series.identity}/files/{CONTENT}-{content}"))
