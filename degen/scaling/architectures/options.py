"""Options of comparisons of models, and the columns of quality that they select."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from degen.errors import DegenError
from degen.metrics.curve import Better
from degen.scaling.points import Points, Warn

from .columns import Quality, check_directions, find_downstream, find_quality, find_upstream

NO_UPSTREAM = "no column of upstream quality (loss, perplexity, upstream); name it with --upstream"
NO_DOWNSTREAM = "no column of downstream quality (downstream, accuracy and the like); name it with --downstream"


@dataclass(frozen=True)
class CompareOptions:
    """Options that both comparisons share.

    Attributes:
        architecture: column of the architecture; None for the usual names.
        upstream: column of quality in pre-training; None for a loss or the like.
        downstream: columns of quality in tasks; empty for those recognised by name.
        directions: better direction of a column, where its name does not say it; the key None holds for all others.
        confidence: of all intervals.
    """

    architecture: str | None = None
    upstream: str | None = None
    downstream: Sequence[str] = ()
    directions: Mapping[str | None, Better] | None = None
    confidence: float = 0.9


def check_confidence(confidence: float) -> None:
    """Refuse a confidence that does not lie between 0 and 1."""
    if not 0 < confidence < 1:
        raise DegenError(f"--confidence {confidence:g}: must lie between 0 and 1")


def find_qualities(
    points: Points, options: CompareOptions, warn: Warn, more: Sequence[str] = ()
) -> tuple[Quality | None, list[Quality], list[Quality]]:
    """Return the columns of upstream quality (None without one), of downstream quality, and the further ones.

    Args:
        points: the rows.
        options: names and directions of the columns.
        warn: called with a warning for each column of which the better direction is not known.
        more: names of further columns of quality.

    Raises:
        DegenError: a column is missing or holds values that are no numbers, or a direction is of another column.
    """
    up = find_upstream(points, options.upstream, warn)
    down = [name for name in find_downstream(points, options.downstream, up) if name != up]
    directions = options.directions or {}
    names = dict.fromkeys([*([up] if up is not None else []), *down, *more])
    qualities = {name: find_quality(points, name, directions, warn) for name in names}
    check_directions(directions, list(qualities))
    upstream = qualities[up] if up is not None else None
    return upstream, [qualities[name] for name in down], [qualities[name] for name in dict.fromkeys(more)]


def source_columns(
    points: Points,
    architecture: str | None,
    costs: Mapping[str, str],
    upstream: Quality | None,
    downstream: Sequence[Quality],
) -> dict[str, str]:
    """Return what a comparison uses of a table -> the column that it is read from, for the summary of the source.

    Args:
        points: the rows.
        architecture: the column of architectures; None without one.
        costs: quantity of cost -> its column.
        upstream: the column of upstream quality; None without one.
        downstream: the columns of downstream quality.
    """
    model = points.columns.get("model")
    columns = {"model": model} if model is not None and model != architecture else {}
    if architecture is not None:
        columns["architecture"] = architecture
    columns |= costs
    if upstream is not None:
        columns["upstream"] = points.origin("loss") if upstream.name == "loss" else upstream.name
    if downstream:
        columns["downstream"] = ", ".join(quality.name for quality in downstream)
    return columns
