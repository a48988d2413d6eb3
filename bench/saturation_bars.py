"""What the rates of bench/saturation.py should be, and the rows that miss it.

    python bench/saturation_bars.py [docs/saturation_rates.json]

`false`: curves that never rise and are called saturated, at most 5 % on average over the rows of a noise and 7 % in
any row (7 and 9 where neighbours correlate by 0.5). `ramp`: found at least in 95 % on plateaus with even steps from 25
checkpoints on and in 85 % otherwise from 12 on (80 and 75 %), with independent normal noise (correlation 0.5).
`column`: a column of errors takes no more than 5 points from that. `few`: of 8 checkpoints a ramp that is not found is
never called not_saturated. `collapse`: at least 90 % from 25 checkpoints on, 70 % at 16. `onset`: at least 85 % of the
intervals hold. `single`: a curve that one checkpoint spoils has no verdict of a rise without the word of that. Rows
with fewer than three checkpoints on the ramp count for none of these.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from degen.saturation.verdict import VerdictLabel

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from simulated_curves import SINGLES, WITHOUT_ERRORS

RATES = Path(__file__).parents[1] / "docs" / "saturation_rates.json"
FALSE = {"AR .5": (7.0, 9.0), "shared errors AR .5": (7.0, 9.0)}  # on average and at most; of other noise:
FALSE_OTHERWISE = (5.0, 7.0)
FOUND = {"normal": (95.0, 85.0), "AR .5": (80.0, 75.0)}  # on plateaus with even steps from 25 checkpoints, otherwise
COLUMN = 5.0  # points
COLLAPSE = {16: 70.0, 25: 90.0, 60: 90.0}  # by checkpoints
COVERED = 85.0
SMALL_COURSES, FEW = 12, 8  # checkpoints

Row = dict[str, Any]


class Miss(NamedTuple):
    """A rate that misses its bar.

    Attributes:
        bar: which; see above.
        row: the kind of curve.
        rate: in %.
        limit: what it should reach, or not exceed, in %.
        error: Monte-Carlo standard error of a rate at the limit, in points.
    """

    bar: str
    row: str
    rate: float
    limit: float
    error: float


def misses(rows: Sequence[Row]) -> list[Miss]:
    """Return the rates that miss their bars.

    Args:
        rows: of bench/saturation.py, each with a `case`.
    """
    flat: list[Row] = [row | row["case"] for row in rows]
    several = [row for row in flat if not (row["change"] == "ramp" and row["one_checkpoint"])]
    found: list[Miss] = []
    for check in (_false, _ramps, _columns, _few, _collapses, _onsets, _singles):
        found += check(several)
    return found


def _false(rows: Sequence[Row]) -> Iterator[Miss]:
    plain = [row for row in rows if row["change"] == "none"]
    for noise in dict.fromkeys(row["noise"] for row in plain):
        own = [row for row in plain if row["noise"] == noise]
        mean, most = FALSE.get(noise, FALSE_OTHERWISE)
        average = sum(map(_saturated, own)) / len(own)
        if average > mean:
            yield Miss("false", f"{noise}, on average", average, mean, _error(mean, sum(r["draws"] for r in own)))
        yield from _beyond("false", own, _saturated, most, above=True)


def _ramps(rows: Sequence[Row]) -> Iterator[Miss]:
    for row in rows:
        if row["change"] == "ramp" and row["noise"] in FOUND and row["checkpoints"] >= SMALL_COURSES:
            easy = row["shape"] == "plateau" and row["spacing"] == "even" and row["checkpoints"] > SMALL_COURSES
            yield from _beyond("ramp", [row], _saturated, FOUND[row["noise"]][0 if easy else 1])


def _columns(rows: Sequence[Row]) -> Iterator[Miss]:
    ramps = [row for row in rows if row["change"] == "ramp" and row["checkpoints"] >= SMALL_COURSES]
    plain = {_key(row, row["noise"]): _saturated(row) for row in ramps}
    for row in ramps:
        without = plain.get(_key(row, WITHOUT_ERRORS.get(row["noise"], "")))
        if without is not None:
            yield from _beyond("column", [row], _saturated, without - COLUMN)


def _few(rows: Sequence[Row]) -> Iterator[Miss]:
    ramps = [row for row in rows if row["change"] == "ramp" and row["checkpoints"] == FEW]
    yield from _beyond("few", ramps, lambda row: _share(row, "not_saturated"), 0.0, above=True)


def _collapses(rows: Sequence[Row]) -> Iterator[Miss]:
    for row in rows:
        if row["change"] == "collapse":
            yield from _beyond("collapse", [row], _saturated, COLLAPSE[row["checkpoints"]])


def _onsets(rows: Sequence[Row]) -> Iterator[Miss]:
    onsets = [row for row in rows if row["change"].startswith("onset") and row["covered"] is not None]
    yield from _beyond("onset", onsets, lambda row: 100 * float(row["covered"]), COVERED)


def _singles(rows: Sequence[Row]) -> Iterator[Miss]:
    singles = [row for row in rows if row["change"] in SINGLES]
    yield from _beyond("single", singles, lambda row: 100 * float(row["carried"]), 0.0, above=True)


def _beyond(
    bar: str, rows: Sequence[Row], rate: Callable[[Row], float], limit: float, *, above: bool = False
) -> Iterator[Miss]:
    """Yield the rows whose rate lies beyond a limit: below it, or above it."""
    for row in rows:
        beyond = rate(row) - limit if above else limit - rate(row)
        if beyond > 1e-9:
            yield Miss(bar, _name(row), rate(row), limit, _error(limit, row["draws"]))


def _error(limit: float, draws: int) -> float:
    """Return the standard error of a rate of so many draws at a limit, both in %."""
    return math.sqrt(max(0.0, limit * (100 - limit)) / draws)


def _saturated(row: Row) -> float:
    return _share(row, "saturated")


def _share(row: Row, word: VerdictLabel) -> float:
    """Return how many of the curves of a row had a verdict, in %."""
    return 100 * float(row["shares"][word])


def _key(row: Row, noise: str) -> tuple[str, int, str, str]:
    return noise, row["checkpoints"], row["spacing"], row["shape"]


def _name(row: Row) -> str:
    return f"{row['noise']}, {row['checkpoints']} {row['spacing']}, {row['shape']}, {row['change']}"


def print_misses(rows: Sequence[Row]) -> None:
    """Print the rates that miss their bars, each with the bar and its Monte-Carlo standard error."""
    for miss in misses(rows):
        print(f"{miss.bar:<10}{miss.row:<52}{miss.rate:>6.1f}  bar {miss.limit:>4.1f} ±{miss.error:.1f}")


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else RATES
    print_misses(json.loads(path.read_text(encoding="utf-8"))["rows"])


if __name__ == "__main__":
    main()
