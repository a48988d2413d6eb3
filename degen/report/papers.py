"""The figures of published papers, drawn from whatever a run has, with the published curves beside them on request.

Source: Godey et al. 2024, arXiv 2404.07647, figures 1 to 7.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from degen.figures.depth_curves import depth_curves
from degen.figures.figure import VALUES, Figure
from degen.figures.rank_curves import rank_curves
from degen.figures.training_curves import training_curves
from degen.published import published_table
from degen.saturation import find_saturation
from degen.tables import Row

from .run_data import ReportData
from .sections import loss_law, ngram, ranks, spectrum, training
from .words import together

Draw = Callable[[ReportData, bool], list[Figure]]
BESIDE = " (published)"  # behind the label of a curve of others

# metric -> title, name on the axis, published table and its column
CURVES = {
    "loss": ("Loss over training", "loss (nats/token)", "pythia_pile_loss", "loss_nats"),
    "perplexity": ("Perplexity over training", "perplexity", "pythia_wikitext_anisotropy", "wikitext_word_ppl"),
    "anisotropy": (
        "Anisotropy of the last layer", "anisotropy (mean cosine)", "pythia_wikitext_anisotropy",
        "last_layer_anisotropy",
    ),
    "singular_entropy": (
        "Singular entropy of the head", "singular entropy (nats)", "pythia_head_singular_entropy", "kl_sigma2_nats"
    ),
}  # fmt: skip


def paper_figures(paper: str, data: ReportData, *, published: bool) -> tuple[list[Figure], list[str]]:
    """Return the figures of a paper, named `figure-1a` and so on, and the numbers of those that the runs lack data for.

    Args:
        paper: one of `PAPERS`.
        data: the runs.
        published: whether the published curves are drawn beside; what stands in no figure of a run is one of its own,
            named `figure-1b-published`.
    """
    figures: list[Figure] = []
    missing: list[str] = []
    for number, draw in PAPERS[paper].items():
        drawn = [figure for figure in draw(data, published) if figure.tables[VALUES]]
        if not drawn:
            missing.append(number)
        for i, figure in enumerate(drawn):
            name = f"figure-{number}" if len(drawn) == 1 else f"figure-{number}-{i + 1}"
            figures.append(replace(figure, name=name))
        if number in ALONE and published:
            figures += [replace(figure, name=f"figure-{number}-published") for figure in ALONE[number](data)]
    return figures, missing


def _curve(metric: str, data: ReportData, published: bool) -> list[Figure]:
    """Return the figure of a metric over training, without the onsets of the page."""
    title, axis, table, column = CURVES[metric]
    rows = [row for curve in data.curves(metric) for row in training.curve_rows(curve)]
    own = _last_step(rows)
    if rows and published:
        rows += [
            {
                "model": row["model"] + BESIDE, "revision": "", "step": int(row["step"]),
                "tokens": float(row["tokens"]) if "tokens" in row else None, "value": float(row[column]),
                "low": None, "high": None,
            }
            for row in _read(table)
        ]  # fmt: skip
    if not rows:
        return []
    models = _models(rows)
    description = f"{title} of {together(models)}."
    return [
        training_curves(
            "curve", title, axis, rows, [], models, description,
            log_y=metric == "perplexity", log_steps=_last_step(rows) > 10 * own,
        )
    ]  # fmt: skip


def _last_step(rows: Sequence[Row]) -> int:
    return max((row["step"] for row in rows if row["step"] is not None), default=0)


def _depth(data: ReportData, _published: bool) -> list[Figure]:
    """Return the figure of anisotropy by layer at the last checkpoint of each model."""
    if "layers" not in data.tables:
        return []
    rows = [row for row in data.rows("layers", ("layer", "site", "anisotropy")) if row["anisotropy"] is not None]
    last = {row["model"]: row["revision"] for row in rows}
    deepest = {row["model"]: max(r["layer"] for r in rows if r["model"] == row["model"]) for row in rows}
    points: list[Row] = [
        {
            "model": row["model"], "revision": row["revision"], "layer": row["layer"],
            "depth": row["layer"] / max(deepest[row["model"]], 1), "value": row["anisotropy"],
        }
        for row in rows
        if row["revision"] == last[row["model"]] and row["site"] != "head_input"
    ]  # fmt: skip
    models = _models(points)
    if not models:
        return []
    description = f"Anisotropy by depth at the last checkpoint of {together(models)}."
    return [depth_curves("depth", "Anisotropy by depth", "anisotropy (mean cosine)", points, models, description)]


def _ranks(data: ReportData, published: bool) -> list[Figure]:
    """Return the figure of the loss against the rank of the head, at the last checkpoint of each model."""
    rows = ranks.last_rows(data, "loss", "loss_se")
    points = [
        {**ranks.keys_of(row), "value": row["loss"], "low": None, "high": None}
        for row in rows
        if row["loss"] is not None
    ]
    if points and published:
        points += [
            {"model": row["model"] + BESIDE, "revision": "", "method": "trained", "rank": int(row["rank"]),
             "value": float(row["val_loss_nats"]), "low": None, "high": None}
            for row in _read("rank_restricted_head_loss")
        ]  # fmt: skip
    if not points:
        return []
    models = _models(points)
    description = f"Loss against the rank of the LM head of {together(models)}."
    axis = "loss (nats/token)"
    return [rank_curves("ranks", "Loss by rank of the head", axis, points, models, description, gaps=False)]


def _published_law(data: ReportData) -> list[Figure]:
    """Return the figure of the published losses and their law, which is no law for other texts, where a run has a loss.

    Source: Godey et al. 2024, arXiv 2404.07647, figure 1b, fitted anew to the losses read off figure 1a.
    """
    law = find_saturation(published_table("pythia_pile_loss")).extrapolation if data.curves("loss") else None
    return [loss_law.draw_law("law", loss_law.TITLE + BESIDE, law, {})] if law is not None else []


def _of_section(draw: Callable[[ReportData], list[Figure]]) -> Draw:
    """Return the figures of a section of the page, beside which nothing is published."""
    return lambda data, published: draw(data)


def _models(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["model"] for row in rows))


def _read(table: str) -> list[dict[str, str]]:
    with published_table(table).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


PAPERS: Mapping[str, Mapping[str, Draw]] = {
    "godey2024": {
        "1a": partial(_curve, "loss"),
        "1b": _of_section(loss_law.draw),
        "2": _depth,
        "3a": partial(_curve, "perplexity"),
        "3b": partial(_curve, "anisotropy"),
        "4": _of_section(spectrum.draw),
        "5": partial(_curve, "singular_entropy"),
        "6": _ranks,
        "7": _of_section(ngram.draw),
    }
}
# Figures of what was published that stand beside those of a run, not within them.
ALONE: Mapping[str, Callable[[ReportData], list[Figure]]] = {"1b": _published_law}
