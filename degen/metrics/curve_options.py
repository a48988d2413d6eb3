"""What a user may ask of courses: which metrics, which way is better, the least change that matters."""

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
class Wishes:
    """What was asked for, and what is to be told once.

    Attributes:
        metrics: names of metrics, bare (`acc`) or whole (`lambada_openai/acc`); empty for those that matter.
        better: which way is better, for all of them; None to go by their names.
        floors: least changes that matter, by name; None names all the rest.
        sort: whether rows are put in the order of their steps.
        warn: called with each line of warning.
    """

    metrics: Sequence[str]
    better: Better | None
    floors: Mapping[str | None, Floor]
    sort: bool
    warn: Callable[[str], None]
    _said: set[str] = field(default_factory=set)
    _used: set[str] = field(default_factory=set)

    def tell(self, line: str) -> None:
        """Warn, but of each thing once."""
        if line not in self._said:
            self._said.add(line)
            self.warn(line)

    def direction(self, metric: str) -> Better:
        """Which way is better: as asked, as the name says, or lower, with a warning."""
        kind = kind_of(metric)
        if self.better is not None:
            return self.better
        if kind is not None:
            return kind.better
        self.tell(f"{metric}: the name does not say which way is better; lower counts as better (else: --better max)")
        return "min"

    def floor(self, model: str, metric: str, name: str, best: float, width: int | None) -> float:
        """The least change of a metric that matters, in its unit.

        Args:
            model: label of the series, for a warning.
            metric: the bare name.
            name: the whole name, which goes first.
            best: its best value.
            width: dimensions of the head; None if unknown.
        """
        kind = kind_of(metric)
        asked = next((key for key in (name, metric) if key in self.floors), None)
        self._used.update([asked] if asked is not None else [])
        known = kind.floor if kind is not None else NO_FLOOR
        rule = self.floors[asked] if asked is not None else self.floors.get(None, known)
        if rule.needs_width and width is None:
            self.tell(
                f"{model}: no column says how wide the head is (head_size, hidden_size); "
                f"the floor of {name} is {rule.amount:g} ln {WIDTH_UNKNOWN}"
            )
        return 0.0 if np.isnan(best) else rule.of(best, width)

    def check_floors(self, place: Path, names: Iterable[str]) -> None:
        """Refuse a floor of a metric that is not there.

        Raises:
            DegenError: it names the nearest metric, or those there are.
        """
        for name in self.floors:
            if name is not None and name not in self._used:
                raise DegenError(f"{place}: a floor for {name!r}, which is no metric here; {did_you_mean(name, names)}")


def best_of(values: Floats, better: Better) -> float:
    """The best of values; NaN where none is a number."""
    known = values[np.isfinite(values)]
    return float("nan") if not len(known) else float(known.min() if better == "min" else known.max())
