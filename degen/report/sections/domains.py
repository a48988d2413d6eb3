"""Loss and anisotropy by domain of the text over training, and other figures of states at the last checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from degen.figures.figure import Figure
from degen.figures.training_curves import training_curves
from degen.printable import printable
from degen.report.content import Block, Drawing, Paragraph, Section, table_of
from degen.report.run_data import ReportData
from degen.report.words import plural, together
from degen.tables import Row, file_name

MOST_DOMAINS = 12
COLUMNS = ("domain", "tokens", "loss")
NO_FIGURES = ("layer", "step")


def build(data: ReportData) -> Sequence[Block]:
    """Return a figure for each domain, or how the windows were scored where the text has one domain."""
    if "windows" not in data.tables:
        return []
    figures = draw(data)
    if figures:
        lead = Paragraph("Loss and anisotropy over training on the text of each domain.")
        return [lead, *map(Drawing, figures), *_state_tables(data)]
    return [Paragraph("The text has no domains that would be compared. degen export --table windows has every window.")]


def draw(data: ReportData) -> list[Figure]:
    """Return a figure of the loss on each domain, then of anisotropy; none where there are fewer than two."""
    figures = []
    for metric, unit, rows in (("Loss", "loss (nats/token)", _domain_rows(data)),
                               ("Anisotropy", "anisotropy (cosine)", _anisotropy_rows(data))):  # fmt: skip
        domains = list(dict.fromkeys(row["domain"] for row in rows))
        if len(domains) > 1:
            shown = domains[:MOST_DOMAINS]
            figures += [_figure(i, metric, unit, domain, rows, data.models) for i, domain in enumerate(shown)]
    return figures


def _anisotropy_rows(data: ReportData) -> list[Row]:
    """Return the anisotropy of what the head receives, of each checkpoint and domain."""
    columns = ("domain", "layer", "anisotropy")
    found = []
    for run in data.runs:
        for row in run.parts.rows:
            failed = row["status"] == "failed" or row["step"] is None
            part = None if failed else run.parts.part("domains", row["model"], row["revision"], columns)
            if part is None or set(part.column_names) != set(columns):  # it was scanned without anisotropy
                continue
            found += [
                {"model": run.labels[row["model"]], "revision": printable(row["revision"]), "step": row["step"],
                 "tokens": row.get("tokens_seen"), "low": None, "high": None, "domain": r["domain"],
                 "value": r["anisotropy"]}
                for r in part.to_pylist()
                if r["domain"] and r["layer"] is None and r["anisotropy"] is not None
            ]  # fmt: skip
    return found


def _state_tables(data: ReportData) -> list[Block]:
    """Return a table for each model: what table `domains` has of the head's input at the last checkpoint."""
    tables: list[Block] = []
    for run in data.runs:
        last = {row["model"]: row for row in run.parts.rows if row["status"] != "failed"}
        names = [name for name, numeric in run.parts.columns("domains").items() if numeric and name not in NO_FIGURES]
        for model, row in last.items():
            part = run.parts.part("domains", model, row["revision"], ("domain", "site", *names, "reason"))
            rows = [
                {"domain": printable(r["domain"] or "unknown")} | {name: r.get(name) for name in (*names, "reason")}
                for r in (part.to_pylist() if part is not None else [])
                if r.get("site") == "head_input"
            ]
            label = run.labels[model]
            caption = f"What the head of {label} receives, by domain, at {printable(row['revision'])}"
            if len(rows) > 1:
                tables.append(table_of(rows, caption, f"domains-{file_name(label)}"))
    return tables


def _domain_rows(data: ReportData) -> list[Row]:
    """Return the loss over all scored tokens of each checkpoint and domain, Σ loss · tokens / Σ tokens."""
    rows = []
    for run in data.runs:
        for row in run.parts.rows:
            if row["status"] == "failed" or row["step"] is None:
                continue
            part = run.parts.part("windows", row["model"], row["revision"], COLUMNS)
            if part is None:
                continue
            columns = {name: part[name].to_pylist() for name in COLUMNS}
            domains = [domain or "" for domain in columns["domain"]]
            tokens, losses = (np.array(columns[name], dtype=np.float64) for name in ("tokens", "loss"))
            names, slots = np.unique(domains, return_inverse=True)
            scored = np.where(tokens > 0, tokens, 0.0)
            counts = np.bincount(slots, scored)
            sums = np.bincount(slots, np.where(tokens > 0, losses, 0.0) * scored)
            keys = {"model": run.labels[row["model"]], "revision": printable(row["revision"]), "step": row["step"],
                    "tokens": row.get("tokens_seen"), "low": None, "high": None}  # fmt: skip
            rows += [
                {**keys, "domain": str(name), "value": float(total / count)}
                for name, total, count in zip(names, sums, counts, strict=True)
                if name and count and np.isfinite(total)
            ]
    return rows


def _figure(index: int, metric: str, unit: str, domain: str, rows: Sequence[Row], among: Sequence[str]) -> Figure:
    """Return the figure of a metric on one domain; `index` is that of the domain."""
    own = [{key: value for key, value in row.items() if key != "domain"} for row in rows if row["domain"] == domain]
    models = list(dict.fromkeys(row["model"] for row in own))
    title = f"{metric} on {printable(domain)}"
    description = f"{title} over training of {together(models)}, at {plural(len(own), 'checkpoint')}."
    name = f"domain-{index + 1}" if metric == "Loss" else f"domain-{metric.lower()}-{index + 1}"
    return training_curves(name, title, unit, own, [], models, description, among=among)


SECTION = Section("domains", "By domain", "windows", build, ("domains",))
