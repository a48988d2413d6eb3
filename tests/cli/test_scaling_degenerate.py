"""Tables without the information that a fit needs: `degen scaling` ends in an error of one line and no number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from faults.command import degen
from made_points import noisy

from degen.laws.law import HOFFMANN

HEAD = ["model", "family", "params", "tokens", "loss", "step", "accuracy"]
N = np.geomspace(1e7, 1e10, 12)
D = N * np.exp(np.random.default_rng(0).uniform(0, 5, 12))
FITS = {
    "hoffmann": ("fit",),
    "fixed": ("fit", "--fix", "B=410.7", "--fix", "beta=0.28", "--fix", "E=1.69"),
    "envelope": ("fit", "--law", "envelope"),
    "isoflop": ("fit", "--law", "isoflop"),
    **{form: ("fit", "--law", "kaplan", "--form", form) for form in ("N", "D", "C", "ND", "NS")},
}
COMMANDS = {**FITS, "slopes": ("slopes",), "pareto": ("pareto",)}
Rows = list[list[str]]


def rows_of(sizes: np.ndarray, tokens: np.ndarray) -> Rows:
    losses = noisy(HOFFMANN.loss(sizes, tokens), 0.01, 1)
    return [
        [f"m{i}", "a", f"{n:.6g}", f"{d:.6g}", f"{loss:.5f}", str(1000 * (i + 1)), f"{0.2 + 0.02 * i + loss / 99:.4f}"]
        for i, (n, d, loss) in enumerate(zip(sizes, tokens, losses, strict=True))
    ]


def changed(column: str, *values: str, first: int = 0) -> Rows:
    """Sound rows with other values in a column from some row on."""
    rows = rows_of(N, D)
    for i, value in enumerate(values, first):
        rows[i][HEAD.index(column)] = value
    return rows


SOUND = rows_of(N, D)
TABLES: dict[str, tuple[Rows, dict[str, str]]] = {
    # the rows, and the error of each command; a command that is not listed may succeed
    "one size": (
        rows_of(np.full(10, 1e8), 1e9 * 2.0 ** np.arange(10)),
        {"hoffmann": "cannot tell A, E and alpha apart", "fixed": "cannot tell A and alpha", "envelope": "needs 4",
         "isoflop": "fewer than two budgets", "N": "different size", "C": "all models have the same size",
         "ND": "do not determine", "NS": "do not determine"},
    ),
    "negative losses": (
        [[*row[:4], f"-{row[4]}", *row[5:]] for row in SOUND],
        dict.fromkeys(FITS, "m0 has loss -") | dict.fromkeys(("slopes", "pareto"), "losses must be above 0"),
    ),
    "a negative loss": (
        changed("loss", "-3", first=4),
        dict.fromkeys(FITS, "m4 has loss -3") | dict.fromkeys(("slopes", "pareto"), "m4 has loss -3"),
    ),
    "3 points": (
        SOUND[:3],
        dict.fromkeys(set(FITS) - {"envelope", "isoflop"}, "3 points are too few")
        | {"envelope": "no model has two checkpoints", "isoflop": "fewer than two budgets",
           "slopes": "3 different points with both; a slope needs 4"},
    ),
    "3 points four times over": (
        [row for row in SOUND[:3] for _ in range(4)],
        dict.fromkeys(set(FITS) - {"envelope", "isoflop"}, "3 points are too few")
        | {"envelope": "no model has two checkpoints", "isoflop": "fewer than two budgets",
           "slopes": "3 different points with both; a slope needs 4"},
    ),
    "no loss anywhere": (
        [[*row[:4], "nan", *row[5:6], ""] for row in SOUND],
        dict.fromkeys(FITS, "loss is missing in every") | {"slopes": "0 different points|no line", "pareto": "least 2"},
    ),
    "text for a size": (changed("params", "7B"), dict.fromkeys(set(COMMANDS) - {"D"}, "no numbers, such as '7B'")),
    "a size of 0": (
        changed("params", "0", first=3),
        dict.fromkeys(set(FITS) - {"D", "C"}, "m3 has parameters 0")
        | {"C": "m3 has flops 0", "pareto": "m3 has parameters 0", "slopes": ""},
    ),
    "a size below 0": (
        changed("params", "-5", first=3),
        dict.fromkeys(set(FITS) - {"D", "C"}, "m3 has parameters -5")
        | {"C": "m3 has flops -", "pareto": "m3 has parameters -5", "slopes": ""},
    ),
    "an infinite loss": (changed("loss", "inf", first=2), dict.fromkeys(FITS, "m2 has loss inf")),
    "one budget": (
        rows_of(N, 1e20 / 6 / N),
        {"hoffmann": "size and tokens change together", "ND": "size and tokens change together", "C": "compute",
         "isoflop": "fewer than two budgets", "envelope": "no model has two checkpoints"},
    ),
    "one ratio": (rows_of(N, 20 * N), dict.fromkeys(("hoffmann", "ND"), "size and tokens change together")),
    "losses that rise": (
        changed("loss", *(f"{2 + i / 10}" for i in range(12))),
        dict.fromkeys(("fixed", "N"), "does not fall with growing size") | {"D": "data", "C": "compute"},
    ),
}  # fmt: skip


def write_table(folder: Path, head: list[str], rows: Rows) -> Path:
    file = folder / "t.csv"
    file.write_text("\n".join(map(",".join, [head, *rows])) + "\n")
    return file


@pytest.mark.parametrize(
    ("table", "command"),
    [(table, command) for table, (_, messages) in TABLES.items() for command in COMMANDS if messages.get(command)],
)
def test_degenerate_table_is_an_error_of_one_line(table: str, command: str, tmp_path: Path) -> None:
    rows, messages = TABLES[table]
    result = degen("scaling", *COMMANDS[command], write_table(tmp_path, HEAD, rows))
    assert (result.code, result.out) == (2, "")
    (line,) = [line for line in result.err.splitlines() if not line.startswith("warning: ")]
    assert line.startswith("error: ")
    assert any(message in line for message in messages[command].split("|"))


@pytest.mark.parametrize("column", ["params", "loss", "tokens"])
@pytest.mark.parametrize("command", ["hoffmann", "envelope", "isoflop", "ND", "slopes", "pareto"])
def test_missing_column_is_an_error_of_one_line(command: str, column: str, tmp_path: Path) -> None:
    head, *rows = (
        [value for name, value in zip(HEAD, row, strict=True) if name not in (column, "accuracy")]
        for row in [HEAD, *SOUND]
    )
    result = degen("scaling", *COMMANDS[command], write_table(tmp_path, head, rows))
    if command == "pareto" and column != "loss":
        assert (result.code, "Traceback" in result.err) == (0, False)  # a cost is left
    elif (command, column) == ("slopes", "tokens"):
        assert result.code == 0
        assert "no column of flops" in result.out  # in the rows of that cost
    else:
        assert (result.code, result.out) == (2, "")
        assert "no column of" in result.message


def test_rows_left_out_of_a_fit_are_counted(tmp_path: Path) -> None:
    rows = [*changed("loss", "", "nan"), SOUND[4], SOUND[5]]
    file = write_table(tmp_path, ["number", *HEAD], [[str(i), *row] for i, row in enumerate(rows)])
    result = degen("scaling", "fit", file, "--law", "kaplan", "--form", "D", "--bootstrap", 0, "--json")
    assert result.code == 0
    assert len(result.json()["rows"]) == 10
    assert "left out: 2 rows that repeat other rows; 2 rows without tokens or loss" in result.err


@pytest.mark.parametrize("command", ["N", "slopes", "pareto"])
def test_scaling_does_not_overwrite_its_table(command: str, tmp_path: Path) -> None:
    file = write_table(tmp_path, HEAD, SOUND)
    before = file.read_text()
    result = degen("scaling", *COMMANDS[command], file, "--out", tmp_path / "." / "t.csv")
    assert (result.code, result.out, file.read_text()) == (2, "", before)
    assert "is the table itself" in result.message


def test_number_of_regions_is_limited(tmp_path: Path) -> None:
    file = write_table(tmp_path, HEAD, SOUND)
    assert (
        degen("scaling", "slopes", file, "--regions", 1001).message
        == "--regions 1001: must be at least 1 and at most 1000"
    )


@pytest.mark.parametrize("name", ["frontier", "point", "reason"])
def test_column_with_the_name_of_a_result_column_is_refused(name: str, tmp_path: Path) -> None:
    file = write_table(tmp_path, [*HEAD[:-1], name], SOUND)
    result = degen("scaling", "pareto", file, "--quality", name)
    assert result.code == 2
    assert f"the name of column '{name}' is taken by a column of the result" in result.err


def test_losses_too_large_for_a_line_are_a_row_with_the_reason(tmp_path: Path) -> None:
    file = write_table(tmp_path, HEAD, changed("loss", *(f"{30 - i}e300" for i in range(12))))
    result = degen("scaling", "slopes", file, "--json")
    assert result.code == 0
    (row,) = [r for r in result.json()["rows"] if (r["pair"], r["axes"]) == ("parameters-upstream", "semi-log")]
    assert (row["slope"], row["reason"]) == (None, "0 different points with both; a slope needs 4")
