"""Read curves of layers and domains from the parts of a run, with the reasons for missing values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from degen.readers.columns import bounded
from degen.stats.document_interval import JackknifeRange
from degen.tables import DOMAINS, Row

from .curve import Curve, Point, curve_from_points, reason_for_missing
from .run_parts import LAYERS, WINDOWS, RunParts
from .window_losses import WINDOW_COLUMNS

HEAD_INPUT = "head_input"  # the site whose vectors the LM head sees


def layer_curves(
    parts: RunParts, model: str, rows: Sequence[Row], metric: str, domain: str | None = None
) -> list[Curve]:
    """Return the curves of a metric, one for every layer and site.

    Args:
        parts: the run.
        model: label of the series.
        rows: the rows of table `checkpoints` for the checkpoints of the curves.
        metric: a column of table `layers`, or of table `domains` where there is a domain.
        domain: of the text; None for all text.

    Returns:
        The curves, sorted by layer and site, the head's input last in its layer; empty where the metric was measured
        at no layer.
    """
    measured: list[dict[tuple[int, str], Row]] = []
    for row in rows:
        found = _metric_rows(parts, model, row, metric, domain)
        measured.append({(r["layer"], r["site"]): r for r in found if r.get("layer") is not None})
    keys = sorted({key for sites in measured for key in sites}, key=lambda key: (key[0], key[1] == HEAD_INPUT))
    curves = []
    for layer, site in keys:
        own = [sites.get((layer, site), {}) for sites in measured]
        points = [
            _point_of_row(row, r, metric, parts.freedom if domain is None else _freedom(r))
            for row, r in zip(rows, own, strict=True)
        ]
        place = f"layer {layer} {site}" if domain is None else f"layer {layer} {site} domain {domain}"
        curves.append(curve_from_points(model, metric, points, place=place, layer=layer, site=site))
    return curves


def domain_metric_curve(parts: RunParts, model: str, rows: Sequence[Row], metric: str, domain: str) -> Curve:
    """Return the curve of a metric of the whole model on the text of one domain.

    Args:
        parts: the run.
        model: label of the series.
        rows: the rows of table `checkpoints` for the checkpoints of the curve.
        metric: a column of table `domains`.
        domain: name of the domain.
    """
    points = []
    for row in rows:
        found = _metric_rows(parts, model, row, metric, domain)
        own = next((r for r in found if r.get("layer") is None), {})
        points.append(_point_of_row(row, own, metric, _freedom(own)))
    return curve_from_points(model, metric, points, place=f"domain {domain}")


def _metric_rows(parts: RunParts, model: str, row: Row, metric: str, domain: str | None) -> list[Row]:
    """Return the rows of a checkpoint in table `layers`, or those of a domain in table `domains`; none where it failed.

    They have the columns of the metric, of its error, and of what says how single documents move it.
    """
    columns: tuple[str, ...] = ("layer", "site", "reason", metric, f"{metric}_se", *spread_columns(metric))
    if domain is not None:
        columns = ("domain", "documents", *columns)
    table = LAYERS if domain is None else DOMAINS
    part = parts.part(table, model, row["revision"], columns) if row["status"] != "failed" else None
    return [r for r in part.to_pylist() if r.get("domain") == domain] if part is not None else []


def _freedom(row: Row) -> int | None:
    """Return the degrees of freedom of a domain's standard errors: its documents − 1, at least 1; None if unknown."""
    documents = row.get("documents")
    return max(documents - 1, 1) if isinstance(documents, int) else None


def _point_of_row(row: Row, own: Row, metric: str, freedom: int | None) -> Point:
    """Return the point of a checkpoint, by its row of table `checkpoints` and its own row of another table.

    Where both give a reason, that of the other table is about this very value.
    """
    row = row | {"reason": own["reason"]} if own.get("reason") and row["status"] != "failed" else row
    return replace(_point(row, own.get(metric), own.get(f"{metric}_se"), freedom), spread=row_spread(own, metric))


