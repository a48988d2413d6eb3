"""Logs that the real libraries wrote, read to the last digit."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from no_warning import no_warning
from trainings import load_tokenizer, module_class

from degen import DegenError
from degen.metrics.curve import Curve
from degen.metrics.find_curves import read_curves
from degen.readers.source_summary import SourceSummary

# A real training, in a process of its own: loggers leave threads and warnings behind.
TRAIN = """
import sys, torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
out, *report_to = sys.argv[1:]
torch.manual_seed(0)
texts = [{"input_ids": ids, "labels": ids} for ids in torch.randint(0, 64, (440, 16))]
model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=16, n_layer=1, n_head=2))
arguments = TrainingArguments(
    output_dir=out, max_steps=200, per_device_train_batch_size=4, logging_steps=10, eval_strategy="steps",
    eval_steps=25, save_strategy="no", report_to=report_to, run_name="tiny", use_cpu=True, disable_tqdm=True,
    learning_rate=1e-2, dataloader_pin_memory=False,
    **({"trackio_space_id": None, "project": "sizes"} if "trackio" in report_to else {}),
)
trainer = Trainer(model, arguments, train_dataset=texts[:400], eval_dataset=texts[400:])
trainer.train()
trainer.state.save_to_json(out + "/trainer_state.json")
"""
METRICS = ("eval/loss", "train/loss", "train/grad_norm", "train/learning_rate")


def train(folder: Path, *report_to: str) -> dict[str, dict[int, float]]:
    """Train 200 steps, logging into a folder.

    Returns:
        What the Trainer itself says of it: metric, as loggers call it -> step -> value.
    """
    settings = {
        "WANDB_MODE": "offline", "WANDB_DIR": str(folder), "TRACKIO_DIR": str(folder / "trackio"),
    }  # fmt: skip
    command = [sys.executable, "-c", TRAIN, str(folder), *report_to]
    environment = {**os.environ, **settings}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    truth: dict[str, dict[int, float]] = {}
    for row in json.loads((folder / "trainer_state.json").read_text())["log_history"]:
        for key, value in row.items():
            name = key.replace("eval_", "eval/") if "eval_" in key else f"train/{key}"
            truth.setdefault(name, {})[row["step"]] = value
    return truth


def read(path: Path, **options: Any) -> tuple[dict[str, Curve], SourceSummary]:
    curves, source = read_curves(path, **{"warn": lambda line: None, **options})
    return {f"{curve.model} {curve.metric}": curve for curve in curves}, source


def points(curve: Curve) -> dict[int, float]:
    return dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))


@pytest.mark.parametrize(
    "logger", ["tensorboard", *(pytest.param(name, marks=pytest.mark.extras) for name in ("wandb", "trackio"))]
)
def test_what_a_trainer_logs_is_read_as_it_was_logged(logger: str, tmp_path: Path) -> None:
    truth = train(tmp_path, logger)
    logs = {"tensorboard": "runs", "wandb": "wandb", "trackio": "trackio/sizes.db"}
    log = tmp_path / logs[logger]
    curves, source = read(log, metrics=METRICS)
    (model,) = source.models
    assert len(truth["train/loss"]) == 20
    assert len(truth["eval/loss"]) == 8
    for metric in METRICS:
        expected = truth[metric]
        if logger == "tensorboard":  # which keeps 32 bits
            expected = {step: float(np.float32(value)) for step, value in expected.items()}
        assert points(curves[f"{model} {metric}"]) == expected
    usual, _ = read(log)
    assert [curve.metric for curve in usual.values()] == ["eval/loss", "train/loss"]
    own, _ = read(tmp_path / "trainer_state.json", metrics=["eval_loss", "loss"])
    assert [points(curve) for curve in own.values()] == [truth["eval/loss"], truth["train/loss"]]
    assert logger in source.kind.lower()
    if logger == "wandb":  # which is still being written, or whose disk was full
        (file,) = (path for path in log.rglob("*.wandb") if not path.parent.is_symlink())
        whole = len(file.read_bytes())
        for end in (whole - 3, whole // 2, whole // 2 + 5):
            (tmp_path / "torn.wandb").write_bytes(file.read_bytes()[:end])
            torn, torn_source = read(tmp_path / "torn.wandb", metrics=["train/loss"])
            assert points(torn["tiny train/loss"]).items() <= truth["train/loss"].items()
            assert torn_source.left_out == ("the end of torn.wandb, which is damaged or still being written",)


LONG = """
import sys, wandb
run = wandb.init(dir=sys.argv[1], mode="offline", name="long", config={"text": "x" * 70_000})
for i in range(1000):
    run.log({"loss": 1 / (i + 1), "eval": {"loss": 2 / (i + 1)}, "global_step": 10 * i, "image": [1, 2]})
