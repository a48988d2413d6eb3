"""The length of windows against the positions that models have: what is taken by default, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.checkpoints.series import Checkpoint, Series
from degen.errors import CheckpointError, DegenError
from degen.forward.learned_positions import too_long
from degen.model.architecture import Architecture, describe, text_config
from degen.model.configuration import read_config
from degen.probe_registry import needs_text
from degen.runs.run_file import RUN_FILE, is_run, read_info

from .progress import Progress
from .settings import CONTEXT, Settings

if TYPE_CHECKING:
    from .plan import Plan
    from .sampling import Samples


def fit_context(settings: Settings, plan: Plan, begun: Path | None, note: Callable[[str], None]) -> Settings:
    """Return settings with the longest window, where the user did not say it.

    It is what the run began with; else 512 tokens, or the least number of learned positions of a series, of which a
    note tells.

    Args:
        settings: as the user gave them.
        plan: the series and probes.
        begun: the folder of a run that may be continued; None for one that starts over.
        note: called with a message where a model has fewer positions.

    Raises:
        DegenError: run.json is damaged.
    """
    if settings.context is not None or settings.sample is not None:
        return settings
    info = read_info(begun / RUN_FILE) if begun is not None and is_run(begun) else None
    windows = (info or {}).get("sample")  # none in a run whose probes needed no text
    if info is not None and windows and isinstance(before := info.get("asked", {}).get("context"), int):
        return replace(settings, context=before)
    if not needs_text(plan.probes.values()):
        return settings
    described = (next(_described(s, settings.trust_remote_code), None) for s in plan.series)
    least = min(
        ((shape.positions, checkpoint) for shape, _, checkpoint in filter(None, described) if shape.positions),
        key=lambda pair: pair[0],
        default=None,
    )
    if least is None or least[0] >= CONTEXT:
        return replace(settings, context=CONTEXT)
    others = f" for all {len(plan.series)} series" if len(plan.series) > 1 else ""
    note(f"{least[1]} has {least[0]} learned positions: windows of up to {least[0]} tokens{others}, not {CONTEXT}")
    return replace(settings, context=least[0])


def check_context(plan: Plan, samples: Samples, progress: Progress, trust: bool) -> None:
    """Refuse windows longer than a series' learned positions, and warn of those longer than it was trained for.

    Raises:
        DegenError: a window is longer than the positions a model has.
    """
    for series in plan.series:
        if (sample := samples.sample_of(series)) is None:
            continue
        longest = sample.longest
        for shape, config, checkpoint in _described(series, trust):
            trained = getattr(text_config(config), "max_position_embeddings", None)
            if trained is None:
                continue  # it has no such limit
            if (reason := too_long(shape, longest, str(checkpoint))) is not None:
                raise DegenError(reason)
            if longest > trained:
                problem = f"{checkpoint}: windows of {longest} tokens, and it was made for {trained}"
                progress.warn(f"{problem}; --context {trained} draws none that is longer")
            break


def _described(series: Series, trust: bool) -> Iterator[tuple[Architecture, Any, Checkpoint]]:
    """Yield architecture and configuration of each checkpoint whose configuration can be read."""
    for checkpoint in series.checkpoints:
        try:
            config = read_config(checkpoint.source.config(), trust)
            yield describe(config, trust), config, checkpoint
        except CheckpointError:
            continue  # it fails in its own row
