"""Logs of training as a user meets them: one line on what was understood, on stderr or in the JSON document."""

from __future__ import annotations

from pathlib import Path

from faults.command import degen

LOG = Path(__file__).parents[1] / "degen" / "readers" / "data" / "wandb_history.csv"
LINE = (
    f"{LOG}: wandb history, 151 rows, model from (name of the file or folder), step from train/global_step, metrics "
    "eval/loss, train/loss, no standard errors; steps could also be _step; remove column train/global_step to take the "
    "next; losses of validation come before those of training"
)


def test_saturation_says_in_one_line_what_it_understood() -> None:
    result = degen("saturation", LOG)
    assert result.code == 0
    assert result.err.splitlines() == [LINE]
    document = degen("saturation", LOG, "--json")
    assert document.err == ""
    source = document.json()["source"]
    assert source["columns"] == {"model": "(name of the file or folder)", "step": "train/global_step"}
    assert source["metrics"] == ["eval/loss", "train/loss"]
    assert source["kind"] == "wandb history"


def test_gate_says_in_one_line_what_it_understood() -> None:
    arguments = ("gate", LOG, "--rule", "eval/loss.rise < 0.01")
    result = degen(*arguments)
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert line.startswith(f"{LOG}: wandb history, 151 rows, ")
    assert "metrics eval/loss, no standard errors" in line
    document = degen(*arguments, "--json")
    assert document.code == 1
    assert document.err == ""
    assert document.json()["source"]["metrics"] == ["eval/loss"]
    (row,) = document.json()["rows"]
    assert (row["step"], row["reference_step"]) == (5000, 2400)


def test_a_run_is_no_source_to_explain(run_copy: Path) -> None:
    result = degen("saturation", run_copy)
    assert result.err == ""
    source = degen("saturation", run_copy, "--json").json()["source"]
    assert (source["kind"], source["models"]) == ("run", ["tiny"])
    assert source["errors"] == ["loss_se", "anisotropy_se"]
