"""Tracks out of a run folder: of whole checkpoints, of layers, and of the domains of its text.

Parts are read one by one and no more of them than a rule needs: the readers of whole folders load half of pandas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.arrays import Floats, Ints
from degen.checkpoints.steps import place_in_training
from degen.errors import DegenError
from degen.hints import did_you_mean
from degen.runs.run import Run
from degen.tables import CHECKPOINTS, Row, file_name

from .rule import Rule
from .tracks import Point, Track, Windows, point, refused

if TYPE_CHECKING:
    import pyarrow as pa

    from degen.scanning.plan import Plan

LAYERS, WINDOWS = "layers", "windows"
HEAD_INPUT = "head_input"
NUMBERS = ("float64", "int64")
_WINDOW_COLUMNS = ("window", "document", "domain", "tokens", "loss")
_CHECKPOINT_COLUMNS = ("model", "revision", "step", "status", "reason")
_NOTHING = Point(None, None, None, None, "no checkpoint of it is measured yet; go on with the scan")


def check_rules(rules: Sequence[Rule], plan: Plan) -> None:
    """Refuse rules about what a scan cannot measure, before it begins. Layers, sites and domains are known only after.

    Raises:
        DegenError: an unknown metric or model.
    """
    models = [series.model for series in plan.series]
    for rule in rules:
        if rule.model is not None and rule.model not in models:
            raise refused(rule, f"the series has no model {rule.model!r}; {did_you_mean(rule.model, models)}")
        table = LAYERS if rule.layer is not None or rule.site is not None else CHECKPOINTS
        columns = plan.tables.columns(table) if table in plan.tables.names else ()
        there = [*(c.name for c in columns if c.type in NUMBERS and not c.key), *_declared(table)]
        if rule.metric not in there:
            raise refused(rule, f"no metric {rule.metric!r} in table {table}; {did_you_mean(rule.metric, there)}")


class RunTracks:
    """A run, as a gate reads it.

    Args:
        run: the run.
        warn: called with each line of warning.
        series: the checkpoints that each model has now; what was measured later in training than these is left out.
            None: all that were measured count.
    """

    def __init__(
        self, run: Run, warn: Callable[[str], None], series: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._run = run
        self._warn = warn
        self._series = series
        self._parts: dict[tuple[str, str, str, tuple[str, ...]], pa.Table | None] = {}

    @property
    def path(self) -> Path:
        """The run folder."""
        return self._run.path

    @cached_property
    def models(self) -> list[str]:
        """Labels of the models, as they were named: those that are measured, and those that are yet to be."""
        named = self._run.info.get("models", [])
        return list(dict.fromkeys([*named, *(row["model"] for row in self._checkpoints)]))

    @cached_property
    def failed(self) -> list[str]:
        """The checkpoints that could not be measured."""
        return [f"{row['model']}@{row['revision']}" for row in self._checkpoints if row["status"] == "failed"]

    @cached_property
    def samples(self) -> frozenset[str]:
        """Hashes of the windows that were scored."""
        return frozenset(str(drawn["sha256"]) for drawn in self._drawn if "sha256" in drawn)

    @cached_property
    def _freedom(self) -> int | None:
        """Degrees of freedom of the standard errors of checkpoints: they are jackknifed over documents."""
        documents = [int(drawn["documents"]) for drawn in self._drawn if drawn.get("documents")]
        return max(min(documents) - 1, 1) if documents else None

    @property
    def _drawn(self) -> list[dict[str, Any]]:
        """What run.json says of the windows of each tokenizer."""
        sample = self._run.info.get("sample") or {}
        return [drawn for drawn in (sample.get("windows") or {}).values() if isinstance(drawn, dict)]

    def tracks(self, rule: Rule) -> list[Track]:
        """What a rule is about, before its steps are chosen.

        Raises:
            DegenError: an unknown metric, or a selector that matches nothing.
        """
        if rule.model is not None and rule.model not in self.models:
            raise refused(rule, f"{self.path} has no model {rule.model!r}; {did_you_mean(rule.model, self.models)}")
        models = self.models if rule.model is None else [rule.model]
        unmeasured = [Track(model, None, (_NOTHING,)) for model in models if not self._rows(model)]
        return unmeasured + self._measured(rule, [model for model in models if self._rows(model)])

    def _measured(self, rule: Rule, models: Sequence[str]) -> list[Track]:
        """What a rule is about, of models that have checkpoints."""
        by_layer = rule.layer is not None or rule.site is not None
        if by_layer and rule.domain is not None:
            raise refused(rule, "no figure is of a layer and of a domain; select one of them")
        if rule.domain is not None:
            return [self._of_domain(rule, model, rule.domain) for model in models]
        self._check_metric(rule, LAYERS if by_layer else CHECKPOINTS)
        if by_layer:
            return [track for model in models for track in self._of_layers(rule, model)]
        return [
            Track(model, None, tuple(self._of_checkpoint(row, rule.metric) for row in self._rows(model)))
            for model in models
        ]

    def windows(self, model: str, revision: str, domain: str | None) -> Windows | None:
        """The scored windows of a checkpoint, in the order of their numbers; None where there are none."""
        table = self._part(WINDOWS, model, revision, _WINDOW_COLUMNS)
        if table is None or not set(_WINDOW_COLUMNS) <= set(table.column_names):
            return None
        tokens = _floats(table, "tokens")
        kept = tokens > 0
        if domain is not None:
            kept &= np.array([d == domain for d in table["domain"].to_pylist()], dtype=bool)
        if not kept.any():
            return None
        windows = _ints(table, "window")[kept]
        order = np.argsort(windows, kind="stable")
        documents, losses = _ints(table, "document")[kept], _floats(table, "loss")[kept]
        return Windows(windows[order], documents[order], tokens[kept][order], losses[order])

    @cached_property
    def _checkpoints(self) -> list[Row]:
        """The rows of `checkpoints`: models as named, then stage and step."""
        parts = sorted((self.path / CHECKPOINTS).rglob("[!.]*.parquet"))
        rows = [row for path in parts for row in _read(path, _CHECKPOINT_COLUMNS).to_pylist()]
        if not rows:
            raise DegenError(f"{self.path}: no checkpoint in it yet; go on with the scan")
        series = {model: i for i, model in enumerate(self._run.info.get("models", []))}
        pattern = self._run.info.get("asked", {}).get("revision_pattern")
        rows = sorted(
            rows,
            key=lambda r: (
                series.get(r["model"], len(series)),
                r["model"],
                r["step"] is None,
                place_in_training(r["revision"], pattern),
            ),
        )
        return rows if self._series is None else self._without_undone(rows, self._series)

    def _without_undone(self, rows: Sequence[Row], series: Mapping[str, Sequence[str]]) -> list[Row]:
        """The rows up to the last checkpoint that each model still has; earlier ones are its past, there or not."""
        kept: list[Row] = []
        undone: list[Row] = []
        ended: set[str] = set()  # models of which the last checkpoint has been seen, from the end
        for row in reversed(rows):
            if row["revision"] in series.get(row["model"], ()):
                ended.add(row["model"])
            (kept if row["model"] in ended else undone).append(row)
        if undone:
            names = ", ".join(f"{row['model']}@{row['revision']}" for row in reversed(undone))
            self._warn(f"{self.path}: no longer in the series, and left out: {names}")
        return kept[::-1]

    def _rows(self, model: str) -> list[Row]:
        return [row for row in self._checkpoints if row["model"] == model]

    def _part(self, table: str, model: str, revision: str, columns: tuple[str, ...]) -> pa.Table | None:
        """Some columns of the part of a checkpoint; None where it has none."""
        key = (table, model, revision, columns)
        if key not in self._parts:
            path = self.path / table / file_name(model) / f"{file_name(revision)}.parquet"
            self._parts[key] = _read(path, columns) if path.is_file() else None
        return self._parts[key]

    def _columns(self, table: str) -> dict[str, bool]:
        """The columns of a table that are no keys, and whether each holds numbers."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = next((self.path / table).rglob("[!.]*.parquet"), None)
        schema = pq.read_schema(path) if path is not None else pa.schema([])
        keys = {"model", "revision", "step", "layer", "site"}
        return {
            f.name: pa.types.is_integer(f.type) or pa.types.is_floating(f.type) for f in schema if f.name not in keys
        }

    def _check_metric(self, rule: Rule, table: str) -> None:
        """Refuse a metric that no table and no probe knows."""
        columns = self._columns(table)
        if columns.get(rule.metric):
            return
        if rule.metric in columns:
            raise refused(rule, f"{rule.metric} of table {table} holds no numbers; name a metric that does")
        other = CHECKPOINTS if table == LAYERS else LAYERS
        if self._columns(other).get(rule.metric) and columns:
            how = f"select one, as in {rule.metric}[layer=last]" if table == CHECKPOINTS else "drop layer and site"
            what = "layers" if table == CHECKPOINTS else "whole checkpoints"
            raise refused(rule, f"{rule.metric} is a figure of {what}; {how}")
        declared = _declared(table)
        if rule.metric not in declared:
            names = [*(name for name, numeric in columns.items() if numeric), *declared]
            hint = did_you_mean(rule.metric, names)
            raise refused(rule, f"{self.path}: no metric {rule.metric!r} in table {table}; {hint}")

    def _of_checkpoint(self, row: Row, metric: str) -> Point:
        """A figure of a whole checkpoint."""
        table = self._part(CHECKPOINTS, row["model"], row["revision"], (metric, f"{metric}_se", "loss_se"))
        measured = table.to_pylist()[0] if table is not None and table.num_rows else {}
        return _whole({**measured, **row}, metric, self._freedom)

    def _of_layers(self, rule: Rule, model: str) -> list[Track]:
        rows = self._rows(model)
        measured: list[dict[tuple[int, str], Row]] = []
        for row in rows:
            columns = ("layer", "site", rule.metric, f"{rule.metric}_se")
            table = self._part(LAYERS, model, row["revision"], columns) if row["status"] != "failed" else None
            found = table.to_pylist() if table is not None else []
            measured.append({(r["layer"], r["site"]): r for r in found})
        there = sorted({place for found in measured for place in found}, key=lambda p: (p[0], p[1] == HEAD_INPUT))
        if not there:  # nothing was measured at any layer, which is known of the run and no fault of the rule
            asked = " ".join(str(s) for s in ("layer", rule.layer, rule.site) if s is not None)
            return [Track(model, asked, tuple(_whole(row, None) for row in rows))]
        chosen = self._chosen(rule, model, there)
        return [
            Track(
                model,
                f"layer {layer} {site}",
                tuple(
                    _at(row, f.get((layer, site)), rule.metric, self._freedom)
                    for row, f in zip(rows, measured, strict=True)
                ),
                layer,
                site,
            )
            for layer, site in chosen
        ]

    def _chosen(self, rule: Rule, model: str, there: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
        """The layers and sites that a rule selects."""
        last = max(layer for layer, _ in there)
        layer = last if rule.layer == "last" else rule.layer if isinstance(rule.layer, int) else None
        site = HEAD_INPUT if rule.layer == "last" and rule.site is None else rule.site
        sites = list(dict.fromkeys(s for _, s in there))
        if site is not None and site not in sites:
            raise refused(rule, f"{self.path}: {model} has no site {site!r}; {did_you_mean(site, sites)}")
        if layer is not None and layer not in {number for number, _ in there}:
            raise refused(rule, f"{self.path}: {model} has no layer {layer}; it has 0 to {last}")
        chosen = [p for p in there if layer in (None, p[0]) and site in (None, p[1])]
        if not chosen:
            own = ", ".join(s for number, s in there if number == layer)
            raise refused(rule, f"{self.path}: layer {layer} of {model} has no site {site!r}; it has {own}")
        return chosen

    def _of_domain(self, rule: Rule, model: str, domain: str) -> Track:
        if rule.metric != "loss":
            raise refused(rule, "of a domain the loss alone is known; write loss, or drop the domain")
        rows = self._rows(model)
        points, there, parts = [], set(), 0
        for row in rows:
            table = self._part(WINDOWS, model, row["revision"], _WINDOW_COLUMNS) if row["status"] != "failed" else None
            if table is not None:
                parts += 1
                there |= {d for d in table["domain"].to_pylist() if d is not None}
            points.append(self._domain_point(row, domain) if table is not None else _whole(row, None))
        if parts and domain not in there:
            hint = did_you_mean(domain, sorted(there))
            raise refused(rule, f"{self.path}: no text of domain {domain!r}; {hint}")
        return Track(model, f"domain {domain}", tuple(points))

    def _domain_point(self, row: Row, domain: str) -> Point:
        own = self.windows(row["model"], row["revision"], domain)
        if own is None:
            return point(row["revision"], row["step"], None, None, f"no scored token of domain {domain}")
        return point(row["revision"], row["step"], own.mean(), own.error(), None, own.freedom)


def _whole(row: Row, metric: str | None, freedom: int | None = None) -> Point:
    """A figure of a row of `checkpoints`; None for one that was not measured there."""
    if row["status"] == "failed":
        why = f"the checkpoint failed: {row['reason']}" if row["reason"] else "the checkpoint failed"
        return Point(row["revision"], row["step"], None, None, why)
    value, error = (row.get(metric), row.get(f"{metric}_se")) if metric is not None else (None, None)
    if metric == "perplexity" and value is not None and row.get("loss_se") is not None:
        error = value * row["loss_se"]  # exp(loss), by the delta method
    return point(row["revision"], row["step"], value, error, row["reason"], freedom)


def _at(row: Row, place: Row | None, metric: str, freedom: int | None) -> Point:
    """A figure of a row of `layers`; None for a checkpoint that has none there."""
    if row["status"] == "failed" or place is None:
        return _whole(row, None)
    return point(row["revision"], row["step"], place.get(metric), place.get(f"{metric}_se"), row["reason"], freedom)


def _declared(table: str) -> list[str]:
    """What the probes that are installed fill of a table, asked for in this run or not."""
    from degen.probe import installed, load_probes

    found = []
    for name in installed():
        try:
            (probe,) = load_probes([name]).values()
        except DegenError:  # a broken probe of somebody's knows no metric
            continue
        found += [c.name for c in probe.columns.get(table, ()) if c.type in NUMBERS and not c.key]
    return found


def _read(path: Path, columns: Sequence[str]) -> pa.Table:
    """Those of some columns that a part has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        part = pq.ParquetFile(path)
        return part.read([c for c in columns if c in part.schema_arrow.names], use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise DegenError(f"{path}: cannot be read ({error}); scan again") from error


def _floats(table: pa.Table, column: str) -> Floats:
    """A column as float64, NaN where it is missing; by way of lists, since Arrow's own way loads pandas."""
    return np.array(table[column].to_pylist(), dtype=np.float64)


def _ints(table: pa.Table, column: str) -> Ints:
    return np.array(table[column].to_pylist(), dtype=np.int64)
