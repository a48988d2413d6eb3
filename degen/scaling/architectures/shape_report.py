"""Which knob of the shape pays: effects, returns on costs, turns, disagreements and savings of one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from degen.arrays import Floats, Mask
from degen.errors import DegenError
from degen.readers.source_summary import SourceSummary
from degen.scaling.points import Points, Warn
from degen.tables import Column, Row, schema_of

from .columns import Cost, Quality, architecture_column, architectures, find_costs
from .knob_disagreements import find_disagreement
from .knob_effects import KnobFit, fit_knobs, knob_effect, knob_effect_at_cost, log_quality, return_on_cost
from .knob_turns import MIN_VALUES, find_turn
from .knobs import KNOBS, Knob, find_knobs, varies
from .options import NO_DOWNSTREAM, NO_UPSTREAM, CompareOptions, check_confidence, find_qualities, source_columns
from .savings import find_savings

if TYPE_CHECKING:
    import pyarrow as pa

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

    @property
    def qualities(self) -> list[Quality]:
        return ([self.upstream] if self.upstream is not None else []) + list(self.downstream)


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
    found = find_knobs(points, knobs)
    _check_knobs(points, found)
    paid = find_costs(points, costs)
    column = architecture_column(points, options.architecture, or_model=False)
    labels = architectures(points, column) if column is not None else None
    groups = list(dict.fromkeys(labels)) if labels is not None else []
    masks: list[tuple[str | None, Mask]] = [(None, np.ones(len(points), dtype=bool))]
    if labels is not None and len(groups) > 1:
        masks = [(group, np.array([label == group for label in labels], dtype=bool)) for group in groups]
    tokens = _log_tokens(points)
    parts = [
        _report(_Models(group, mask, found, tokens, upstream, downstream, paid, options.confidence))
        for group, mask in masks
    ]
    rows, returns, turns, disagreements = ([row for part in parts for row in part[i]] for i in range(4))
    savings = find_savings(points.names, paid, upstream, downstream)
    columns = source_columns(points, column, {}, upstream, downstream)
    columns |= {"knobs": ", ".join(knob.column for knob in found)}
    if paid:
        columns["costs"] = ", ".join(cost.name for cost in paid)
    return ShapeReport(rows, returns, turns, disagreements, savings, points.summary(columns))


def _check_knobs(points: Points, knobs: Sequence[Knob]) -> None:
    if not knobs:
        raise DegenError(
            f"{points.path}: no column is a knob of the shape ({', '.join(KNOBS)}); name one with --knob COLUMN"
        )
    if not any(varies(knob.logs) for knob in knobs):
        listed = ", ".join(knob.column for knob in knobs)
        raise DegenError(f"{points.path}: all models have one shape ({listed}); effects need models of several shapes")


def _log_tokens(points: Points) -> Floats | None:
    """Return ln D of each model; None where the table has no column of tokens."""
    if "tokens" not in points.columns:
        return None
    tokens = points.tokens
    usable = np.isfinite(tokens) & (tokens > 0)
    return np.where(usable, np.log(np.where(usable, tokens, 1.0)), np.nan)


def _report(models: _Models) -> tuple[list[Row], list[Row], list[Row], list[Row]]:
    """Return effects, returns on costs, turns and disagreements of the models of one architecture."""
    head: Row = {"architecture": models.architecture}
    knobs = [knob for knob in models.knobs if varies(knob.logs)]
    fits = {q.name: fit_knobs(log_quality(q), knobs, models.tokens, models.among) for q in models.qualities}
    rows, returns, turns = [], [], []
    tests = sum(_has_turn(fit, knob) for fit in fits.values() for knob in knobs)
    for knob in knobs:
        for fit in fits.values():
            rows.append(head | knob_effect(fit, knob, models.confidence))
            for cost in models.costs:
                args = (fit.quality, knob, cost, models.among, models.confidence)
                rows.append(head | knob_effect_at_cost(*args))
                returns.append(head | return_on_cost(fit, knob, cost, models.confidence))
            turns.append(head | find_turn(fit, knob, models.confidence, tests))
    disagreements = []
    if models.upstream is not None:
        up = fits[models.upstream.name]
        pairs = [(knob, fits[q.name]) for knob in knobs for q in models.downstream]
        disagreements = [head | find_disagreement(up, down, knob, len(pairs)) for knob, down in pairs]
    return rows, returns, turns, disagreements


def _has_turn(fit: KnobFit, knob: Knob) -> bool:
    return len(np.unique(np.round(knob.logs[fit.rows], 9))) >= MIN_VALUES
