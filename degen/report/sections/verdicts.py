"""What saturated, since when, and how sure that is, in words; and what was not measured."""

from __future__ import annotations

from collections.abc import Sequence

from degen.metrics.metric_kinds import is_loss
from degen.report.content import Block, Heading, Items, Paragraph, Section, TableBlock
from degen.report.run_data import Judged, ReportData
from degen.report.words import (
    METRICS,
    number,
    of_checkpoints,
    onset_interval,
    onset_words,
    plural,
    steps,
    together,
)
from degen.tables import Row

CAUTION = (
    "Saturated is a metric that got worse late in training and stayed worse; of loss, anisotropy and singular entropy "
    "less is better. The first 5 % of the steps are not judged, as a model that has learnt nothing has the best "
    "geometry. p is how often a curve that never gets worse would look as bad; 0.001 may be less. An onset is "
    "estimated between checkpoints and lies in its interval with 90 % confidence. The checkpoints that a verdict rests "
    "on are those without which it would be another one. Metrics that turn together need not cause each other."
)
OVERFITTING = (
    "A loss that rises while the geometry stays sound is what over-fitting looks like; the loss on the training data "
    "is not measured here."
)
COLUMNS = {
    "model": "model", "metric": "metric", "verdict": "verdict", "best_step": "best step", "best_value": "best",
    "final_value": "final", "p_value": "p", "onset": "onset", "checkpoints": "checkpoints", "support": "rests on",
}  # fmt: skip


def build(data: ReportData) -> Sequence[Block]:
    """Return the verdicts on each model in words, the table of verdicts, and what was not measured."""
    blocks: list[Block] = []
    by_model: dict[str, list[Judged]] = {}
    for judged in data.judged:
        by_model.setdefault(judged.model, []).append(judged)
    for model, found in by_model.items():
        blocks += [Paragraph(describe_model(found), model), Items([_sentence(judged) for judged in found])]
    blocks += [Paragraph(f"nothing could be judged: {error}", run.run.short_name) for run, error in data.not_judged]
    if by_model:
        blocks.append(Paragraph(CAUTION))
        rows = [{**judged.row, **_as_words(judged), "onset": onset_interval(judged.row)} for judged in data.judged]
        blocks.append(TableBlock("All verdicts", COLUMNS, rows, "verdicts"))
    blocks.append(Heading("Not measured"))
    missing = not_measured(data)
    blocks.append(Items(missing) if missing else Paragraph("Nothing that this page would show."))
    return blocks


def describe_model(found: Sequence[Judged]) -> str:
    """Return what happened to a model in a sentence or two."""
    worse = [judged for judged in found if judged.row["verdict"] == "saturated"]
    losses = [judged for judged in worse if is_loss(judged.verdict.curve.bare_metric)]
    others = [judged for judged in worse if judged not in losses]
    open_ones = [judged.metric for judged in found if judged.row["verdict"] == "undecided"]
    sound = [judged.metric for judged in found if judged.row["verdict"] in ("not_saturated", "recovered")]
    has_loss = any(is_loss(judged.verdict.curve.bare_metric) for judged in found)
    if losses and others:
        with_loss = [judged for judged in worse if _meet(judged, losses[0])]
        metrics = together([judged.metric for judged in with_loss])
        apart = [f"{j.metric} since step {onset_interval(j.row)}" for j in worse if j not in with_loss]
        also = f" At another time: {together(apart)}." if apart else ""
        return f"broke {onset_words(losses[0])}: {metrics} got worse and stayed worse.{also}"
    if losses:
        beside = f" while {together(sound)} did not" if sound else ""
        explained = f" {OVERFITTING}" if sound else ""
        verb = "looks over-fitted" if sound else "got worse"
        return f"{verb} {onset_words(losses[0])}: the loss alone got worse{beside}.{explained}"
    if others:
        beside = ", while the loss did not" if has_loss else ""
        metrics = together([judged.metric for judged in others])
        return f"degenerated {onset_words(others[0])}: {metrics} got worse{beside}."
    if open_ones:
        return f"shows nothing that got worse for sure; {together(open_ones)} cannot be decided."
    return "did not get worse."


def _meet(one: Judged, two: Judged) -> bool:
    """Return whether the intervals of two onsets have a step in common; True where one has none."""
    if one.row["onset_step"] is None or two.row["onset_step"] is None:
        return True
    return bool(one.row["onset_low"] <= two.row["onset_high"] and two.row["onset_low"] <= one.row["onset_high"])


def _sentence(judged: Judged) -> str:
    """Return the verdict on one metric, with the numbers it rests on."""
    row, name = judged.row, judged.metric.capitalize()
    verdict, basis = row["verdict"], of_checkpoints(row)
    if row["best_value"] is None:
        return f"{name}: {row['reason']}."
    best, final = number(row["best_value"]), number(row["final_value"])
    ends = f"{best} at its best, step {steps(row['best_step'])}, and {final} at the end"
    more = row["reason"].partition("; ")[2]  # what the numbers do not say: strays, one checkpoint that decides
    more = f"; {more}" if more else ""
    if verdict in ("saturated", "recovered"):
        back = " and came back" if verdict == "recovered" else ""
        onset = f"; since step {onset_interval(row)}" if row["onset_step"] is not None else ""
        return f"{name} got worse{back}: {ends}{onset} (p = {number(row['p_value'])}; {basis}){more}."
    words = "is undecided" if verdict == "undecided" else "did not get worse"
    return f"{name} {words}: {ends} ({basis}){more}."


def _as_words(judged: Judged) -> Row:
    return {"metric": judged.metric, "verdict": judged.row["verdict"].replace("_", " ")}


def not_measured(data: ReportData) -> list[str]:
    """Return what was asked for and failed, and what this page would show had it been measured."""
    lines = []
    failed = [row for row in data.checkpoints if row["status"] == "failed"]
    if failed:
        lines.append(f"{plural(len(failed), 'checkpoint')} failed; they and the reasons stand below.")
    for name, (title, remedy) in METRICS.items():
        lacking = [m for m in data.models if all(r.get(name) is None for r in data.checkpoints if r["model"] == m)]
        if lacking:
            of = "" if len(lacking) == len(data.models) else f" of {together(lacking)}"
            lines.append(f"The {title}{of}: {remedy}.")
    if any(row["tokens_seen"] is None for row in data.checkpoints):
        lines.append("The training tokens of a step: --tokens-per-step gives them, and curves can then go by tokens.")
    if "ngram" not in data.tables:
        lines.append("How many dimensions the text needs: degen ngram CORPUS --run RUN.")
    for run in data.runs:
        documents = run.parts.freedom
        if documents is not None and documents + 1 < 20:
            lines.append(f"{run.run.short_name}: {documents + 1} documents are few; anisotropy is raised by so few.")
    return lines


SECTION = Section("verdicts", "What happened", "saturation", build)