run.finish()
"""


@pytest.mark.extras
def test_a_run_of_wandb_of_many_blocks_is_read_whole(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LONG, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    curves, source = read(tmp_path)
    assert points(curves["long loss"]) == {10 * i: 1 / (i + 1) for i in range(1000)}
    assert points(curves["long eval/loss"]) == {10 * i: 2 / (i + 1) for i in range(1000)}
    assert source.left_out == ("lists (image)",)


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:(lightning|pytorch_lightning|lightning_utilities|torchmetrics).*",
    "ignore:.*(does not have many workers|number of training batches|LeafSpec|isinstance.treespec).*",
)
def test_what_a_csv_logger_of_lightning_writes_is_read_as_it_was_written(series: Path, tmp_path: Path) -> None:
    import lightning.pytorch as lightning
    from lightning.pytorch.loggers import CSVLogger

    settings: dict[str, Any] = {
        "max_steps": 60, "accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False,
        "enable_checkpointing": False, "log_every_n_steps": 5, "val_check_interval": 8,
    }  # fmt: skip
    trainer = lightning.Trainer(logger=CSVLogger(tmp_path, name="", version="tiny"), **settings)
    module = module_class("lightning.pytorch", load_tokenizer(series))()
    trainer.fit(module, module.loader(True), module.loader(False))
    file = tmp_path / "tiny" / "metrics.csv"
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    for path, model in ((file, "metrics"), (tmp_path, "tiny")):
        curves, source = read(path)
        assert list(curves) == [f"{model} validation_loss", f"{model} train_loss"]
        for name in ("train_loss", "validation_loss"):
            expected = {int(row["step"]): float(row[name]) for row in rows if row.get(name)}
            assert len(expected) >= 7
            assert points(curves[f"{model} {name}"]) == expected
        assert source.kind.endswith("of a logger")


@pytest.fixture
def writer() -> Iterator[Any]:
    """Return a function that makes writers of event files; they are closed at the end of the test."""
    from torch.utils.tensorboard import SummaryWriter

    opened: list[Any] = []

    def make(folder: Path, **options: Any) -> Any:
        opened.append(SummaryWriter(str(folder), **options))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def test_folders_of_events_are_models_and_other_tags_are_named(writer: Any, tmp_path: Path) -> None:
    for run, shift in (("a/tb", 0.0), ("b", 1.0)):
        events = writer(tmp_path / run)
        for step in range(0, 100, 10):
            events.add_scalar("val/loss", 5 - step / 100 + shift, step)
            events.add_scalar("lr", 0.1, step)
            events.add_histogram("weights", np.arange(3.0), step)
        events.close()
    curves, source = read(tmp_path, warn=no_warning)
    assert list(curves) == ["a/tb val/loss", "b val/loss"]
    assert points(curves["b val/loss"]) == {s: float(np.float32(6 - s / 100)) for s in range(0, 100, 10)}
    assert source.left_out == ("1 tag without scalars (weights)",)
    (file,) = (tmp_path / "b").iterdir()
    assert points(read(file)[0]["b val/loss"]) == points(curves["b val/loss"])


def test_scalars_as_tensors_are_scalars(tmp_path: Path) -> None:
    """As TensorFlow 2 and Keras write them."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    events = EventFileWriter(str(tmp_path))
    for step in range(5):
        events.add_event(Event(step=step, summary=scalar_pb("epoch_loss", 1 / (step + 1))))
    events.close()
    (curve,) = read(tmp_path)[0].values()
    assert points(curve) == {step: float(np.float32(1 / (step + 1))) for step in range(5)}


