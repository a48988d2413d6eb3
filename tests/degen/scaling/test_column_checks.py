from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from no_warning import no_warning

from degen.scaling.read_points import read_points

FULL = "1e8,1e9,3\n3e8,1e10,2.7\n1e9,4e10,2.4\n"


def warnings_of(folder: Path, text: str, **columns: str) -> list[str]:
    """Warnings of reading a table, without its path."""
    file, lines = folder / "t.csv", []
    file.write_text(text)
    read_points(file, columns, lines.append)
    return [line.removeprefix(f"{file}: ") for line in lines]


def test_two_columns_of_one_quantity_that_differ_cause_a_warning(tmp_path: Path) -> None:
    text = "parameters,N,tokens,loss,val_loss\n1e8,2e8,2e9,3,3\n2e8,4e8,4e9,2.5,2.5\n"
    expected = (
        "parameters is read from column 'parameters', but column 'N' holds other values for it; "
        "use --columns parameters=N to read that one"
    )
    assert warnings_of(tmp_path, text) == [expected]
    assert warnings_of(tmp_path, text, N="N") == []
    assert warnings_of(tmp_path, text, N="parameters") == []
    assert warnings_of(tmp_path, text, tokens="N") == []


def test_several_other_columns_are_named_in_one_line(tmp_path: Path) -> None:
    text = "val_loss,test_loss,train_loss,params,tokens\n3,3.1,2.9,1e8,1e9\n"
    assert warnings_of(tmp_path, text) == [
        "loss is read from column 'val_loss', but columns 'test_loss', 'train_loss' hold other values for it; "
        "use --columns loss=COLUMN to read another one"
    ]


def notes_of(folder: Path, text: str) -> list[str]:
    """Return the notes of reading a table, without its path."""
    file, lines = folder / "t.csv", []
    file.write_text(text)
    read_points(file, {}, no_warning, note=lines.append)
    return [line.removeprefix(f"{file}: ") for line in lines]


@pytest.mark.parametrize("loss", ["c4_val_loss", "eval/c4/loss", "heldout-web CrossEntropyLoss"])
def test_the_only_loss_of_kept_data_goes_before_that_of_the_training_data_by_whatever_name(
    loss: str, tmp_path: Path
) -> None:
    text = f"train_loss,{loss},params,tokens\n2.9,3,1e8,1e9\n2.5,2.7,2e8,4e9\n"
    assert notes_of(tmp_path, text) == [
        f"loss is read from column '{loss}', not from 'train_loss', of the training data; "
        "use --columns loss=train_loss to read that one"
    ]


def test_where_several_losses_of_kept_data_have_names_of_their_own_one_is_named(tmp_path: Path) -> None:
    text = "train_loss,c4_val_loss,pile_val_loss,params,tokens\n2.9,3,2.8,1e8,1e9\n2.5,2.7,2.4,2e8,4e9\n"
    assert notes_of(tmp_path, text) == [
        "loss is read from column 'train_loss', of the training data; --columns loss=COLUMN names another, "
        "as loss=c4_val_loss"
    ]


def test_training_loss_that_is_passed_over_is_noted_and_no_warning(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("params,tokens,val/loss,train/loss\n1e8,1e9,3,2.9\n3e8,1e10,2.7,2.5\n")
    warnings: list[str] = []
    notes: list[str] = []
    points = read_points(tmp_path / "t.csv", {}, warnings.append, note=notes.append)
    assert points.loss[0] == 3
    assert warnings == []
    (note,) = notes
    assert "loss is read from column 'val/loss', not from 'train/loss', of the training data" in note
    assert "--columns loss=train/loss" in note


def test_a_column_of_text_that_is_passed_over_is_said(tmp_path: Path) -> None:
    (line,) = warnings_of(tmp_path, "model_size,n_params,tokens,loss\n7B,7e9,1e11,2\n13B,13e9,1e11,1.9\n")
    assert line == "parameters is read from column 'n_params', because column 'model_size' holds no numbers"


@pytest.mark.parametrize(("compute", "count"), [("6e17", 0), ("6e18", 0), ("1e-2", 1), ("6e20", 1)])
def test_compute_far_from_6nd_causes_a_warning(compute: str, count: int, tmp_path: Path) -> None:
    lines = warnings_of(tmp_path, f"params,tokens,compute,loss\n1e8,1e9,{compute},3\n2e8,5e8,{compute},3.1\n")
    assert len(lines) == count
    assert all("times 6ND; if compute is in PF-days" in line for line in lines)
    days = f"params,tokens,pf_days,loss\n1e8,1e9,{6e17 / 8.64e19},3\n"
    assert warnings_of(tmp_path, days) == []


SIZES, TOKENS = np.array([70e6, 160e6, 410e6, 1.4e9]), np.array([2e9, 1e10, 6e10, 3e11])
UNITS = [(1e6, 1), (1e9, 1), (1e3, 1), (1e6, 1e9), (1e6, 1e6), (1e9, 1e9), (1, 1e9), (1, 1e6), (1e3, 1e6), (1e3, 1e9)]


@pytest.mark.parametrize("units", UNITS, ids=str)
@pytest.mark.parametrize("named", [False, True])
def test_sizes_and_tokens_in_thousands_millions_or_billions_are_doubted(
    units: tuple[float, float], named: bool, tmp_path: Path
) -> None:
    rows = [f"{n / units[0]:g},{d / units[1]:g},3" for n, d in zip(SIZES, TOKENS, strict=True)]
    head, columns = ("size,seen,loss", {"params": "size", "tokens": "seen"}) if named else ("params,tokens,loss", {})
    lines = warnings_of(tmp_path, "\n".join([head, *rows]), **columns)
    assert lines
    doubted = [name for name, unit in zip(head.split(","), units, strict=False) if unit > 1]
    assert any(f"by column '{name}'" in line for name in doubted for line in lines)
    assert all("write the full numbers" in line for line in lines)


@pytest.mark.parametrize("sizes", [(124, 1500), (350, 774)])
def test_medians_of_hundreds_are_doubted_beside_full_tokens(sizes: tuple[int, int], tmp_path: Path) -> None:
    text = f"params,tokens,loss\n{sizes[0]},9e9,3\n{sizes[1]},9e9,2.7\n"
    assert "by column 'params' the median model has" in warnings_of(tmp_path, text)[0]


@pytest.mark.parametrize("rows", [FULL, "14e6,3e11,3\n31e6,3e11,2.8\n", "6e4,1.2e6,4\n3e5,6e6,3.8\n"])
def test_full_numbers_of_real_models_are_not_doubted(rows: str, tmp_path: Path) -> None:
    assert warnings_of(tmp_path, f"params,tokens,loss\n{rows}") == []


def test_sizes_of_two_units_in_one_column_are_doubted(tmp_path: Path) -> None:
    (line,) = warnings_of(tmp_path, "params,tokens,loss\n7,1e9,3\n1e8,1e10,2.7\n1e9,4e10,2.4\n")
    assert "some sizes are as small as 7 parameters" in line


def test_perplexities_in_the_column_of_losses_are_doubted(tmp_path: Path) -> None:
    (line,) = warnings_of(tmp_path, "params,tokens,loss\n1e8,1e9,35\n3e8,1e10,22\n")
    assert line.endswith("if these are perplexities, use --columns perplexity=loss")
    file = tmp_path / "t.csv"
    assert read_points(file, {"perplexity": "loss"}).loss == pytest.approx(np.log([35, 22]))