def spread_columns(metric: str) -> tuple[str, str, str]:
    """Return the columns that say how single documents move a metric: without two of them, and across documents."""
    return f"{metric}_jackknife_min", f"{metric}_jackknife_max", f"{metric}_across"


def row_spread(row: Mapping[str, object], metric: str) -> JackknifeRange | None:
    """Return how far single documents move a metric, from a row with the columns of `spread_columns`.

    None where the row lacks the first two; of runs of earlier versions all do.
    """
    numbers = [v if isinstance(v, float) and math.isfinite(v) else None for v in map(row.get, spread_columns(metric))]
    lowest, highest, across = numbers
    return None if lowest is None or highest is None else JackknifeRange(lowest, highest, across)


def domains_of(parts: RunParts, model: str, rows: Sequence[Row]) -> set[str] | None:
    """Return the domains of the text that some checkpoints of a model were measured on, as a set of names.

    None where the run has no scored windows of them, so that the domains are unknown.

    Args:
        parts: the run.
        model: label of the series.
        rows: the rows of table `checkpoints` for these checkpoints.
    """
    tables = [parts.part(WINDOWS, model, row["revision"], WINDOW_COLUMNS) for row in rows if row["status"] != "failed"]
    known = [table for table in tables if table is not None]
    if not known:
        return None
    return {domain for table in known for domain in table["domain"].to_pylist() if domain is not None}


def domain_curve(parts: RunParts, model: str, rows: Sequence[Row], domain: str) -> Curve:
    """Return the curve of the loss on the text of one domain, in nats per token.

    Args:
        parts: the run.
        model: label of the series.
        rows: the rows of table `checkpoints` for the checkpoints of the curve.
        domain: name of the domain.
    """
    points = [_domain_point(parts, model, row, domain) for row in rows]
    windows = partial(parts.windows, model, domain=domain)
    return curve_from_points(model, "loss", points, place=f"domain {domain}", windows=windows)


def unmeasured_curve(model: str, metric: str, rows: Sequence[Row], place: str | None = None) -> Curve:
    """Return a curve of a metric that was measured at no checkpoint.

    Args:
        model: label of the series.
        metric: its name.
        rows: the rows of table `checkpoints` for its checkpoints; empty for a model of which none is measured yet.
        place: the layer and site that the curve would be of; None for the whole checkpoint.
    """
    points = [_point(row, None, None) for row in rows]
    nothing = Point(None, None, None, None, "no checkpoint of it is measured yet; go on with the scan")
    return curve_from_points(model, metric, points or [nothing], place=place)


def _domain_point(parts: RunParts, model: str, row: Row, domain: str) -> Point:
    if row["status"] == "failed" or parts.part(WINDOWS, model, row["revision"], WINDOW_COLUMNS) is None:
        return _point(row, None, None)
    windows = parts.windows(model, row["revision"], domain)
    if windows is None:
        return _point(row | {"reason": f"no token of the domain {domain} was scored"}, None, None)
    return _point(row, windows.mean(), windows.error(), windows.freedom)


def _point(row: Row, value: object, error: object, freedom: int | None = None) -> Point:
    """Return the point of a checkpoint; a value that is None or NaN is missing, and the point gives the reason.

    Args:
        row: the row of table `checkpoints`; a failed checkpoint has no value, whatever `value` is.
        value: the metric; anything but a number is missing.
        error: its standard error; anything but a finite number of 0 or more is unknown.
        freedom: degrees of freedom of the error; None if unknown.
    """
    revision, step, tokens = row["revision"], row["step"], row.get("tokens_seen")
    number = float(value) if isinstance(value, (int, float)) and row["status"] != "failed" else None
    if number is None or math.isnan(number):
        return Point(
            revision, step, None, None, reason_for_missing(row["status"], row["reason"], number), tokens=tokens
        )
    known = float(error) if isinstance(error, (int, float)) and math.isfinite(error) and error >= 0 else None
    return Point(revision, step, float(bounded(np.array(number))), known, None, freedom, tokens)
