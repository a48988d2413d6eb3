"""Options of curves: which metrics, which way is better, the least change that matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.hints import did_you_mean

from .curve import Better
from .metric_kinds import NO_FLOOR, WIDTH_UNKNOWN, Floor, better_of_unknown, kind_of


@dataclass
class CurveOptions:
    """Options of curves, and the warnings given so far.

    Attributes:
        metrics: names of metrics, bare (`acc`) or whole (`lambada_openai/acc`); empty for the usual ones.
        better: which way is better, by name; the key None holds for all other metrics, and without it their names do.
        floors: least changes that matter, by name; the key None holds for all other metrics.
        sort: whether rows are sorted by step.
        warn: called with each line of warning; see `warn_once`.
        undo: whether a restart in a log replaces what it logs again; not where its rows are in no order.
        keep_infinite: whether infinite values are kept; else they count as missing.
        higher_is_better: metric -> whether higher values are better, where the source of the curves says it.
        left_out: reason -> how many values were left out for it while curves were read.
    """

    metrics: Sequence[str]
    better: Mapping[str | None, Better]
    floors: Mapping[str | None, Floor]
    sort: bool
    warn: Callable[[str], None]
    undo: bool = True
    keep_infinite: bool = False
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    _warned: set[str] = field(default_factory=set)
    _floors_used: set[str | None] = field(default_factory=set)

    def warn_once(self, line: str) -> None:
        """Warn with a line, but only the first time it is given."""
        if line not in self._warned:
            self._warned.add(line)
            self.warn(line)

    def direction(self, metric: str, name: str) -> Better:
        """Return which way the metric gets better, `min` or `max`: by the option, else by the source, else by its name.

        `min`, with a warning, where none of them says it.

        Args:
            metric: the bare name of the metric, as `acc`.
            name: its whole name, as `arc/acc`; a direction given for it overrides one for the bare name.
        """
        given = [self.better[key] for key in (name, metric, None) if key in self.better]
        if given:
            return given[0]
        if metric in self.higher_is_better:
            return "max" if self.higher_is_better[metric] else "min"
        if (kind := kind_of(metric)) is not None:
            return kind.better
        return better_of_unknown(metric, self.warn_once)

    def floor(self, model: str, metric: str, name: str, best: float, width: int | None) -> float:
        """Return the least change of a metric that matters, in the metric's unit.

        Args:
            model: label of the series, for a warning.
            metric: the bare name of the metric, as `acc`.
            name: its whole name, as `arc/acc`; a floor given for it overrides one for the bare name.
            best: the metric's best value, since some floors are a share of it.
            width: width of the head's input in dimensions; None if unknown.
        """
        kind = kind_of(metric)
        key = next((key for key in (name, metric) if key in self.floors), None)
        self._floors_used.add(key)
        rule = self.floors.get(key, kind.floor if kind is not None else NO_FLOOR)
        if rule.needs_width and width is None:
            self.warn_once(
                f"{model}: no column (head_size, hidden_size) tells the width of the head, on which the floor of "
                f"{name} depends; {WIDTH_UNKNOWN} is assumed, so that the floor is {rule.amount:g} ln {WIDTH_UNKNOWN}"
            )
        return 0.0 if np.isnan(best) else rule.of(best, width)

    def check_names(self, path: Path, names: Sequence[str]) -> None:
        """Refuse floors and directions that were given for a metric which no curve has.

        Args:
            path: file or folder of the metrics, for the error.
            names: names of the metrics that the curves have.

        Raises:
            DegenError: one is for another metric; the message names the most similar one.
        """
        given = [("--floor", name) for name in self.floors if name not in self._floors_used]
        given += [("--better", name) for name in self.better if name not in names]
        for option, name in given:
            if name is not None:
                raise DegenError(
                    f"{path}: {option} names {name!r}, which is none of the metrics here; {did_you_mean(name, names)}"
                )


def plain_options(metric: str) -> CurveOptions:
    """Return options that read the metric `metric` unchanged: rows sorted by step, no floor, infinite values kept."""
    return CurveOptions([metric], {None: "min"}, {None: NO_FLOOR}, True, lambda line: None, keep_infinite=True)


def best_of(values: Floats, better: Better) -> float:
    """Return the smallest (`min`) or largest (`max`) of the finite values; NaN where there is none."""
    known = values[np.isfinite(values)]
    return float("nan") if not len(known) else float(known.min() if better == "min" else known.max())
