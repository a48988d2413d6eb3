"""Tables and logs of random shape give the values that the generator put in, or one message; never another column.

`DEGEN_TABLES=2000` makes more of them.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from degen import DegenError
from degen.metrics.find_curves import read_curves

TABLES = int(os.environ.get("DEGEN_TABLES", "200"))
ORDER = (
    "train/global_step", "trainer/global_step", "global_step", "step", "steps", "iteration", "iter", "checkpoint",
    "_step",
)  # fmt: skip
STEPS = ("Step", *ORDER[:-1])
CALLS = ("_step", "iter", "iteration", "step")  # count calls, where they come behind the name of the steps
METRICS = ("loss", "val_loss", "train/loss", "eval/CrossEntropyLoss", "valLoss", "acc", "eval_accuracy", "ppl", "BLEU")
FACTS = ("learning_rate", "lr", "grad_norm", "epoch", "train_samples_per_second", "total_flos", "num_tokens")
FORMATS = (".csv", ".tsv", ".parquet", ".jsonl", ".json")


@dataclass
class Made:
    """A table with the truth about it.

    Attributes:
        rows: its rows, a cell of None being empty.
        step: the column of the steps.
        truth: (model, metric) -> step -> value.
        spoilt: columns of metrics that hold a text somewhere.
        changes: what was done to it, for the message of a failed test.
    """

    rows: list[dict[str, Any]]
    step: str
    truth: dict[tuple[str, str], dict[int, float]]
    spoilt: set[str] = field(default_factory=set)
    changes: list[str] = field(default_factory=list)


def make(rng: random.Random) -> Made:
    """Return a table of one or more models, whose metrics may be logged at steps of their own."""
    step = rng.choice(STEPS)
    metrics = rng.sample(METRICS, rng.randint(1, 4))
    models = rng.sample(["a", "b", "run-c"], rng.choice([0, 0, 1, 2, 3]))
    rows: list[dict[str, Any]] = []
    truth: dict[tuple[str, str], dict[int, float]] = {}
    sparse = rng.random() < 0.5
    every = {metric: rng.choice([1, 2, 5]) if sparse else 1 for metric in metrics}
    spacing = rng.choice([1, 10, 250])
    for model in models or ["t"]:
        for i in range(1, rng.randint(8, 40)):
            values = {m: round(rng.uniform(0.1, 9), rng.randint(2, 12)) for m in metrics if i % every[m] == 0}
            if not values:
                continue
            for metric, value in values.items():
                truth.setdefault((model, metric), {})[i * spacing] = value
            rows.append({**({"model": model} if models else {}), step: i * spacing, **values})
    made = Made(rows, step, truth)
    for fact in rng.sample(FACTS, rng.randint(0, 3)):
        for row in rows:
            row[fact] = rng.uniform(0, 5)
    calls = rng.choice(CALLS)
    if rng.random() < 0.4 and ORDER.index(calls) > ORDER.index(step.lower()):
        made.changes.append(f"calls counted as {calls}")
        for i, row in enumerate(rows):
            row[calls] = i
    if rng.random() < 0.3:
        made.changes.append("a column of notes")
        for i, row in enumerate(rows):
            row["note"] = f"note {i}"
    return made


def change(made: Made, rng: random.Random) -> None:
    """Change a table at random in ways that keep its truth, or note what they spoil."""
    if rng.random() < 0.3:
        made.changes.append("rows doubled")
        made.rows += [dict(row) for row in rng.sample(made.rows, len(made.rows) // 3)]
    if rng.random() < 0.3:
        made.changes.append("rows shuffled")
        rng.shuffle(made.rows)
    if rng.random() < 0.3:
        made.changes.append("values emptied")
        for (model, metric), values in made.truth.items():
            for step in rng.sample(sorted(values), len(values) // 4):
                del values[step]
                for row in made.rows:
                    if row.get("model", "t") == model and row[made.step] == step:
                        row[metric] = None
    if rng.random() < 0.2:
        metric = rng.choice([m for _, m in made.truth])
        made.changes.append(f"a text in {metric}")
        made.spoilt.add(metric)
        next(row for row in made.rows if row.get(metric) is not None)[metric] = "diverged"
    if rng.random() < 0.2:
        made.changes.append("steps emptied")
        for row in rng.sample(made.rows, len(made.rows) // 5):
            step, row[made.step] = row[made.step], None
            for (model, _metric), values in made.truth.items():
                kept = any(r[made.step] == step and r.get("model", "t") == model for r in made.rows)
                if model == row.get("model", "t") and not kept:
                    values.pop(step, None)
    if rng.random() < 0.2:
        made.changes.append("steps as text")
        for row in made.rows:
            row[made.step] = None if row[made.step] is None else f"step{row[made.step]}"
    elif rng.random() < 0.2:
        made.changes.append("steps as fractions")
        for row in made.rows:
            row[made.step] = None if row[made.step] is None else float(row[made.step])
    if rng.random() < 0.1:
        made.changes.append("the steps removed")
        for row in made.rows:
            del row[made.step]
        made.step = ""
    if rng.random() < 0.05:
        made.changes.append("a column doubled")  # which `write` does, where a file can have two of one name
    columns = list(dict.fromkeys(name for row in made.rows for name in row))
    rng.shuffle(columns)
    made.rows = [{name: row.get(name) for name in columns} for row in made.rows]


def write(made: Made, file: Path) -> None:
    """Write a table as the ending of its file says."""
    if file.suffix in (".jsonl", ".json"):
        records = [{k: v for k, v in row.items() if v is not None} for row in made.rows]
        lines = [json.dumps(record) for record in records]
        file.write_text("\n".join(lines) + "\n" if file.suffix == ".jsonl" else f"[{', '.join(lines)}]")
        return
    frame = pd.DataFrame(made.rows)
    for column in frame:
        if frame[column].dtype == object and file.suffix == ".parquet":
            frame[column] = frame[column].map(lambda value: None if pd.isna(value) else str(value))
    if "a column doubled" in made.changes and file.suffix != ".parquet":
        frame = pd.concat([frame, frame.iloc[:, :1]], axis=1)
    if file.suffix == ".parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, index=False, sep="," if file.suffix == ".csv" else "\t")


def check(made: Made, file: Path) -> str:
    """Check what is read from a file against the truth.

    Returns:
        How it ended: `read`, or the message.
    """
    warnings: list[str] = []
    message = None
    try:
        curves, source = read_curves(file, sort="rows shuffled" in made.changes, warn=warnings.append)
    except DegenError as error:
        message = str(error)
    if message is not None:
        assert "\n" not in message
        assert str(file) in message
        return message
    said = source.line + " ".join(warnings)
    if source.columns["step"] != made.step:
        assert made.step == "", f"step from {source.columns['step']}: {said}"
        return f"without its steps: {source.line}"  # counts calls, which the line says
    for curve in curves:
        name = (curve.model, curve.metric)
        known = {int(s): v for s, v in zip(curve.steps, curve.values, strict=True) if v == v}
        if name not in made.truth:
            assert curve.metric in said, f"{name} is no metric of the table: {said}"
            assert not set(METRICS) & {m for _, m in made.truth} - made.spoilt, f"{name} though there are metrics"
            continue
        truth = made.truth[name]
        if "before a restart" in said and {"rows doubled", "steps emptied"} <= set(made.changes):
            truth = {step: truth[step] for step in known}  # a row that came again with its step looks like a restart
        assert known == pytest.approx(truth, rel=1e-12, abs=0), name
    read = {(curve.model, curve.metric) for curve in curves}
    for model, metric in made.truth:
        if made.truth[model, metric] and (model, metric) not in read:
            assert metric in said, f"{metric} is left out in silence: {said}"
    return "read"


@pytest.mark.parametrize("part", range(4))
def test_a_table_gives_its_values_or_a_message(part: int, tmp_path: Path) -> None:
    outcomes: dict[str, int] = {}
    for seed in range(part, TABLES, 4):
        rng = random.Random(seed)
        made = make(rng)
        change(made, rng)
        file = tmp_path / f"t{rng.choice(FORMATS)}"
        write(made, file)
        try:
            outcome = check(made, file)
        except AssertionError as error:
            raise AssertionError(f"table {seed}, {file.suffix}, {made.changes}: {error}") from error
        outcomes[outcome[:4]] = outcomes.get(outcome[:4], 0) + 1
    assert outcomes["read"] > 0.7 * TABLES / 4, outcomes
