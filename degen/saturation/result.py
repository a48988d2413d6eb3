"""Judge every curve of a run or table, and compare losses with the law of the larger models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from degen.checkpoints.suites import tokens_per_step as known_tokens_per_step
from degen.errors import DegenError
from degen.laws.law import Objective
from degen.metrics.curve import Better, Curve
from degen.metrics.find_curves import read_curves
from degen.metrics.metric_kinds import Floor, is_loss
from degen.readers.source_summary import SourceSummary
from degen.runs.ownership import check_part
from degen.runs.run import Run
from degen.runs.run_writer import write_errors
from degen.tables import SATURATION, Column, Row, file_name, schema_of, write_part

from .co_occurrence import co_occurrence
from .extrapolation import Extrapolation, extrapolate
from .final_and_best import default_larger
from .log_scale import judge_in_scale
from .verdict import Verdict

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    Column("model", "string", "", "label of the series"),
    Column("metric", "string", "", "name of the metric"),
    Column("verdict", "string", "", "saturated, recovered, not_saturated or undecided"),
    Column("reason", "string", "", "the verdict in a sentence"),
    Column("best_step", "int64", "steps", "where the metric was best"),
    Column("best_value", "float64", "the metric's", "the metric there"),
    Column("final_value", "float64", "the metric's", "the metric at the last checkpoint"),
    Column("gap", "float64", "the metric's", "by how much the final value is worse than the best; 0 or more"),
    Column("p_value", "float64", "", "how often a curve that never gets worse looks as bad"),
    Column(
        "support", "int64", "checkpoints", "how many carry the verdict: 1 where it would be another without one of them"
    ),
    Column("onset_step", "int64", "steps", "when it began to get worse, where it saturated or recovered"),
    Column("onset_low", "int64", "steps", "lower end of the onset's interval"),
    Column("onset_high", "int64", "steps", "upper end of the onset's interval"),
    Column("onset_tokens", "float64", "tokens", "training tokens at onset_step, between checkpoints on a line"),
    Column("onset_tokens_low", "float64", "tokens", "training tokens at onset_low"),
    Column("onset_tokens_high", "float64", "tokens", "training tokens at onset_high"),
    Column("final_step", "int64", "steps", "the last checkpoint"),
    Column("checkpoints", "int64", "", "checkpoints with a value, after the beginning of training"),
    Column("noise", "float64", "the metric's", "standard deviation of a value, the median over checkpoints"),
    Column("floor", "float64", "the metric's", "the least change that matters"),
    Column("co_occurrence", "string", "", "the model's other onsets that this one lies before, with or after"),
    Column("expected_final", "float64", "nats", "loss at the final tokens by the law of the larger models"),
    Column("excess_final", "float64", "", "final loss over the expected one, less 1"),
    Column("excess_final_low", "float64", "", "lower end of its prediction interval"),
    Column("excess_final_high", "float64", "", "upper end of its prediction interval"),
    Column("expected_best", "float64", "nats", "loss at the tokens of the best checkpoint by the same law"),
    Column("excess_best", "float64", "", "best loss over the expected one, less 1"),
    Column("excess_best_low", "float64", "", "lower end of its prediction interval"),
    Column("excess_best_high", "float64", "", "upper end of its prediction interval"),
)


@dataclass(frozen=True)
class Larger:
    """Options of the loss law L(N, D) that is fitted on the larger models of a table, to predict the smaller ones.

    Attributes:
        models: labels of the models to fit on; None for the healthy ones larger than every degenerated one.
        fixed: parameters of the law that are not fitted; None for B, E and beta of Hoffmann et al.
        objective: the quantity that the fit minimises; see `degen.laws.law.fit_law`.
        tokens_per_step: training tokens of a step, where the table has no tokens; None for those of a known suite.
    """

    models: Sequence[str] | None = None
    fixed: Mapping[str, float] | None = None
    objective: Objective = "log"
    tokens_per_step: int | None = None


@dataclass(frozen=True)
class SaturationResult:
    """The result of `degen saturation`.

    Attributes:
        verdicts: one for every model and metric.
        extrapolation: the law of the larger models; None where there is no loss, or too few models to fit on.
        tokens_per_step: training tokens of a step, of curves without tokens; None for those of a known suite.
        source: what was understood of the target.
    """

    verdicts: list[Verdict]
    extrapolation: Extrapolation | None
    tokens_per_step: int | None = None
    source: SourceSummary | None = None

    def rows(self) -> list[Row]:
        """Return the rows of table `saturation`."""
        return [self._row(verdict) for verdict in self.verdicts]

    def table(self) -> pa.Table:
        """Return table `saturation`."""
        import pyarrow as pa

        return pa.Table.from_pylist(self.rows(), schema=schema_of(COLUMNS))

    def _row(self, v: Verdict) -> Row:
        """Return a verdict as a row, with the columns in the order of `COLUMNS`."""
        onset = {f"onset_{end}": getattr(v.onset_steps, end, None) for end in ("step", "low", "high")}
        onset |= _onset_tokens(v, self.tokens_per_step)
        known = {"model": v.curve.model, "metric": v.curve.metric, "floor": v.curve.floor, **onset}
        known |= {"co_occurrence": co_occurrence(v, self.verdicts), **self._excess(v.curve)}
        return {c.name: known[c.name] if c.name in known else getattr(v, c.name) for c in COLUMNS}

    def _excess(self, curve: Curve) -> Row:
        """Return the columns of a loss compared with the law; None in all of them for other metrics and models."""
        names = [c.name for c in COLUMNS if c.name.startswith(("expected_", "excess_"))]
        of_models = {row.model: row for row in self.extrapolation.rows} if self.extrapolation is not None else {}
        row = of_models.get(curve.model)
        if row is None or not is_loss(curve.metric):
            return dict.fromkeys(names)
        values = [row.predicted_final, row.final_gap, row.final_gap_low, row.final_gap_high]
        values += [row.predicted_best, row.best_gap, row.best_gap_low, row.best_gap_high]
        return dict(zip(names, values, strict=True))


def find_saturation(
    target: str | Path,
    *,
    metrics: Sequence[str] = (),
    where: Mapping[str, str] | None = None,
    better: Better | Mapping[str | None, Better] | None = None,
    floors: Mapping[str | None, Floor] | None = None,
    sort: bool = False,
    level: float = 0.05,
    confidence: float = 0.9,
    after: float = 0.05,
    larger: Larger | None = None,
    warn: Callable[[str], None] = lambda line: None,
    track: Callable[[list[Curve]], Iterable[Curve]] = lambda curves: curves,
) -> SaturationResult:
    """Return a verdict for every model and metric of a run or table, and the law of the larger models.

    Args:
        target: a run folder, a table, a log of training, or results of evaluations; see `read_curves`.
        metrics: names of metrics; empty for the usual ones.
        where: values that columns must have.
        better: which way is better, `min` or `max`, for all metrics or by bare or whole name; None to go by their
            names.
        floors: least changes that matter, by metric; the key None holds for all other metrics.
        sort: sort rows by step.
        level: how often a curve that never gets worse may be called saturated.
        confidence: of all intervals.
        after: the share of all steps that is the beginning of training, whose checkpoints are left out.
        larger: options of the law of the larger models.
        warn: called with each line of warning.
        track: gets all curves and gives them back one by one, to show how far the judging is.

    Raises:
        DegenError: an option out of range, or a target that cannot be read or lacks a metric, column or value.
    """
    for name, value in (("level", level), ("confidence", confidence)):
        if not 0 < value < 1:
            raise DegenError(f"--{name} {value:g}: must lie between 0 and 1")
    if not 0 <= after < 1:
        raise DegenError(f"--after {after:g}: a share of training, 0 or more and below 1")
    curves, source = read_curves(
        Path(target), metrics=metrics, where=where or {}, better=better, floors=floors or {}, sort=sort, warn=warn
    )
    verdicts = [judge_in_scale(curve, level, confidence, after) for curve in track(curves)]
    larger = larger or Larger()
    return SaturationResult(
        verdicts, _extrapolation(verdicts, larger, confidence, warn), larger.tokens_per_step, source
    )


def write_result(result: SaturationResult, run: Run) -> None:
    """Write a result into its run, as table `saturation`, a file for each model.

    Raises:
        DegenError: the run lies elsewhere, a file cannot be written, or one that degen did not write is in the way.
    """
    run.check_writable()
    notes = {"degen.config_hash": str(run.info.get("config_hash", ""))}
    every = result.rows()
    for model in dict.fromkeys(v.curve.model for v in result.verdicts):
        rows = [row for row in every if row["model"] == model]
        part = run.path / SATURATION / f"{file_name(model)}.parquet"
        check_part(part)
        with write_errors(run.path):
            write_part(part, schema_of(COLUMNS), rows, notes)


def _extrapolation(
    verdicts: Sequence[Verdict], larger: Larger, confidence: float, warn: Callable[[str], None]
) -> Extrapolation | None:
    """Return the law of the larger models; None by default where there is nothing to fit it on or to compare."""
    losses: dict[str, Verdict] = {}
    for v in verdicts:
        if is_loss(v.curve.metric):
            losses.setdefault(v.curve.model, v)
    curves = [_with_tokens(v.curve, larger.tokens_per_step) for v in losses.values()]
    models = larger.models
    if models is None:
        degenerated = [model for model, v in losses.items() if v.verdict in ("saturated", "recovered")]
        models = default_larger(curves, degenerated)
        if not models or len(models) == len(curves):  # none is left to predict
            return None
    extrapolation = extrapolate(curves, models, fixed=larger.fixed, objective=larger.objective, confidence=confidence)
    for model, reason in extrapolation.left_out:
        warn(f"{model}: not compared with the larger models; {reason}")
    return extrapolation


def _onset_tokens(verdict: Verdict, tokens_per_step: int | None) -> Row:
    """Return the columns of an onset in training tokens; None where there is no onset or no tokens are known."""
    curve = _with_tokens(verdict.curve, tokens_per_step)
    ends = {"onset_tokens": "step", "onset_tokens_low": "low", "onset_tokens_high": "high"}
    if verdict.onset is None or curve.tokens is None:
        return dict.fromkeys(ends)
    known = np.isfinite(curve.tokens)
    if not known.any():
        return dict.fromkeys(ends)
    at = [getattr(verdict.onset, end) for end in ends.values()]
    return dict(zip(ends, np.interp(at, curve.axis[known], curve.tokens[known]).tolist(), strict=True))


def _with_tokens(curve: Curve, tokens_per_step: int | None) -> Curve:
    """Return a curve with training tokens, from the tokens of a step where it has none and these are known."""
    per_step = tokens_per_step or known_tokens_per_step(curve.model)
    if curve.tokens is not None or per_step is None:
        return curve
    return replace(curve, tokens=curve.steps.astype(np.float64) * per_step)
