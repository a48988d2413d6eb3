"""What a user may ask of curves: which metrics, which way is better, the least change that matters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from degen.arrays import Floats
from degen.errors import DegenError
from degen.hints import did_you_mean

from .curve import Better
from .metric_kinds import NO_FLOOR, WIDTH_UNKNOWN, Floor, kind_of


@dataclass
class CurveOptions:
    """What a user asks of curves, and what was warned of already.

    Attributes:
        metrics: names of metrics, bare (`acc`) or whole (`lambada_openai/acc`); empty for those that matter.
        better: which way is better, for all of them; None to go by their names.
        floors: least changes that matter, by name; None names all the rest.
        sort: whether rows are put in the order of their steps.
        warn: called with each line of warning; see `warn_once`.
        keep_infinite: whether infinite values count; else they are missing.
    """

    metrics: Sequence[str]
    better: Better | None
    floors: Mapping[str | None, Floor]
    sort: bool
    warn: Callable[[str], None]
    keep_infinite: bool = False
    _warned: set[str] = field(default_factory=set)
    _floors_used: set[str] = field(default_factory=set)

    def warn_once(self, line: str) -> None:
        """Warn, but of each thing once."""
        if line not in self._warned:
            self._warned.add(line)
            self.warn(line)

    def direction(self, metric: str) -> Better:
        """Return which way is better: as asked, as the name says, or lower, with a warning."""
        kind = kind_of(metric)
        if self.better is not None:
            return self.better
        if kind is not None:
            return kind.better
        self.warn_once(
            f"{metric}: the name does not say which way is better; lower counts as better (else: --better max)"
        )
        return "min"

    def floor(self, model: str, metric: str, name: str, best: float, width: int | None) -> float:
        """Return the least change of a metric that matters, in its unit.

        Args:
            model: label of the series, for a warning.
            metric: the bare name.
            name: the whole name, which goes first.
            best: its best value.
            width: dimensions of the head; None if unknown.
        """
        kind = kind_of(metric)
        asked = next((key for key in (name, metric) if key in self.floors), None)
        self._floors_used.update([asked] if asked is not None else [])
        known = kind.floor if kind is not None else NO_FLOOR
        rule = self.floors[asked] if asked is not None else self.floors.get(None, known)
        if rule.needs_width and width is None:
            self.warn_once(
                f"{model}: no column says how wide the head is (head_size, hidden_size); "
                f"the floor of {name} is {rule.amount:g} ln {WIDTH_UNKNOWN}"
            )
        return 0.0 if np.isnan(best) else rule.of(best, width)

    def check_floors(self, path: Path, names: Iterable[str]) -> None:
        """Refuse a floor of a metric that is not there.

        Raises:
            DegenError: it names the nearest metric, or those there are.
        """
        for name in self.floors:
            if name is not None and name not in self._floors_used:
                raise DegenError(f"{path}: a floor for {name!r}, which is no metric here; {did_you_mean(name, names)}")


def best_of(values: Floats, better: Better) -> float:
    """Return the best of values; NaN where none is a number."""
    known = values[np.isfinite(values)]
    return float("nan") if not len(known) else float(known.min() if better == "min" else known.max())
