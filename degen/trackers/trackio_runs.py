"""Runs in trackio, one for each series, kept on this machine or, with `space_id`, in a Space of the hub."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

from .tracked_series import TrackedSeries


def write(series: Sequence[TrackedSeries], options: Mapping[str, str]) -> list[str]:
    """Log each series into a run that its name and identity name, and return a line on each.

    Steps that the run has already are left as they are.
    """
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    lines = []
    for one in series:
        name = f"{one.name} {one.identity[:8]}"
        there = _steps(SQLiteStorage, options["project"], name)
        missing = {step: row for step, row in one.rows.items() if step not in there}
        if missing:
            with contextlib.redirect_stdout(io.StringIO()):  # the result of a command goes to stdout, and nothing else
                run: Any = trackio.init(
                    project=options["project"], name=name, space_id=options.get("space_id"), resume="allow",
                    config=one.settings, embed=False,
                )  # fmt: skip
                for step, row in missing.items():
                    run.log(row, step=step)
                trackio.finish()
        lines.append(f"{one.name}: {len(missing)} rows added to {len(there)} in run {name!r} of {options['project']}")
    return lines


def _steps(storage: Any, project: str, name: str) -> set[int]:
    """Return the steps that a run has already."""
    return {int(row["step"]) for row in storage.get_logs(project, name) or ()}
