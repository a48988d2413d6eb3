from __future__ import annotations

from pathlib import Path

import pytest

from degen.readers.name_words import is_training, is_validation
from degen.scaling.column_names import column_of, columns_of, readings_of
from degen.scaling.quantities import ALIASES, LAYERS, SECONDS, WIDTH, find_columns, quantity_of


@pytest.mark.parametrize(
    "name", ["val/loss", "valLoss", "Val-Loss", "VAL_LOSS", "val loss", "metrics/val.loss", "Val (Loss)"]
)
def test_a_name_reads_alike_in_every_spelling(name: str) -> None:
    assert "val_loss" in readings_of(name)
    assert is_validation(name)
    assert not is_training(name)


@pytest.mark.parametrize(
    ("name", "quantity"),
    [
        ("Name", "model"), ("iter", "steps"), ("train/global_step", "steps"), ("n_params", "parameters"),
        ("numParams", "parameters"), ("FLOPs", "flops"), ("total_flos", "flops"), ("pf-days", "pf_days"),
        ("CrossEntropyLoss", "loss"), ("train/loss", "loss"), ("eval_loss", "loss"), ("Loss/val", "loss"),
        ("valid_ppl", "perplexity"), ("gloss", None), ("loss_scale", None), ("val_loss_se", None), ("d", None),
        ("trainable", None), ("evaluation", None),
    ],
)  # fmt: skip
def test_quantities_are_known_by_the_names_of_trainers(name: str, quantity: str | None) -> None:
    assert quantity_of(name) == quantity


def test_costs_and_shapes_are_known_by_the_names_of_trainers() -> None:
    columns = ["Runtime", "n_layer", "nEmbd"]
    assert [column_of(names, columns) for names in (SECONDS, LAYERS, WIDTH)] == columns


def test_losses_of_kept_data_go_first_and_of_training_data_last() -> None:
    columns = ["train/loss", "loss", "L", "test_loss", "val/loss", "final_eval_loss"]
    assert columns_of(ALIASES["loss"], columns) == [
        "val/loss", "final_eval_loss", "test_loss", "loss", "L", "train/loss",
    ]  # fmt: skip
    assert find_columns(["train_loss", "valid_ppl"], {}, Path("t")) == {"perplexity": "valid_ppl"}
    assert find_columns(["loss", "valid_ppl"], {}, Path("t"))["loss"] == "loss"


def test_a_column_without_numbers_is_used_only_where_there_is_no_other() -> None:
    columns = ["params", "n_params", "tokens"]
    assert find_columns(columns, {}, Path("t"), ["params", "tokens"])["parameters"] == "n_params"
    assert find_columns(columns, {}, Path("t"), columns)["parameters"] == "params"
    assert find_columns(columns, {}, Path("t"), ["tokens"])["tokens"] == "tokens"


def test_a_column_named_for_one_quantity_leaves_the_next_name_for_another() -> None:
    assert find_columns(["params", "n_params"], {"tokens": "params"}, Path("t")) == {
        "parameters": "n_params",
        "tokens": "params",
    }
