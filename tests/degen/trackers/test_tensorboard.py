"""Runs in TensorBoard, read back by its own reader: every value of the run to the last digit, once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from degen import Run, read_run
from degen.errors import DegenError
from degen.trackers.destination import Destination
from degen.trackers.tracked_series import TrackedSeries, tracked_series


def send(run: Run, folder: Path) -> list[str]:
    lines: list[str] = []
    Destination("tensorboard", {"folder": str(folder)}).send(run, lines.append)
    return lines


def read(folder: Path) -> dict[str, dict[int, float]]:
    """Return tag -> step -> value, with no value twice."""
    accumulator: Any = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    found: dict[str, dict[int, float]] = {}
    for tag in accumulator.Tags()["tensors"]:
        events = accumulator.Tensors(tag)
        found[tag] = {event.step: tensor_util.make_ndarray(event.tensor_proto).item() for event in events}
        assert len(found[tag]) == len(events), f"{tag} is there twice"
        assert accumulator.SummaryMetadata(tag).plugin_data.plugin_name == "scalars"
    return found


def expected(run: Run, model: str) -> dict[str, dict[int, float]]:
    """Return what the tables of a run hold of a model, straight from them."""
    found: dict[str, dict[int, float]] = {}
    for table in ("checkpoints", "layers"):
        for row in run.table(table).to_pylist():
            if row["model"] != model or (table == "checkpoints" and row["status"] == "failed"):
                continue
            place = ""
            if table == "layers":
                place = f"layer_{row['layer']:02d}/" if row["site"] == "block" else f"{row['site']}/"
            for column, value in row.items():
                if (
                    isinstance(value, float)
                    and math.isfinite(value)
                    and column not in ("flops_per_token", "training_flops")
                ):
                    found.setdefault(f"degen/{place}{column}", {})[row["step"]] = value
    return found


def test_tensorboard_reads_every_value_to_the_last_digit(run: Run, tmp_path: Path) -> None:
    assert send(run, tmp_path / "tb") == [f"tensorboard: tiny: 3 rows in {tmp_path / 'tb' / 'tiny'}"]
    there, told = read(tmp_path / "tb" / "tiny"), expected(run, "tiny")
    assert {"degen/loss", "degen/anisotropy", "degen/layer_01/anisotropy", "degen/head_input/mean_norm"} <= set(told)
    assert set(told["degen/loss"]) == {0, 100, 1000}
    for tag, values in told.items():
        assert there[tag] == values  # float64, no rounding
    whole_numbers = {"tokens_seen", "tokens_scored", "zero_vectors"}
    assert {tag.rpartition("/")[2] for tag in there if tag not in told} <= whole_numbers


def test_a_run_that_is_sent_twice_is_there_once(run: Run, tmp_path: Path) -> None:
    send(run, tmp_path)
    first = read(tmp_path / "tiny")
    send(read_run(run.path), tmp_path)
    assert len(list((tmp_path / "tiny").iterdir())) == 1
    assert read(tmp_path / "tiny") == first


def test_a_run_that_has_grown_replaces_what_was_sent(run: Run, run_copy: Path, tmp_path: Path) -> None:
    (run_copy / "checkpoints" / "tiny" / "step100.parquet").unlink()
    send(read_run(run_copy), tmp_path / "tb")
    assert set(read(tmp_path / "tb" / "tiny")["degen/loss"]) == {0, 1000}
    send(run, tmp_path / "tb")
    assert set(read(tmp_path / "tb" / "tiny")["degen/loss"]) == {0, 100, 1000}
    assert len(list((tmp_path / "tb" / "tiny").iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_the_users_to_mend(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DegenError, match="cannot be written"):
        send(run, tmp_path / "file")


def test_series_have_an_identity_of_their_own(run: Run, run_copy: Path) -> None:
    (one,) = tracked_series(run)
    assert [one.identity] == [series.identity for series in tracked_series(read_run(run_copy))]
    asked = {**run.info["asked"], "series": ["/elsewhere/tiny"]}
    (other,) = tracked_series(Run(run.path, {**run.info, "asked": asked}))
    assert isinstance(other, TrackedSeries)
    assert other.identity != one.identity
    grown = {**run.info["asked"], "series": [*run.info["asked"]["series"], "/more"], "steps": "log:3"}
    assert tracked_series(Run(run.path, {**run.info, "asked": grown}))[0].identity == one.identity
