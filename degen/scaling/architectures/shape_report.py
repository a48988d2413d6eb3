"""Which knob of the shape pays: effects, returns on costs, turns, disagreements and savings of one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats, Mask
from degen.errors import DegenError
from degen.hints import some_names
from degen.metrics.metric_kinds import kind_of
from degen.readers.columns import is_numeric
from degen.readers.records import counted
from degen.readers.source_summary import SourceSummary
from degen.scaling.column_names import column_of
from degen.scaling.points import Points, Warn
from degen.scaling.quantities import SECONDS, quantity_of
from degen.tables import Column, Row, schema_of

from .columns import Cost, Quality, architecture_column, architectures, find_costs
from .knob_disagreements import find_disagreement
from .knob_effects import KnobFit, fit_knobs, knob_effect, knob_effect_at_cost, log_quality, return_on_cost, why_not
from .knob_turns import MIN_VALUES, find_turn
from .knobs import KNOBS, Knob, find_knobs, varies
from .options import NO_DOWNSTREAM, NO_UPSTREAM, CompareOptions, check_confidence, find_qualities, source_columns
from .savings import MAX_MODELS, find_savings

if TYPE_CHECKING:
    import pyarrow as pa

FEWEST_TOKENS = 1e5  # of a training; fewer are those of something else

COLUMNS = (
    Column("architecture", "string", "", "the models that it is of; null for all of the table"),
    Column("knob", "string", "", "the knob of the shape"),
    Column("quality", "string", "", "column of quality"),
    Column("equal", "string", "", "what is held equal: other knobs, or a cost"),
    Column("verdict", "string", "", "more is better, less is better, no difference shown, cannot tell"),
    Column("elasticity", "float64", "% per %", "d ln quality / d ln knob, by least squares"),
    Column("elasticity_low", "float64", "% per %", "lower end of its t-interval"),
    Column("elasticity_high", "float64", "% per %", "upper end of its t-interval"),
    Column("bends_p", "float64", "", "p-value of a term of ln² knob: small where the elasticity changes"),
    Column("models", "int64", "", "models that have all of it"),
    Column("reason", "string", "", "why it cannot be told"),
)


@dataclass(frozen=True, eq=False)
class ShapeReport:
    """The result of `degen scaling shapes`.

    Attributes:
        rows: the effect of each knob on each quality; see `knob_effect` and `knob_effect_at_cost`.
        returns: what each quality gains for each cost through each knob; see `return_on_cost`.
        turns: from where on a knob no longer pays; see `find_turn`.
        disagreements: of upstream and downstream; see `find_disagreement`.
        savings: the cheapest other model that is as good; see `find_savings`.
        source: what was understood of the table.
    """

    rows: list[Row]
    returns: list[Row]
    turns: list[Row]
    disagreements: list[Row]
    savings: list[Row]
    source: SourceSummary

    def document(self) -> Row:
        """Return the result for a JSON document."""
        parts = ("rows", "returns", "turns", "disagreements", "savings")
        return {"source": self.source.as_dict(), **{name: getattr(self, name) for name in parts}}

    def table(self) -> pa.Table:
        """Return `rows`, the effects, as a pyarrow table."""
        import pyarrow as pa

        return pa.Table.from_pylist(self.rows, schema=schema_of(list(COLUMNS)))


@dataclass(frozen=True, eq=False)
class _Models:
    """The models of one architecture, or all: mask, knobs, ln D, qualities and costs of the whole table."""

    architecture: str | None
    among: Mask
    knobs: Sequence[Knob]
    tokens: Floats | None
    upstream: Quality | None
    downstream: Sequence[Quality]
    costs: Sequence[Cost]
    confidence: float

    @cached_property
    def fits(self) -> dict[str, KnobFit]:
        """The regression of each quality on all knobs."""
        qualities = [q for q in (self.upstream, *self.downstream) if q is not None]
        return {q.name: fit_knobs(log_quality(q), self.knobs, self.tokens, self.among) for q in qualities}


def report_shapes(
    points: Points,
    options: CompareOptions,
    costs: Sequence[str] = (),
    knobs: Sequence[str] = (),
    warn: Warn = lambda line: None,
) -> ShapeReport:
    """Return what each knob of the models' shape buys, upstream and downstream, within each architecture.

    Args:
        points: the models, from `read_points`.
        options: columns, directions and confidence.
        costs: columns of cost; empty for those of parameters, FLOPs and seconds that the table has.
        knobs: further columns that are knobs.
        warn: called with each warning.

    Raises:
        DegenError: a column is missing, no knob varies, or there is no quality.

    Source: Tay et al. 2021, Scale Efficiently, arXiv 2109.10686; Tay et al. 2022, arXiv 2207.10551, figures 4 and 5.
    """
    check_confidence(options.confidence)
    upstream, downstream, _ = find_qualities(points, options, warn)
    if upstream is None and not downstream:
        raise DegenError(f"{points.path}: {NO_UPSTREAM}, and {NO_DOWNSTREAM}")
    column = architecture_column(points, options.architecture, or_model=False)
    found = find_knobs(points, knobs)
    paid = find_costs(points, costs)
    qualities = [q for q in (upstream, *downstream) if q is not None]
    _check_knobs(points, found, qualities, paid)
    _warn_of_unused(points, found, [q.name for q in downstream], column, warn)
    _warn_of_gaps(points, found, qualities, warn)
    labels = architectures(points, column) if column is not None else None
    if labels is not None and 2 * len(set(labels)) > len(labels):
        warn(f"{points.path}: {column} is different in most rows, so models of all architectures are taken together")
        labels = None
    groups = list(dict.fromkeys(labels)) if labels is not None else []
    masks: list[tuple[str | None, Mask]] = [(None, np.ones(len(points), dtype=bool))]
    if labels is not None and len(groups) > 1:
        masks = [(group, np.array([label == group for label in labels], dtype=bool)) for group in groups]
    tokens = _log_tokens(points)
    judged = [
        _Models(group, mask, found, tokens, upstream, downstream, paid, options.confidence) for group, mask in masks
    ]
    turns_tested = sum(_has_turn(fit, knob) for models in judged for fit in models.fits.values() for knob in found)
    pairs_tested = len(judged) * len(found) * len(downstream)
    parts = [_report(models, turns_tested, pairs_tested) for models in judged]
    rows, returns, turns, disagreements = ([row for part in parts for row in part[i]] for i in range(4))
    savings = find_savings(points.names, paid, upstream, downstream)
    if len(points) > MAX_MODELS:
        warn(f"{points.path}: no savings are looked for among {len(points):,} rows; {MAX_MODELS:,} are the most")
    columns = source_columns(points, column, {}, upstream, downstream)
    columns |= {"knobs": ", ".join(knob.column for knob in found)}
    if paid:
        columns["costs"] = ", ".join(cost.name for cost in paid)
    return ShapeReport(rows, returns, turns, disagreements, savings, points.summary(columns))


def _check_knobs(points: Points, knobs: Sequence[Knob], qualities: Sequence[Quality], costs: Sequence[Cost]) -> None:
    for knob in knobs:
        for role, others in (("quality", qualities), ("cost", costs)):
            names = [other.name for other in others]
            if knob.column in (*names, *(points.columns.get(name) for name in names)):
                raise DegenError(f"--knob {knob.column}: this column is a {role}; a knob is something of the shape")
    if not knobs:
        raise DegenError(
            f"{points.path}: no column is a knob of the shape ({', '.join(KNOBS)}); name one with --knob COLUMN"
        )
    if not any(varies(knob.logs) for knob in knobs):
        listed = ", ".join(knob.column for knob in knobs)
        raise DegenError(f"{points.path}: all models have one shape ({listed}); effects need models of several shapes")


def _warn_of_unused(
    points: Points, knobs: Sequence[Knob], downstream: Sequence[str], architecture: str | None, warn: Warn
) -> None:
    """Warn of columns of numbers whose names say nothing, where no downstream quality is known: they may be some."""
    names = [name for name in points.table.column_names if is_numeric(points.table, name)]
    known = {knob.column for knob in knobs} | set(points.columns.values()) | {architecture}
    unknown = [
        name for name in names
        if name not in known and kind_of(name) is None and quantity_of(name) is None and "stderr" not in name
        and column_of(SECONDS, [name]) is None and not name.startswith(("Unnamed", "__"))
    ]  # fmt: skip
    if unknown and not downstream:
        warn(
            f"{points.path}: no downstream quality is known by its name, and columns of numbers are not used: "
            f"{some_names(unknown)}; --downstream NAME takes one, --knob NAME a knob"
        )


def _warn_of_gaps(points: Points, knobs: Sequence[Knob], qualities: Sequence[Quality], warn: Warn) -> None:
    """Warn where rows lack a knob, or a quality is 0 and has no logarithm."""
    for knob in knobs:
        if varies(knob.logs) and (missing := int(np.isnan(knob.logs).sum())):
            hint = "; a dense model has 1" if knob.name == "experts" else ""
            rows = counted(missing, "rows")
            warn(f"{points.path}: {rows} without {knob.column}, left out of all effects{hint}")
    for quality in qualities:
        zeros = int((quality.values == 0).sum())
        if zeros:
            rows = counted(zeros, "rows")
            warn(f"{points.path}: {quality.name} is 0 in {rows}, left out since 0 has no logarithm")


def _log_tokens(points: Points) -> Floats | None:
    """Return ln D of each model, or ln of its training steps; None where the table has neither.

    Tokens that follow from FLOPs and parameters count where they are as many as a training has: other FLOPs, as those
    of a forward pass, do not say how long a model was trained.
    """
    for quantity in ("tokens", "steps"):
        if not points.has(quantity):
            continue
        values = points.quantity(quantity)
        usable = np.isfinite(values) & (values > 0)
        if quantity in points.columns or (usable.any() and float(np.median(values[usable])) >= FEWEST_TOKENS):
            return np.where(usable, np.log(np.where(usable, values, 1.0)), np.nan)
    return None


def _report(models: _Models, turns_tested: int, pairs_tested: int) -> tuple[list[Row], list[Row], list[Row], list[Row]]:
    """Return effects, returns on costs, turns and disagreements of the models of one architecture.

    Args:
        models: the models.
        turns_tested: how many turns are tested in the whole table.
        pairs_tested: how many comparisons of upstream and downstream there are in it.
    """
    head: Row = {"architecture": models.architecture}
    rows, returns, turns = [], [], []
    for knob in models.knobs:
        for fit in models.fits.values():
            rows.append(head | knob_effect(fit, knob, models.confidence))
            if not varies(knob.logs):
                continue
            for cost in models.costs:
                arguments = (fit.quality, knob, cost, models.tokens, models.among, models.confidence)
                rows.append(head | knob_effect_at_cost(*arguments))
                returns.append(head | return_on_cost(fit, knob, cost, models.confidence))
            turns.append(head | find_turn(fit, knob, models.confidence, turns_tested))
    disagreements = []
    if models.upstream is not None:
        up = models.fits[models.upstream.name]
        pairs = [(knob, models.fits[q.name]) for knob in models.knobs if varies(knob.logs) for q in models.downstream]
        disagreements = [head | find_disagreement(up, down, knob, pairs_tested) for knob, down in pairs]
    return rows, returns, turns, disagreements


def _has_turn(fit: KnobFit, knob: Knob) -> bool:
    return why_not(fit, knob) is None and len(np.unique(np.round(fit.of_shapes(knob.logs), 9))) >= MIN_VALUES
