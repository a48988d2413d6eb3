"""`degen scaling shapes` as a user meets it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.csv
from faults.command import CommandResult, degen

from degen.figures.figure import Figure

HEAD = "model,NL,DM,FF,params,loss,glue,glue_stderr"


def shapes(*args: object) -> CommandResult:
    return degen("scaling", "shapes", *args)


def t5_like(file: Path) -> Path:
    """Planted: depth buys loss up to 32 layers, width helps the loss and not the task."""
    rng, lines = np.random.default_rng(0), [HEAD]
    for layers in (4, 8, 12, 16, 24, 32, 40, 48, 64):
        for width, ff in ((256, 1024), (512, 1024), (512, 3072), (768, 2048)):
            loss = 8 * min(layers, 32) ** -0.1 * width**-0.12 * ff**-0.03 * np.exp(rng.normal(0, 0.003))
            glue = 20 * min(layers, 32) ** 0.2 * ff**0.08 * np.exp(rng.normal(0, 0.003))
            size = layers * (4 * width**2 + 2 * width * ff) + 32_128 * width
            lines.append(f"L{layers}W{width}F{ff},{layers},{width},{ff},{size},{loss:.5f},{glue:.4f},0.2")
    file.write_text("\n".join(lines) + "\n")
    return file


def test_effects_turns_disagreements_and_savings_are_printed(tmp_path: Path) -> None:
    result = shapes(t5_like(tmp_path / "t.csv"), "--downstream", "glue")
    assert result.code == 0, result.err
    assert "knobs from NL, DM, FF" in result.err
    for title in (
        "What a knob buys", "What a cost buys", "From where more of a knob stops paying",
        "Where upstream and downstream disagree", "The cheapest other model that is as good",
    ):  # fmt: skip
        assert title in result.out
    assert "helps upstream, no help downstream" in result.out
    assert "Traceback" not in result.err


def test_json_and_files_hold_the_same_effects(tmp_path: Path, figures: list[Figure]) -> None:
    table = t5_like(tmp_path / "t.csv")
    result = shapes(table, "--downstream", "glue", "--json", "-o", tmp_path / "out.csv", "--plot", tmp_path / "out.svg")
    assert result.code == 0, result.err
    document = result.json()
    rows = pyarrow.csv.read_csv(tmp_path / "out.csv").to_pylist()
    assert [row["elasticity"] for row in document["rows"]] == [row["elasticity"] for row in rows]
    turn = next(row for row in document["turns"] if (row["knob"], row["quality"]) == ("layers", "loss"))
    assert turn["verdict"] == "stops paying"
    assert turn["turn_low"] <= 32 <= turn["turn_high"]
    saved = next(row for row in document["savings"] if row["model"] == "L64W768F2048")
    assert saved["share"] < 0.6
    assert 0.5 <= saved["probability"] <= 1
    assert (tmp_path / "out.svg").read_text().startswith("<svg")
    tables = figures[0].tables
    drawn = [row for name, of in tables.items() if name != "zero" and not name.startswith("savings") for row in of]
    known = {(row["knob"], row["elasticity"]) for row in rows if row["elasticity"] is not None}
    assert len(drawn) > 0
    assert {(row["knob"], row["elasticity"]) for row in drawn} <= known
    bars = {
        (name, row["model"], row["cheaper"], row["share"])
        for name in tables
        if "savings" in name
        for row in tables[name]
    }
    listed = {(f"savings of {row['cost']}", row["model"], row["cheaper"], row["share"]) for row in document["savings"]}
    assert len(bars) == min(20, len(listed))
    assert bars <= listed


def test_a_column_of_the_user_is_a_knob(tmp_path: Path) -> None:
    table = t5_like(tmp_path / "t.csv")
    table.write_text(table.read_text().replace(",FF,", ",inner,"))
    assert shapes(table, "--knob", "inner", "--json").json()["rows"][-1]["knob"] == "inner"
    wrong = shapes(table, "--knob", "iner")
    assert wrong.code == 2
    assert "no column 'iner'; did you mean 'inner'" in wrong.err


def test_one_model_ends_in_a_message(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("model,layers,d_model,loss\nm,4,64,3.2\n")
    result = shapes(table)
    assert result.code == 2
    assert "all models have one shape (layers, d_model)" in result.err


def test_rows_without_a_knob_and_qualities_of_zero_are_warned_of(tmp_path: Path) -> None:
    table = t5_like(tmp_path / "t.csv")
    lines = [line.split(",") for line in table.read_text().splitlines()]
    lines[1][HEAD.split(",").index("NL")] = ""
    lines[2][HEAD.split(",").index("glue")] = "0"
    table.write_text("\n".join(",".join(line) for line in lines) + "\n")
    result = shapes(table, "--downstream", "glue", "--json")
    assert result.code == 0, result.err
    message = " ".join(result.err.split())
    assert "1 row without NL, left out of all effects" in message
    assert "glue is 0 in 1 row, left out since 0 has no logarithm" in message
    models = {
        (row["quality"], row["knob"]): row["models"] for row in result.json()["rows"] if row["equal"] == "other knobs"
    }
    assert models["loss", "layers"] == len(lines) - 2
    assert models["glue", "layers"] == len(lines) - 3


def test_columns_whose_names_say_nothing_are_warned_of_and_never_guessed(tmp_path: Path) -> None:
    table = t5_like(tmp_path / "t.csv")
    table.write_text(table.read_text().replace(",glue,glue_stderr", ",q17,q17_stderr"))
    result = shapes(table, "--json")
    assert "columns of numbers are not used: q17" in " ".join(result.err.split())
    assert {row["quality"] for row in result.json()["rows"]} == {"loss"}
    assert "not used" not in shapes(table, "--downstream", "q17").err
