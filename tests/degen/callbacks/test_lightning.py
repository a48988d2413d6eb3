"""A real Lightning run, under either name of it, is the run without the callback."""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from trainings import MEASURED, module_class, warnings_of

import degen

LIBRARIES = ("lightning.pytorch", "pytorch_lightning")
EVERY, STEPS = 20, [20, 40, 60]
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:(lightning|pytorch_lightning|lightning_utilities|torchmetrics).*",
    "ignore:.*(does not have many workers|number of training batches|LeafSpec|isinstance.treespec).*",
)


@dataclass
class LightningRun:
    """A training that ended, and what it logged."""

    trainer: Any
    module: Any
    random_state: Any
    out: Path

    def logged(self, name: str) -> dict[int, float]:
        """Return the values that the CSV logger got under a name, by step."""
        with (self.out / "logs" / "metrics.csv").open(newline="") as file:
            return {int(row["step"]): float(row[name]) for row in csv.DictReader(file) if row.get(name)}


def make_saving_module(library: str, tokenizer: Any, out: Path) -> Any:
    """Return a module that saves its model wherever the callback measures it."""

    class Saving(module_class(library, tokenizer)):  # type: ignore[misc]
        def on_train_batch_end(self, *_: Any) -> None:
            if self.trainer.global_step % EVERY == 0:
                self.model.save_pretrained(out / f"step{self.trainer.global_step}")

    return Saving()


def run(library: str, tokenizer: Any, out: Path, *callbacks: Any, **arguments: Any) -> LightningRun:
    import torch

    lightning = import_module(library)
    lightning.seed_everything(0, verbose=False)
    module = make_saving_module(library, tokenizer, out / "saved")
    settings = {
        "max_steps": 60, "accelerator": "cpu", "devices": 1, "enable_progress_bar": False, "log_every_n_steps": 10,
        "enable_checkpointing": False, "enable_model_summary": False, "num_sanity_val_steps": 1, "limit_val_batches": 2,
    } | arguments  # fmt: skip
    logger = import_module(f"{library}.loggers").CSVLogger(out, name="", version="logs")
    trainer = lightning.Trainer(logger=logger, callbacks=list(callbacks), **settings)
    trainer.fit(module, module.loader(True), module.loader(False))
    return LightningRun(trainer, module, torch.get_rng_state(), out)


def watch(**settings: Any) -> Any:
    from degen.callbacks import LightningDegenerationCallback

    return LightningDegenerationCallback(**MEASURED, **settings)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_lightning_run_with_the_callback_is_the_run_without_it_and_its_figures_those_of_a_scan(
    tokenizer: Any, series: Path, corpus: Path, tmp_path: Path, library: str
) -> None:
    import torch

    plain = run(library, tokenizer, tmp_path / "plain")
    watched = run(
        library,
        tokenizer,
        tmp_path / "watched",
        watch(corpus=corpus, every=EVERY, rules=["loss < 0", "loss.rise < 99"]),
    )
    assert watched.trainer.global_step == 60  # `log` goes on after a violation
    first, second = plain.module.state_dict(), watched.module.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    states = [ran.trainer.optimizers[0].state_dict()["state"] for ran in (plain, watched)]
    assert all(torch.equal(v, states[1][key][n]) for key, state in states[0].items() for n, v in state.items())
    assert torch.equal(plain.random_state, watched.random_state)
    assert plain.logged("train_loss") == watched.logged("train_loss") != {}
    rows = degen.scan(
        tmp_path / "watched" / "saved", corpus=corpus, tokenizer=series, out=tmp_path / "run", **MEASURED
    ).checkpoints()  # type: ignore[arg-type]
    assert [row["step"] for row in rows] == STEPS
    for name in ("loss", "anisotropy", "singular_entropy"):
        assert watched.logged(f"degen/{name}") == {row["step"]: row[name] for row in rows}
    assert watched.logged("degen/violations") == {20: 1, 40: 1, 60: 1}
    assert watched.logged("degen/undecided") == {20: 1, 40: 0, 60: 0}


