"""Logs as people have them: which step, which metrics, which rows, and what is said of the rest."""

from __future__ import annotations

import gzip
import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.command import degen
from gate_values import value_of
from no_warning import no_warning

from degen import DegenError
from degen.gate.open_target import is_measured
from degen.metrics.curve import Curve
from degen.metrics.find_curves import find_curves, read_curves
from degen.readers.columns import is_text
from degen.readers.json_log import read_json_log
from degen.readers.registry import find_reader
from degen.readers.source_summary import SourceSummary
from degen.saturation import find_saturation

DATA = Path(__file__).parent / "data"


def read(path: Path, **options: Any) -> tuple[dict[str, Curve], SourceSummary]:
    """Return the curves of a log by `model metric`, and the summary."""
    curves, source = read_curves(path, **{"warn": no_warning, **options})
    return {f"{curve.model} {curve.metric}": curve for curve in curves}, source


def points(curve: Curve) -> dict[int, float]:
    """Return step -> value of a curve whose steps are all different."""
    assert len(set(curve.steps.tolist())) == len(curve.steps)
    return dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))


def lines(path: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_the_state_and_the_history_of_a_trainer_are_the_same_log() -> None:
    history = json.loads((DATA / "trainer_state.json").read_text())["log_history"]
    for name, kind in (("trainer_state.json", "Trainer state"), ("trainer_history.csv", "Trainer history")):
        curves, source = read(DATA / name)
        model = name.partition(".")[0]
        assert list(curves) == [f"{model} {metric}" for metric in ("eval_loss", "eval_rouge-1", "loss")]
        for metric in ("eval_loss", "eval_rouge-1", "loss"):
            expected = {row["step"]: row[metric] for row in history if metric in row}
            assert points(curves[f"{model} {metric}"]) == expected
        assert source.kind == kind
        assert source.columns["step"] == "step"
        assert source.left_out == (
            "totals of a training (train_loss, train_runtime, total_flos)",
            "10 rows without a step (predict_loss, predict_rouge-1, predict_runtime)",
        )
        assert "losses of validation come before those of training" in source.line


def test_the_verdict_on_a_sparse_metric_is_that_on_its_rows_alone(tmp_path: Path) -> None:
    history = json.loads((DATA / "trainer_state.json").read_text())["log_history"]
    rows = [f"{row['step']},{row['eval_loss']}" for row in history if "eval_loss" in row]
    (tmp_path / "alone.csv").write_text("\n".join(["step,eval_loss", *rows]) + "\n")
    in_log = find_saturation(DATA / "trainer_state.json", metrics=["eval_loss"]).rows()[0]
    alone = find_saturation(tmp_path / "alone.csv").rows()[0]
    assert {**in_log, "model": ""} == {**alone, "model": ""}
    assert (in_log["best_step"], in_log["final_step"], in_log["checkpoints"]) == (3294, 5490, 10)


def test_a_rise_that_rests_on_one_checkpoint_is_told_with_its_onset() -> None:
    """Eval loss of ten checkpoints, four of them after its best."""
    (row,) = find_saturation(DATA / "trainer_state.json", metrics=["eval_loss"]).rows()
    assert (row["verdict"], row["support"]) == ("saturated", 1)
    assert re.search(r"rests on one checkpoint, step 3843: without it \d+% of curves", row["reason"])
    assert row["onset_low"] < 3574 < row["onset_high"]
    (careful,) = find_saturation(DATA / "trainer_state.json", metrics=["eval_loss"], level=0.03).rows()
    rise = re.search(r"if it is a rise, since step (\d+) \((\d+) … (\d+)\)", careful["reason"])
    assert (careful["verdict"], careful["support"]) == ("undecided", 1)
    assert rise is not None
    assert (int(rise[2]), int(rise[3])) == (row["onset_low"], row["onset_high"])


def test_a_step_that_lacks_a_metric_lacks_it_once_however_many_rows_it_has(tmp_path: Path) -> None:
    history: list[dict[str, float]] = []
    for step in range(100, 1001, 100):
        history += [{"step": step, "loss": 3 - step / 1e3}, {"step": step, "eval_wiki_loss": 4 - step / 1e3}]
        history += [{"step": step, "eval_code_loss": 2 - step / 1e3}] if step < 800 else []
    log = tmp_path / "trainer_state.json"
    log.write_text(json.dumps({"log_history": history}))
    curve = read(log)[0]["trainer_state eval_code_loss"]
    assert curve.steps.tolist() == list(range(100, 1001, 100))
    assert np.isnan(curve.values[7:]).all()
    verdict = find_saturation(log, metrics=["eval_code_loss"]).rows()[0]
    assert verdict["reason"] == "the last checkpoint, step 1000, has no value; its last one is at step 700"
    assert degen("gate", str(log), "--rule", "eval_code_loss < 3").out.count("not measured") == 1


def test_fractions_written_as_texts_are_numbers_and_names_are_not(tmp_path: Path) -> None:
    records = [
        {"step": str(step), "loss": f"{5 - step / 1e3:.4f}", "lr": "1e-4", "run": "1" if step % 2 else "2",
         "version": "1.5" if step < 3 else "beta", "fold": "0.1"}
        for step in range(1, 9)
    ]  # fmt: skip
    log = lines(tmp_path / "log.jsonl", [*records, {"step": 9, "loss": 4.0, "run": "1"}])
    curves, source = read(log)
    assert points(curves["log loss"]) == {step: 5 - step / 1e3 for step in range(1, 9)} | {9: 4.0}
    assert source.columns["step"] == "step"
    table = read_json_log(log, no_warning).table
    assert [name for name in table.column_names if is_text(table, name)] == ["step", "run", "version"]


def test_a_text_that_is_no_number_keeps_its_column_as_text(tmp_path: Path) -> None:
    records = [{"step": step, "loss": "2.5", "eval_loss": "diverged" if step == 3 else "2.5"} for step in range(1, 6)]
    curves, source = read(lines(tmp_path / "log.jsonl", records))
    assert list(curves) == ["log loss"]
    assert "column eval_loss, which holds text such as 'diverged'" in source.left_out


def test_a_history_of_wandb_counts_optimiser_steps_and_not_calls() -> None:
    verdicts = {row["metric"]: row for row in find_saturation(DATA / "wandb_history.csv").rows()}
    assert list(verdicts) == ["eval/loss", "train/loss"]  # validation first; learning rate, norms and times are none
    rise = verdicts["eval/loss"]
    assert rise["verdict"] == "saturated"
    assert rise["onset_low"] <= 2500 <= rise["onset_high"]
    assert rise["final_step"] == 5000
    assert verdicts["train/loss"]["verdict"] == "not_saturated"
    _, source = read(DATA / "wandb_history.csv")
    assert source.columns["step"] == "train/global_step"
    assert source.remarks[0] == "steps could also be _step; remove column train/global_step to take the next"


def test_a_chart_of_wandb_has_a_model_for_each_run_and_runs_end_where_they_end() -> None:
    curves, source = read(DATA / "wandb_chart.csv")
    assert list(curves) == [f"run-{run} train/loss" for run in "abf"]
    assert [int(curve.steps[-1]) for curve in curves.values()] == [48, 56, 384]
    assert not any(math.isnan(value) for curve in curves.values() for value in curve.values)
    assert (source.kind, source.models) == ("wandb chart", ("run-a", "run-b", "run-f"))
    assert source.left_out == ("6 columns __MIN and __MAX of binned points",)
    verdicts = find_saturation(DATA / "wandb_chart.csv").rows()
    assert not any("no value" in row["reason"] for row in verdicts)


def test_a_chart_without_bins_is_a_chart(tmp_path: Path) -> None:
    (tmp_path / "chart.csv").write_text('"Step","big - run - val/loss","b - val/loss"\n1,3,\n2,2,5\n3,,4\n')
    curves, source = read(tmp_path / "chart.csv")
    assert (source.kind, source.left_out) == ("wandb chart", ())
    assert points(curves["big - run val/loss"]) == {1: 3, 2: 2}
    assert points(curves["b val/loss"]) == {2: 5, 3: 4}


def test_the_x_axis_of_a_chart_must_be_a_step(tmp_path: Path) -> None:
    text = (DATA / "wandb_chart.csv").read_text()
    (tmp_path / "own.csv").write_text(text.replace("Step", "train/global_step", 1))
    assert points(read(tmp_path / "own.csv")[0]["run-a train/loss"])
    (tmp_path / "time.csv").write_text(text.replace("Step", "Relative Time (Process)", 1))
    with pytest.raises(DegenError, match=r"the x axis of this chart is Relative Time \(Process\); export it with Step"):
        read(tmp_path / "time.csv")


def test_camel_case_losses_are_losses() -> None:
    curves, _ = read(DATA / "camel.csv")
    assert [curve.metric for curve in curves.values()] == ["eval/c4/CrossEntropyLoss", "eval/c4/ppl"]


def test_json_lines_are_flattened_and_lines_without_a_step_are_counted(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [{"event": "start", "config": {"lr": 0.1}}]
    for step in range(10, 101, 10):
        records.append({"step": step, "train": {"CE loss": 5 - step / 100, "histogram": [1, 2]}, "lr": 0.1})
        if step % 20 == 0:
            records.append({"step": step, "eval": {"c4": {"CrossEntropyLoss": 4 - step / 100}}})
    log = lines(tmp_path / "run.jsonl", records)
    curves, source = read(log)
    assert points(curves["run eval/c4/CrossEntropyLoss"]) == {s: 4 - s / 100 for s in range(20, 101, 20)}
    assert points(curves["run train/CE loss"]) == {s: 5 - s / 100 for s in range(10, 101, 10)}
    assert source.kind == "JSON lines"
    assert source.left_out == ("lists (train/histogram)", "1 row without a step (event, config/lr)")
    log.write_text(log.read_text() + '{"step": 110, "train": {"CE lo')  # still being written
    assert "1 line without a JSON object" in read(log)[1].left_out
    with gzip.open(tmp_path / "run.jsonl.gz", "wt") as file:
        file.write(lines(log, records).read_text())
    assert list(read(tmp_path / "run.jsonl.gz")[0]) == list(curves)


@pytest.mark.parametrize("name", ["log.json", "trainer_state.json", "metrics.log", "x.ndjson"])
def test_what_a_json_file_is_shows_its_content_and_not_its_name(name: str, tmp_path: Path) -> None:
    records = [{"iter": step, "val_loss": 3 - step} for step in range(3)]
    contents = {"JSON lines": "\n".join(map(json.dumps, records))}
    if name != "x.ndjson":
        contents |= {"JSON records": json.dumps(records), "Trainer state": json.dumps({"log_history": records})}
    for kind, text in contents.items():
        (tmp_path / name).write_text(text)
        curves, source = read(tmp_path / name)
        assert source.kind == kind
        assert source.columns["step"] == "iter"
        (curve,) = curves.values()
        assert points(curve) == {0: 3, 1: 2, 2: 1}


def test_json_that_is_no_log_is_no_log(tmp_path: Path) -> None:
    for text in ('{"results": {}}', "[1, 2]", "[]", "[gate]\nrules = []\n", "{", "{}", "", "\x00[{}]"):
        (tmp_path / "x.json").write_text(text)
        assert find_reader(tmp_path / "x.json") is None


def test_the_state_in_the_latest_checkpoint_of_a_folder_is_read(tmp_path: Path) -> None:
    for step in (1000, 500, 20):
        (tmp_path / "out" / f"checkpoint-{step}").mkdir(parents=True)
        history = [{"step": s, "eval_loss": 1 / s} for s in range(10, step + 1, 10)]
        (tmp_path / "out" / f"checkpoint-{step}" / "trainer_state.json").write_text(
            json.dumps({"global_step": step, "log_history": history})
        )
    curves, source = read(tmp_path / "out")
    assert source.kind == "Trainer state (checkpoint-1000/trainer_state.json)"
    assert points(curves["out eval_loss"])[1000] == 1 / 1000
    assert read(tmp_path / "out" / "checkpoint-500")[0]["checkpoint-500 eval_loss"].steps[-1] == 500


def test_a_nan_is_a_value_and_no_gap(tmp_path: Path) -> None:
    log = lines(tmp_path / "run.jsonl", [{"step": s, "loss": math.nan if s > 30 else 1 / s} for s in range(10, 60, 10)])
    for path in (log, tmp_path / "run.csv"):
        if path.suffix == ".csv":
            rows = [f"{s},{s / 10},{'NaN' if s > 30 else 1 / s}" for s in range(10, 60, 10)]
            path.write_text("\n".join(["step,epoch,loss", *rows]) + "\n")
        (verdict,) = find_saturation(path).rows()
        assert verdict["reason"].startswith("the last checkpoint, step 50, has no value")
        assert value_of("loss < 3", path).missing == "not measured"
    lines(log, [{"step": s, "loss": "NaN" if s > 30 else 1 / s} for s in range(10, 60, 10)])  # as wandb writes it
    assert math.isnan(read(log)[0]["run loss"].values[-1])


def test_a_restart_and_a_step_evaluated_twice_are_told(tmp_path: Path) -> None:
    steps = [10, 20, 30, 40, 30, 40, 50, 50]
    log = lines(tmp_path / "run.jsonl", [{"step": s, "loss": 9 - i} for i, s in enumerate(steps)])
    curves, source = read(log)
    assert points(curves["run loss"]) == {10: 9, 20: 8, 30: 5, 40: 4, 50: 3}
    assert source.left_out == (
        "1 value of a step that was logged again",
        "2 values before a restart at step 30",
    )
    assert value_of("loss < 4", log).value == 3
    (tmp_path / "table.csv").write_text("step,loss\n10,3\n20,2\n20,1\n30,1\n")  # of a table nobody knows
    (verdict,) = find_saturation(tmp_path / "table.csv").rows()
    assert (verdict["verdict"], "step 20 stands twice" in verdict["reason"]) == ("undecided", True)


def test_text_columns_tell_series_of_a_log_apart_but_messages_do_not(tmp_path: Path) -> None:
    records = [
        {"step": s, "split": split, "loss": s + shift, "message": f"{s} {split}"}
        for s in range(1, 6)
        for split, shift in (("train", 0.0), ("val", 0.5))
    ]
    curves, _ = read(lines(tmp_path / "run.jsonl", records))
    assert list(curves) == ["run train/loss", "run val/loss"]
    assert points(curves["run val/loss"]) == {s: s + 0.5 for s in range(1, 6)}


@pytest.mark.parametrize("shift", [0, 5])
@pytest.mark.parametrize("column", ["type", "split"])
def test_records_of_kept_data_are_a_series_of_their_own_however_few(column: str, shift: int, tmp_path: Path) -> None:
    records: list[dict[str, Any]] = []
    for step in range(10, 1001, 10):
        records.append({column: "train", "step": step, "loss": 5 - step / 1e3})
        records += [] if step % 100 else [{column: "valid", "step": step + shift, "loss": 6 - step / 1e3}]
    curves, _ = read(lines(tmp_path / "log.jsonl", records))
    assert points(curves["log train/loss"]) == {step: 5 - step / 1e3 for step in range(10, 1001, 10)}
    assert points(curves["log valid/loss"]) == {step + shift: 6 - step / 1e3 for step in range(100, 1001, 100)}


def test_numbers_with_a_comma_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('step,val_loss\n1,"2,5"\n2,"2,4"\n')
    with pytest.raises(DegenError, match=r"no metric can be read: column val_loss, which holds text such as '2,5'; "):
        read(tmp_path / "t.csv")


def test_phases_of_a_training_are_one_series(tmp_path: Path) -> None:
    records = [{"step": s, "phase": "warmup" if s < 4 else "decay", "loss": 9.0 - s} for s in range(1, 10)]
    assert list(read(lines(tmp_path / "run.jsonl", records))[0]) == ["run loss"]


def test_a_gate_judges_a_log_and_scans_a_checkpoint_that_holds_one(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-10").mkdir()
    shutil.copy(DATA / "trainer_state.json", tmp_path / "checkpoint-10")
    log = lines(tmp_path / "run.jsonl", [{"step": 1, "loss": 1.0}])
    assert all(map(is_measured, (log, tmp_path / "checkpoint-10" / "trainer_state.json", tmp_path / "checkpoint-10")))
    (tmp_path / "checkpoint-10" / "config.json").write_text("{}")
    assert not is_measured(tmp_path / "checkpoint-10")
    assert not is_measured(tmp_path)


def test_results_beside_a_log_are_read_as_before(tmp_path: Path) -> None:
    shutil.copy(DATA / "trainer_state.json", tmp_path)
    (tmp_path / "m-step100.json").write_text('{"results": {"arc": {"acc": 0.5}}}')
    assert read(tmp_path)[1].kind == "results of lm-evaluation-harness"


def test_a_gate_takes_the_latest_value_of_a_metric_that_is_logged_less_often(tmp_path: Path) -> None:
    records = [{"step": s, "loss": 1 / s} for s in range(10, 1060, 10)]
    records += [{"step": s, "eval_loss": 2 / s} for s in range(100, 1001, 100)]
    log = lines(tmp_path / "run.jsonl", sorted(records, key=lambda record: record["step"]))
    value = value_of("eval_loss.rise < 1", log)
    assert (value.step, value.value, value.missing) == (1000, 2 / 1000, None)
    stopped = [record for record in records if "loss" in record or record["step"] <= 500]
    value = value_of("eval_loss < 1", lines(log, stopped))
    assert (value.step, value.value) == (1050, None)
    assert value.missing == "not measured"
    (verdict,) = find_saturation(log, metrics=["eval_loss"]).rows()
    assert verdict["reason"] == "the last checkpoint, step 1050, has no value; its last one is at step 500"


def test_a_log_without_steps_or_metrics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DegenError, match=r"run\.jsonl: this log has no step; its values are loss, epoch; log a value"):
        read(lines(tmp_path / "run.jsonl", [{"loss": 1.0, "epoch": 1}]))
    with pytest.raises(DegenError, match=r"seems to hold only steps, sizes and errors"):
        read(lines(tmp_path / "run.jsonl", [{"step": 1, "lr": 1.0, "train_runtime": 3, "grad_norm": 2}]))
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DegenError, match=r"empty\.jsonl: the file is empty"):
        read(tmp_path / "empty.jsonl")


@pytest.mark.parametrize(
    ("header", "row", "step"),
    [
        ("_step,train/global_step,loss", "{i},{s},{v}", "train/global_step"),
        ("_step,trainer/global_step,train/global_step,loss", "{i},{s},,{v}", "trainer/global_step"),
        ("Iter,loss", "{s},{v}", "Iter"),
        ("iteration,loss", "{s},{v}", "iteration"),
        ("checkpoint,loss", "checkpoint-{s},{v}", "checkpoint"),
        ("Step,loss", "{s},{v}", "Step"),
        ("_step,loss", "{s},{v}", "_step"),
        ("iter,step,loss", "{i},{s},{v}", "step"),
        ("globalStep,loss", "{s},{v}", "globalStep"),
        ("Train Global Step,step,loss", "{s},{i},{v}", "Train Global Step"),
        ("STEPS,loss", "{s},{v}", "STEPS"),
        ("iteration_step,loss", "{s},{v}", "iteration_step"),
        ("num_updates,loss", "{s},{v}", "num_updates"),
        ("update,_step,loss", "none,{s},{v}", "_step"),
    ],
)
def test_the_column_of_optimiser_steps_is_chosen(header: str, row: str, step: str, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    rows = [row.format(i=i, s=100 * i, v=3 - i / 10) for i in range(5)]
    table.write_text("\n".join([header, *rows]) + "\n")
    curves, source = read(table)
    assert points(curves["t loss"]) == {100 * i: 3 - i / 10 for i in range(5)}
    assert source.columns["step"] == step


@pytest.mark.parametrize(
    "text",
    [
        '{"step": 1, "loss": 1, "\\ud800": 1, "note": "\\udfff"}',
        '{"step": 1, "loss": 1, "deep": ' + '{"a": ' * 500 + "1" + "}" * 500 + "}",
        '{"step": 1, "loss": 1, "": 5, " ": 6}',
        '{"step": 1, "loss": 1, "step ": 2}',
        '{"step": 1, "loss": {"loss": 1}, "loss/loss": 2}',
        '{"step": 1, "loss": 1e400, "big": ' + "9" * 400 + "}",
        '{"step": ' + "9" * 400 + ', "loss": 1}',
        '{"step": true, "loss": 1}',
        '{"step": "main", "loss": 1}',
        '{"step": -1, "loss": 1}',
        '{"step": [1], "loss": [1]}',
        '{"step": 1, "loss": "high"}',
        "[" * 100_000,
        "{}",
        "null",
    ],
)
def test_a_strange_record_is_read_or_refused_in_one_line(text: str, tmp_path: Path) -> None:
    for name, content in (("x.jsonl", f"{text}\n{text}\n"), ("x.json", f"[{text}]"), ("y.json", text)):
        (tmp_path / name).write_text(content)
        result = degen("saturation", tmp_path / name)
        assert result.code in (0, 2)
        assert "a bug in degen" not in result.err
        assert len(result.err.splitlines()) <= 2, result.err


def test_a_torn_state_in_one_checkpoint_hides_no_other(tmp_path: Path) -> None:
    for name, text in (("checkpoint-1", ""), ("checkpoint-2", '{"log_history": [{"step": 1'), ("checkpoint-3", None)):
        (tmp_path / name).mkdir()
        whole = json.dumps({"log_history": [{"step": 1, "loss": 2.0}]})
        (tmp_path / name / "trainer_state.json").write_text(whole if text is None else text)
    assert read(tmp_path)[1].kind == "Trainer state (checkpoint-3/trainer_state.json)"


def test_a_perplexity_of_training_comes_after_those_of_validation(tmp_path: Path) -> None:
    log = tmp_path / "olmo.jsonl"
    rows = [
        {"step": i, "train/PPL": 30.0 - i, "train/CE loss": 4.0 - i / 10, "eval/c4/PPL": 31.0 - i} for i in range(9)
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [curve.metric for curve in find_curves(log, warn=no_warning)] == [
        "eval/c4/PPL", "train/PPL", "train/CE loss"
    ]  # fmt: skip


def test_a_total_that_was_logged_during_training_is_a_metric(tmp_path: Path) -> None:
    records = [{"step": step, "train_loss": 3 - step / 100} for step in range(10, 60, 10)]
    log = lines(tmp_path / "run.jsonl", [*records, {"step": 60, "train_loss": 2.4, "train_runtime": 9.5}])
    curves, source = read(log)
    assert points(curves["run train_loss"]) == {**{r["step"]: r["train_loss"] for r in records}, 60: 2.4}
    assert source.left_out == ("totals of a training (train_runtime)",)
