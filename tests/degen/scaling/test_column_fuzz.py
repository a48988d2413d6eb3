"""Tables with columns renamed, shuffled, emptied, doubled or changed, against the values they were made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from degen.arrays import Floats
from degen.errors import DegenError
from degen.scaling.read_points import read_points

TABLES = 120
NAMES = {
    "parameters": ("parameters", "n_params", "numParams", "Params", "model.params", "N"),
    "tokens": ("tokens", "tokens_seen", "trainTokens", "D", "num_tokens", "Training Tokens", "consumed/tokens"),
    "flops": ("flops", "FLOPs", "C", "total_flos", "training_flops", "train/total_flos"),
    "kept": ("val/loss", "valLoss", "eval_loss", "Validation Loss", "test_loss", "loss/val", "summary/valid_loss"),
    "training": ("train/loss", "trainLoss", "training_loss", "Train-Loss"),
    "model": ("Name", "model", "run_name", "run"),
}
QUANTITIES = ("parameters", "tokens", "loss")
COMPUTED_FROM = {"parameters": ("parameters",), "tokens": ("tokens", "flops", "parameters"), "loss": ("loss",)}
# names that look like those of quantities and are none
OTHERS = (
    "val_loss_se", "loss_scale", "tokens_per_second", "trainable", "eval_runtime", "val/acc", "lr", "epoch", "gloss",
    "params_share", "step_time", "d", "c", "l", "model_flops_utilization", "loss_weight",
)  # fmt: skip


@dataclass
class Made:
    """A table, and for each quantity the values that a reader must find, by the label of the row.

    Attributes:
        columns: name -> values, in order.
        truth: quantity -> its values.
        labels: of the rows, in a column of its own that no reader knows.
    """

    columns: dict[str, list[object]]
    truth: dict[str, Floats]
    labels: list[str] = field(default_factory=list)


def made(seed: int) -> Made:
    """Return a random table with one to three things done to it."""
    draw = np.random.default_rng(seed)
    count = int(draw.integers(5, 16))
    n = np.exp(draw.uniform(np.log(2e7), np.log(8e9), count)).round()
    d = (n * np.exp(draw.uniform(1, 6, count))).round()
    kept = 1.7 + 400 / n**0.34 + 410 / d**0.28
    values = {"parameters": n, "tokens": d, "flops": 6 * n * d, "kept": kept, "training": kept * draw.uniform(0.5, 0.9)}
    dropped = str(draw.choice(["", "flops", "tokens", "training", "kept"]))
    present = [name for name in values if name != dropped]
    truth = {"parameters": n, "tokens": d, "loss": values["kept" if "kept" in present else "training"]}
    labels = [f"row{i}" for i in range(count)]
    columns: dict[str, list[object]] = {str(draw.choice(NAMES[name])): values[name].tolist() for name in present}
    columns[str(draw.choice(NAMES["model"]))] = list(labels)
    columns |= {str(name): draw.normal(size=count).tolist() for name in draw.choice(OTHERS, 3, replace=False)}
    columns["label"] = list(labels)
    for _ in range(int(draw.integers(1, 4))):
        change(columns, draw)
    order = draw.permutation(len(columns))
    names = [list(columns)[i] for i in order]
    rows = [*draw.permutation(count), *draw.integers(0, count, int(draw.choice([0, 0, 2])))]
    return Made({name: [columns[name][i] for i in rows] for name in names}, truth, labels)


def change(columns: dict[str, list[object]], draw: np.random.Generator) -> None:
    """Do one thing to a column of a quantity: empty it, or some cells; double or rename it; change type or unit."""
    quantity = str(draw.choice([name for name in NAMES if name != "model"]))
    mine = [name for name in columns if name in NAMES[quantity]]
    if not mine:
        return
    name, action = mine[0], str(draw.choice(["empty", "holes", "copy", "rival", "text", "unit", "rename"]))
    values, free = columns[name], [other for other in NAMES[quantity] if other not in columns]
    numeric = all(isinstance(value, float | None) for value in values)
    if action == "empty":
        columns[name] = [None] * len(values)
    elif action == "holes":
        columns[name] = [None if draw.random() < 0.3 else value for value in values]
    elif action == "copy" and free:
        columns[str(draw.choice(free))] = list(values)
    elif action == "rival" and free and numeric:
        columns[str(draw.choice(free))] = [None if v is None else v * draw.uniform(0.6, 0.9) for v in values]  # type: ignore[operator]
    elif action == "text" and numeric:
        columns[name] = [None if value is None else f"{value:.3g} or so" for value in values]
    elif action == "unit" and numeric and quantity in ("parameters", "tokens", "flops"):
        unit = float(draw.choice([1e6, 1e9]))
        columns[name] = [None if value is None else value / unit for value in values]  # type: ignore[operator]
    elif action == "rename":
        columns["a column of no known name"] = columns.pop(name)
        for rival in mine[1:]:  # no reader could know that it is one
            del columns[rival]


def fault(table: Made, file: Path) -> str | None:
    """Return what a reader got wrong without a word; None where it is right, refuses the table, or says what it did."""
    pq.write_table(pa.table(table.columns), file)
    lines: list[str] = []
    try:
        points = read_points(file, {}, lines.append, note=lines.append)
        complete = points.complete(*QUANTITIES)
    except DegenError as error:
        return f"an error of several lines: {error}" if "\n" in str(error) else None
    rows = [table.labels.index(str(label)) for label in complete.table["label"].to_pylist()]
    for quantity in QUANTITIES:
        found, expected = complete.quantity(quantity), table.truth[quantity][rows]
        read = [points.columns.get(name, "") for name in COMPUTED_FROM[quantity]]
        said = any(f"'{column}'" in line for column in read for line in lines if column)
        if not np.allclose(found, expected, rtol=1e-6) and not said:
            return f"{quantity} from {complete.origin(quantity)} in silence"
    counted = sum(int(phrase.split()[0]) for phrase in complete.left_out)
    return None if counted == len(points.row_numbers) - len(complete) + repeats(table) else "rows left out uncounted"


def repeats(table: Made) -> int:
    """Return how many rows of a table repeat others."""
    rows = list(zip(*table.columns.values(), strict=True))
    return len(rows) - len(set(rows))


def test_no_column_is_taken_for_another_in_silence(tmp_path: Path) -> None:
    faults = {seed: wrong for seed in range(TABLES) if (wrong := fault(made(seed), tmp_path / "t.parquet"))}
    assert faults == {}


def test_the_fuzz_reads_most_tables_and_warns_of_many(tmp_path: Path) -> None:
    """A fuzz whose tables are all refused would prove nothing."""
    read = warned = 0
    for seed in range(TABLES):
        pq.write_table(pa.table(made(seed).columns), tmp_path / "t.parquet")
        lines: list[str] = []
        try:
            read_points(tmp_path / "t.parquet", {}, lines.append).complete(*QUANTITIES)
        except DegenError:
            continue
        read, warned = read + 1, warned + bool(lines)
    assert read > TABLES / 2
    assert warned > TABLES / 10


def test_a_wrong_column_is_caught(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    plain = Made({"params": [1e8, 2e8], "tokens": [1e9, 3e9], "loss": [3.0, 2.9], "label": ["a", "b"]}, {
        "parameters": np.array([1e8, 3e8]), "tokens": np.array([1e9, 3e9]), "loss": np.array([3.0, 2.9]),
    }, ["a", "b"])  # fmt: skip
    assert fault(plain, file) == "parameters from params in silence"