def test_stop_ends_a_lightning_run_at_the_step_that_breaks_a_rule(
    tokenizer: Any, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback = watch(corpus=corpus, every=7, rules="loss > 5.5", on_violation="stop", out=tmp_path / "run")
    ran = run("lightning.pytorch", tokenizer, tmp_path, callback)
    losses = ran.logged("degen/loss")
    assert list(losses) == list(range(7, ran.trainer.global_step + 1, 7))
    assert [loss > 5.5 for loss in losses.values()] == [True] * (len(losses) - 1) + [False]
    assert 7 < ran.trainer.global_step < 60
    (line,) = [record.getMessage() for record in caplog.records if record.name == "degen"]
    assert line.endswith("; training stops")
    assert [row["loss"] for row in degen.read_run(tmp_path / "run").checkpoints()] == list(losses.values())


def test_the_callback_measures_beside_validations(tokenizer: Any, corpus: Path, tmp_path: Path) -> None:
    ran = run("lightning.pytorch", tokenizer, tmp_path, watch(corpus=corpus), max_steps=32, val_check_interval=8)
    assert list(ran.logged("degen/loss")) == [8, 16, 24, 32]


NEVER = [
    ({}, {"limit_val_batches": 0}, "every='validation': this training has no validation, so {}; give fit data for it, "
     "or set every to a number of steps"),
    ({"every": 7}, {"max_steps": 6}, "every=7: training ends before that, at step 6, so {}; set every to 6 or fewer"),
    ({"every": 20}, {"max_steps": -1, "max_epochs": 1}, "every=20: training ends before that, at step 16, so {}; set "
     "every to 16 or fewer"),
]  # fmt: skip


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("settings", "arguments", "message"), NEVER)
def test_rules_that_would_never_be_judged_are_refused(
    tokenizer: Any, corpus: Path, tmp_path: Path, library: str, settings: dict[str, Any], arguments: dict[str, Any],
    message: str,
) -> None:  # fmt: skip
    callback = watch(corpus=corpus, rules="loss < 99", **settings)
    with pytest.raises(degen.DegenError) as refused:
        run(library, tokenizer, tmp_path, callback, **arguments)
    assert str(refused.value) == message.format("no rule would ever be judged")


def test_without_rules_a_training_that_is_never_measured_is_warned_of_before_and_after(
    tokenizer: Any, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(LIBRARIES[0], tokenizer, tmp_path, watch(corpus=corpus), max_steps=3, limit_val_batches=0)
    assert warnings_of(caplog) == [
        f"degen: {NEVER[0][2].format('nothing will be measured')}",
        "degen: nothing was measured, because training ended at step 3, "
        "before every='validation' was due for the first time",
    ]


def test_a_fast_dev_run_is_not_refused(
    tokenizer: Any, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback = watch(corpus=corpus, every=20, rules="loss < 99")
    assert run(LIBRARIES[0], tokenizer, tmp_path, callback, fast_dev_run=True).trainer.global_step == 1
    assert warnings_of(caplog) == [
        "degen: nothing was measured, because training ended at step 1, before every=20 was due for the first time"
    ]


def test_a_module_that_keeps_its_model_elsewhere_is_refused(tokenizer: Any, corpus: Path, tmp_path: Path) -> None:
    callback = watch(corpus=corpus, every=1, model_of=lambda module: module.model)
    assert run("lightning.pytorch", tokenizer, tmp_path / "a", callback, max_steps=1).logged("degen/loss").keys() == {1}
    from degen.callbacks.lightning import _model_of

    with pytest.raises(
        degen.DegenError, match=r"Path.model must be a model of transformers, and is not; say where that is"
    ):
        _model_of(tmp_path)


def test_without_lightning_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import degen.callbacks.lightning as ours

    monkeypatch.setattr(ours, "find_spec", lambda name: None)
    with pytest.raises(degen.DegenError, match="pip install lightning"):
        ours._bases()


def test_neither_callback_needs_the_others_library() -> None:
    import subprocess

    code = (
        "import sys, degen.callbacks as c; c.DegenerationCallback; c.Watch; "
        "assert not any(n.startswith(('lightning', 'pytorch_lightning')) for n in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