def test_tags_of_megatron_over_samples_are_no_curves_over_steps(writer: Any, tmp_path: Path) -> None:
    events = writer(tmp_path)
    for step in range(10, 101, 10):
        for tag in ("lm loss", "lm loss validation", "lm loss validation ppl"):
            events.add_scalar(tag, 1 / step, step)
            events.add_scalar(f"{tag} vs samples", 1 / step, step * 64)
    events.close()
    curves, source = read(tmp_path)
    assert [curve.metric for curve in curves.values()] == ["lm loss validation", "lm loss validation ppl", "lm loss"]
    assert all(curve.steps.tolist() == list(range(10, 101, 10)) for curve in curves.values())
    tags = "lm loss vs samples, lm loss validation vs samples, lm loss validation ppl vs samples"
    assert source.left_out == (f"3 tags over samples and not steps ({tags})",)


def test_a_folder_of_hyperparameters_is_no_model(writer: Any, tmp_path: Path) -> None:
    for run in ("a", "b"):
        events = writer(tmp_path / run)
        for step in range(5):
            events.add_scalar("val/loss", 5 - step, step)
        events.add_hparams({"lr": 0.1}, {"hparam/loss": 3.0}, run_name="settings")
        events.close()
    curves, source = read(tmp_path)
    assert list(curves) == ["a val/loss", "b val/loss"]
    assert "2 folders of hyperparameters (a/settings, b/settings)" in source.left_out


def test_what_a_restart_undid_is_left_out_of_events(writer: Any, tmp_path: Path) -> None:
    first = writer(tmp_path, filename_suffix=".1")
    for step in range(0, 60, 10):
        first.add_scalar("loss", 1.0, step)
    first.close()
    second = writer(tmp_path, purge_step=30, filename_suffix=".2")
    for step in range(30, 80, 10):
        second.add_scalar("loss", 2.0, step)
    second.close()
    curves, source = read(tmp_path)
    (curve,) = curves.values()
    assert points(curve) == {s: 1.0 if s < 30 else 2.0 for s in range(0, 80, 10)}
    assert source.left_out == ("3 values before a restart",)


def test_the_tenth_file_of_a_process_comes_after_the_ninth(writer: Any, tmp_path: Path) -> None:
    """TensorBoard counts the files that a process begins in one second, and its names sort 10 before 9."""
    for number, value in ((9, 1.0), (10, 2.0)):
        own = writer(tmp_path / str(number), purge_step=20 if number == 10 else None)
        for step in range(0 if number == 9 else 20, 40, 10):
            own.add_scalar("loss", value, step)
        own.close()
        (file,) = (tmp_path / str(number)).iterdir()
        file.rename(tmp_path / f"events.out.tfevents.1700000000.host.1.{number}")
        (tmp_path / str(number)).rmdir()
    (curve,) = read(tmp_path)[0].values()
    assert points(curve) == {0: 1.0, 10: 1.0, 20: 2.0, 30: 2.0}


def test_damaged_events_are_read_as_far_as_they_go(writer: Any, tmp_path: Path) -> None:
    events = writer(tmp_path)
    for step in range(50):
        events.add_scalar("loss", 1 / (step + 1), step)
    events.close()
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    (curve,) = read(tmp_path)[0].values()
    assert len(curve.steps) == 49
    file.write_bytes(b"no events at all" * 10)
    with pytest.raises(DegenError, match="these event files hold no scalar"):
        read(tmp_path)


@pytest.mark.parametrize(("package", "name", "content"), [
    ("tensorboard.backend.event_processing.event_file_loader", "events.out.tfevents.1.x", b"x"),
    ("wandb.proto", "run-1.wandb", b":W&B\xe1\xbe\x00"),
])  # fmt: skip
def test_a_missing_package_is_named(
    package: str, name: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / name).write_bytes(content)
    extra = package.partition(".")[0]
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(DegenError, match=rf"need an extra: pip install 'degen-lm\[{extra}\]'"):
            read(path)
