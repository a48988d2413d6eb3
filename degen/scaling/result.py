"""The result of a fit, whichever law was fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from degen.errors import DegenError
from degen.stats.bootstrap import Interval

from .quantities import PF_DAY

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class FitResult:
    """A fitted law.

    Attributes:
        law: `hoffmann`, `envelope`, `isoflop` or `kaplan`.
        formula: the law as a reader writes it.
        rests_on: what the rows are, as `240 points`.
        parameters: value, low and high of every parameter, by name.
        fixed: names of those that were not fitted.
        rows: what the fit rests on: points, or budgets.
        frontier: the compute-optimal model at each of some budgets; empty where the law says none.
        predictions: what was asked for, one row each.
        warnings: what a reader should know before using any of it.
        confidence: of the intervals.
        no_interval: why there are none; None where there are.
        more: what only this law has, for JSON.
    """

    law: str
    formula: str
    rests_on: str
    parameters: Mapping[str, Interval]
    rows: Sequence[Row]
    fixed: Sequence[str] = ()
    frontier: Sequence[Row] = ()
    predictions: Sequence[Row] = ()
    warnings: Sequence[str] = ()
    confidence: float = 0.9
    no_interval: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def table(self) -> pa.Table:
        """Return the rows as a table."""
        import pyarrow as pa

        return pa.Table.from_pylist(list(self.rows))


def compute_in(flops: float, units: str) -> float:
    """Return compute in `flops` or `pf-days`."""
    return flops / PF_DAY if units == "pf-days" else flops


def check_requests(requests: Sequence[Mapping[str, float]], allowed: Sequence[frozenset[str]], what: str) -> None:
    """Refuse predictions that a law cannot make.

    Args:
        requests: each what is given of a model, as `{"N": 1e9}`.
        allowed: which letters can be given together.
        what: the law, for the error.

    Raises:
        DegenError: it names what can be given.
    """
    for request in requests:
        text = ",".join(f"{name}={value:g}" for name, value in request.items())
        if frozenset(request) not in allowed:
            ways = "; ".join(",".join(f"{name}=…" for name in sorted(names, reverse=True)) for names in allowed)
            raise DegenError(f"--predict {text}: {what} predicts from {ways}")
        for name, value in request.items():
            if not 0 < value < float("inf"):
                raise DegenError(f"--predict {text}: {name} must be positive and finite")


def check_predicted(request: Mapping[str, float], row: Row) -> Row:
    """Return a prediction, in plain numbers.

    Raises:
        DegenError: a value of it is no positive number, as what was given lies too far out.
    """
    plain = {name: None if value is None else float(value) for name, value in row.items()}
    for name, value in plain.items():
        if value is not None and not name.endswith(("_low", "_high")) and not 0 < value < float("inf"):
            text = ",".join(f"{letter}={given:g}" for letter, given in request.items())
            raise DegenError(
                f"--predict {text}: {name} would be {value:g}: this is too far from the points of the fit; "
                "choose values closer to them"
            )
    return plain
