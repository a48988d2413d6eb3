"""A real Trainer run with the callback is the run without it, and tells what a scan of its checkpoints tells."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from trainings import MEASURED, make_trainee, make_trainer, warnings_of

import degen
from degen.callbacks import DegenerationCallback, Monitor, Watch
from degen.gate import judge, parse_rule

EVERY, STEPS = 40, [40, 80, 120, 160, 200]
KEYS = ("model", "revision", "step")


def make_tracker() -> Any:
    """Make a callback that gets every log, as those of TensorBoard and wandb do."""
    from transformers import TrainerCallback

    class Tracker(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.seen: list[dict[str, Any]] = []

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            self.seen.append({**logs, "step": state.global_step})

        def of(self, name: str) -> dict[int, float]:
            return {logs["step"]: logs[name] for logs in self.seen if name in logs}

    return Tracker()


@dataclass
class TrainerRun:
    """A training that ended, and what it logged."""

    trainer: Any
    tracker: Any
    random_state: Any
    out: Path


def run(tokenizer: Any, folder: Path, *callbacks: Any, resume: bool = False, **arguments: Any) -> TrainerRun:
    import torch

    tracker = make_tracker()  # before the callback, as the Trainer's own trackers are
    trainer = make_trainer(tokenizer, folder, [tracker, *callbacks], **arguments)
    trainer.train(resume_from_checkpoint=resume)
    return TrainerRun(trainer, tracker, torch.get_rng_state(), folder)


@pytest.fixture(scope="module")
def plain(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> TrainerRun:
    folder = tmp_path_factory.mktemp("plain")
    return run(tokenizer, folder / "saved", save_strategy="steps", save_steps=EVERY)


@pytest.fixture(scope="module")
def watched(tokenizer: Any, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainerRun:
    folder = tmp_path_factory.mktemp("watched")
    callback = DegenerationCallback(
        corpus=corpus, every=EVERY, rules=["loss < 0", "loss.rise < 0"], out=folder / "run", **MEASURED
    )
    return run(tokenizer, folder / "saved", callback, save_strategy="steps", save_steps=EVERY)


@pytest.fixture(scope="module")
def scanned(watched: TrainerRun, corpus: Path) -> degen.Run:
    return degen.scan(watched.out, corpus=corpus, out=watched.out.parent / "scanned", **MEASURED)  # type: ignore[arg-type]


def test_weights_and_optimizer_end_bit_identical(plain: TrainerRun, watched: TrainerRun) -> None:
    import torch

    first, second = plain.trainer.model.state_dict(), watched.trainer.model.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    states = [r.trainer.optimizer.state_dict()["state"] for r in (plain, watched)]
    assert states[0].keys() == states[1].keys() != set()
    for key, state in states[0].items():
        assert all(torch.equal(value, states[1][key][name]) for name, value in state.items())
    assert torch.equal(plain.random_state, watched.random_state)


def test_the_trainers_own_logs_are_the_same(plain: TrainerRun, watched: TrainerRun) -> None:
    def trainer_logs(ran: TrainerRun) -> list[Any]:
        history = [logs for logs in ran.trainer.state.log_history if "degen/loss" not in logs]
        return [{n: v for n, v in logs.items() if "per_second" not in n and "runtime" not in n} for logs in history]

    assert trainer_logs(plain) == trainer_logs(watched)
    assert len(trainer_logs(plain)) == 5  # four times in 200 steps, and the summary


def test_the_figures_are_those_of_a_scan_of_the_saved_checkpoints(watched: TrainerRun, scanned: degen.Run) -> None:
    rows = scanned.checkpoints()
    assert [row["step"] for row in rows] == STEPS
    for name in ("loss", "loss_se", "bits_per_byte", "anisotropy", "singular_entropy", "effective_rank"):
        assert watched.tracker.of(f"degen/{name}") == {row["step"]: row[name] for row in rows}


def test_the_run_folder_equals_that_of_a_scan(watched: TrainerRun, scanned: degen.Run) -> None:
    recorded = degen.read_run(watched.out.parent / "run")
    assert recorded.tables == scanned.tables
    for name in set(recorded.tables) - {"timing"}:
        ours, theirs = recorded.table(name), scanned.table(name)
        assert ours.schema == theirs.schema
        assert ours.drop_columns(KEYS).equals(theirs.drop_columns(KEYS))
    assert recorded.table("checkpoints")["revision"].to_pylist() == [f"step{step}" for step in STEPS]
    assert (recorded.path / "sample.parquet").read_bytes() == (scanned.path / "sample.parquet").read_bytes()
    assert judge([parse_rule("loss < 0")], recorded.path).exit_code == 1


def test_trackers_and_history_get_the_figures(watched: TrainerRun) -> None:
    assert list(watched.tracker.of("degen/anisotropy")) == STEPS
    history = [logs for logs in watched.trainer.state.log_history if "degen/loss" in logs]
    assert [logs["step"] for logs in history] == STEPS
    assert all("epoch" in logs for logs in history)
    losses = [logs["degen/loss"] for logs in history]
    rose = [loss >= min(losses[: i + 1]) if i else False for i, loss in enumerate(losses)]
    assert [logs["degen/violations"] for logs in history] == [1 + r for r in rose]


def test_a_training_with_on_violation_log_goes_on_after_a_violation(watched: TrainerRun) -> None:
    assert watched.trainer.state.global_step == 200


def test_stop_ends_the_run_at_the_step_whose_figure_breaks_the_rule(
    tokenizer: Any, corpus: Path, watched: TrainerRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = watched.tracker.of("degen/loss")
    assert losses[120] > losses[160]
    rule = f"loss > {(losses[120] + losses[160]) / 2}"
    callback = DegenerationCallback(corpus=corpus, every=EVERY, rules=rule, on_violation="stop", **MEASURED)
    ran = run(tokenizer, tmp_path, callback)
    assert ran.trainer.state.global_step == 160
    assert ran.tracker.of("degen/loss") == {step: losses[step] for step in (40, 80, 120, 160)}
    assert ran.tracker.of("degen/violations") == {40: 0, 80: 0, 120: 0, 160: 1}


def test_a_violation_is_one_line_on_stderr(
    tokenizer: Any, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = ["anisotropy[layer=1,site=block] < -1", "loss.rise < -1"]
    callback = DegenerationCallback(corpus=corpus, every=2, rules=rules, on_violation="stop", **MEASURED)
    ran = run(tokenizer, tmp_path, callback, max_steps=6)
    assert ran.trainer.state.global_step == 2
    broken, never = warnings_of(caplog)
    assert broken.startswith('degen: step 2: rule "anisotropy[layer=1,site=block] < -1" is broken at layer 1 block: 0.')
    assert broken.endswith("; training stops")
    assert never.startswith('degen: rule "loss.rise < -1" could not be judged at any step: too few checkpoints')


def test_a_rule_about_steps_to_come_waits_for_them(tokenizer: Any, corpus: Path, tmp_path: Path) -> None:
    rules = ["loss[step=4:] < 0", "loss > 99"]
    ran = run(tokenizer, tmp_path, DegenerationCallback(corpus=corpus, every=2, rules=rules, **MEASURED), max_steps=6)
    assert ran.tracker.of("degen/violations") == {2: 1, 4: 2, 6: 2}


def test_a_rule_that_is_broken_at_many_layers_counts_once(
    tokenizer: Any, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = ["anisotropy[layer=all] < -1", "loss < 0"]
    ran = run(tokenizer, tmp_path, DegenerationCallback(corpus=corpus, every=2, rules=rules, **MEASURED), max_steps=2)
    assert ran.tracker.of("degen/violations") == {2: 2}
    (warning,) = warnings_of(caplog)
    assert '"anisotropy[layer=all] < -1" is broken at ' in warning
    assert " (and at 3 more); rule " in warning  # embedding, two blocks and what the head reads: one is shown


def test_a_rule_about_many_layers_says_so_at_no_step(
    tokenizer: Any, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback = DegenerationCallback(
        corpus=corpus, every=2, rules=["anisotropy[layer=all] < 2"], confidence=0.95, **MEASURED
    )
    ran = run(tokenizer, tmp_path, callback, max_steps=4)
    assert ran.tracker.of("degen/violations") == {2: 0, 4: 0}
    assert not [line for line in warnings_of(caplog) if "values are judged" in line]


def test_undecided_rules_are_counted_and_give_one_warning(
    tokenizer: Any, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = [
        "loss < 99",
        "loss.rise < 99",  # waits for a second checkpoint
        "loss[step=4:] < 99",  # waits for its steps
        "loss[step=3] < 99",  # waits, and is passed over
        "loss[step=100:] < 99",  # waits for ever
    ]
    ran = run(tokenizer, tmp_path, DegenerationCallback(corpus=corpus, every=2, rules=rules, **MEASURED), max_steps=8)
    assert ran.tracker.of("degen/undecided") == {2: 4, 4: 2, 6: 2, 8: 2}
    assert ran.tracker.of("degen/violations") == {2: 0, 4: 0, 6: 0, 8: 0}
    assert warnings_of(caplog) == [
        'degen: step 4: rule "loss[step=3] < 99" is undecided: model has no checkpoint at step 3; its steps are 2, 4',
        'degen: rule "loss[step=3] < 99" could not be judged at any step: model has no checkpoint at step 3; '
        "its steps are 2, 4, 6, 8",
        'degen: rule "loss[step=100:] < 99" could not be judged at any step: model has no checkpoint at step 100:; '
        "its steps are 2, 4, 6, 8",
    ]


def test_a_rule_whose_steps_are_over_is_no_longer_undecided(tokenizer: Any, corpus: Path) -> None:
    watch = Watch(Monitor(tokenizer, corpus=corpus, **MEASURED), rules=["loss[step=:2] < 0", "loss.rise < 9"])
    first, second = watch.measure_step(make_trainee(), 2), watch.measure_step(make_trainee(), 4)
    assert [str(undecided.rule) for undecided in first.undecided] == ["loss.rise < 9"]
    assert first.undecided[0].pending
    assert len(first.broken) == 1
    assert second.undecided == second.broken == ()
    assert watch.never_decided == ()


@pytest.mark.parametrize("with_folder", [True, False])
def test_a_run_folder_that_cannot_be_written_is_one_warning_and_training_goes_on(
    tokenizer: Any, corpus: Path, tmp_path: Path, with_folder: bool, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from transformers import TrainerCallback

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))

    class Spoiling(TrainerCallback):  # type: ignore[misc]
        """Puts a file where the run folder was after step 2, and takes it away after step 6."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 3:
                (folder,) = [tmp_path / "run"] if with_folder else (tmp_path / "temporary").glob("degen-watch-*")
                self.folder = folder.rename(tmp_path / "moved"), folder
                folder.write_text("not a folder")
            if state.global_step == 7:
                self.folder[1].unlink()
                self.folder[0].rename(self.folder[1])

    callback = DegenerationCallback(
        corpus=corpus, every=2, rules=["loss < 99", "loss.rise < -9"], on_violation="stop",
        out=tmp_path / "run" if with_folder else None, **MEASURED,
    )  # fmt: skip
    ran = run(tokenizer, tmp_path / "saved", callback, Spoiling(), max_steps=10)
    assert list(ran.tracker.of("degen/loss")) == [2, 4, 6, 8]  # figures are logged all the same
    assert ran.tracker.of("degen/undecided") == {2: 1, 4: 2, 6: 2, 8: 0}
    assert ran.trainer.state.global_step == 8  # judged against step 2
    warning, broken = warnings_of(caplog)
    assert warning.startswith("degen: step 4: the measurement could not be written, so that no rule could be judged: ")
    assert warning.endswith(": is a file; choose another `out`")
    assert broken.startswith('degen: step 8: rule "loss.rise < -9" is broken')


def test_a_full_disk_is_reported_and_training_goes_on(tokenizer: Any, corpus: Path, tmp_path: Path) -> None:
    """A limit on the size of files is to a process what a full disk is; NaN breaks rules all the same."""
    import resource

    import torch

    watch = Watch(Monitor(tokenizer, corpus=corpus, **MEASURED), rules=["loss < 99"], out=tmp_path / "run")
    model = make_trainee()
    assert watch.measure_step(model, 1).write_error is None
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        seen = watch.measure_step(model, 2)
        with torch.no_grad():
            model.lm_head.weight[0, 0] = torch.nan
        spoilt = watch.measure_step(model, 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert seen.write_error == f"{tmp_path / 'run'}: cannot be written (File too large); choose another `out`"
    assert seen.figures["loss"] > 0
    assert [undecided.reason for undecided in seen.undecided] == [seen.write_error]
    assert "File too large" in str(spoilt.write_error)
    assert spoilt.broken == ('rule "loss < 99" is broken, as every rule is by NaN or infinity in the model',)
    assert [row["step"] for row in degen.read_run(tmp_path / "run").checkpoints()] == [1]


@pytest.mark.parametrize(("event", "steps"), [("evaluate", [10, 20, 30, 40]), ("save", [20, 40])])
def test_the_callback_measures_and_stops_beside_evaluations_and_saves(
    tokenizer: Any, corpus: Path, tmp_path: Path, event: str, steps: list[int]
) -> None:
    callback = DegenerationCallback(
        corpus=corpus, every=event, rules="loss[step=40:] < 0", on_violation="stop", **MEASURED
    )
    ran = run(
        tokenizer, tmp_path, callback, max_steps=60, eval_strategy="steps", eval_steps=10, save_strategy="steps",
        save_steps=20,
    )  # fmt: skip
    assert list(ran.tracker.of("degen/loss")) == steps
    assert ran.tracker.of("degen/violations") == {step: int(step == 40) for step in steps}
    assert ran.trainer.state.global_step == 40


def test_a_resumed_training_judges_rules_by_its_earlier_measurements(
    tokenizer: Any, corpus: Path, tmp_path: Path
) -> None:
    import torch

    def callback() -> Any:
        return DegenerationCallback(corpus=corpus, every=5, rules="loss.rise < -9", out=tmp_path / "run", **MEASURED)

    saving = {"save_strategy": "steps", "save_steps": 10, "max_steps": 20}
    run(tokenizer, tmp_path / "saved", callback(), **saving)
    shutil.rmtree(tmp_path / "saved" / "checkpoint-20")  # killed before, say
    shutil.copytree(tmp_path / "saved", tmp_path / "other")
    again = run(tokenizer, tmp_path / "saved", callback(), resume=True, **saving)
    assert list(again.tracker.of("degen/loss")) == [15, 20]
    assert again.tracker.of("degen/violations") == {15: 1, 20: 1}  # there is a past, that of the first process
    rows = degen.read_run(tmp_path / "run").checkpoints()
    assert [row["step"] for row in rows] == [5, 10, 15, 20]
    assert {row["step"]: row["loss"] for row in rows[2:]} == again.tracker.of("degen/loss")
    without = run(tokenizer, tmp_path / "other", resume=True, **saving)
    first, second = without.trainer.model.state_dict(), again.trainer.model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_folder_of_an_earlier_training_is_not_mixed_with_another(
    tokenizer: Any, corpus: Path, tmp_path: Path
) -> None:
    for is_kept in (False, True):
        callback = DegenerationCallback(corpus=corpus, every=2, out=tmp_path / "run", **MEASURED)
        if is_kept:
            with pytest.raises(degen.DegenError, match="earlier training; choose another `out`"):
                run(tokenizer, tmp_path / "saved", callback, max_steps=2)
        else:
            run(tokenizer, tmp_path / "saved", callback, max_steps=2)


def test_a_folder_that_cannot_be_used_is_refused_with_a_remedy_for_the_callback(
    tokenizer: Any, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = Monitor(tokenizer, corpus=corpus, probes="spectrum")
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{")
    Watch(Monitor(tokenizer, corpus=corpus, **MEASURED), out=tmp_path / "other").begin(make_trainee())
    for name, problem in [
        ("file", "is a file"),
        ("full", "holds files and is no run folder"),
        ("damaged", r"damaged \(.*\)"),
        ("other", "was scanned with other settings: .*"),
        ("file/inside", r"cannot be written \(Not a directory\)"),
    ]:
        with pytest.raises(degen.DegenError, match=f"{tmp_path / name}.*: {problem}; choose another `out`$"):
            Watch(monitor, out=tmp_path / name).begin(make_trainee())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(
        degen.DegenError,
        match=r"the temporary folder for the measurements cannot be made \(No such .*\); name a run folder with `out`",
    ):
        Watch(monitor, rules="singular_entropy > 0")


def test_a_model_that_cannot_be_measured_is_reported_and_trains_on(
    tokenizer: Any, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_trainee()
    model.lm_head.register_forward_hook(lambda module, inputs, logits: logits.flip(-1))  # no scale, cap or bias
    callback = DegenerationCallback(
        corpus=corpus, every=2, rules="loss < 0", on_violation="stop", out=tmp_path / "run", **MEASURED
    )
    ran = run(tokenizer, tmp_path / "saved", callback, model=model, max_steps=3)
    assert ran.trainer.state.global_step == 3
    assert not ran.tracker.of("degen/loss")
    assert ran.tracker.of("degen/violations") == {2: 0}
    assert ran.tracker.of("degen/undecided") == {2: 1}
    warning, never = warnings_of(caplog)
    assert warning.startswith("degen: step 2 could not be measured: model type 'gpt_neox': what it does to the logits")
    assert never.startswith('degen: rule "loss < 0" could not be judged at any step: model type')
    (row,) = degen.read_run(tmp_path / "run").failed
    assert "no scale, cap or bias" in row["reason"]


@pytest.mark.parametrize("on_violation", ["log", "stop"])
def test_a_model_with_nan_breaks_every_rule(
    tokenizer: Any, corpus: Path, tmp_path: Path, on_violation: Any, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    model = make_trainee()
    with torch.no_grad():
        model.lm_head.weight[5, 5] = torch.nan
    callback = DegenerationCallback(
        corpus=corpus, every=2, rules=["loss < 99", "anisotropy < 9"], on_violation=on_violation,
        out=tmp_path / "run", **MEASURED,
    )  # fmt: skip
    ran = run(tokenizer, tmp_path / "saved", callback, model=model, max_steps=3)
    assert ran.trainer.state.global_step == (2 if on_violation == "stop" else 3)
    assert ran.tracker.of("degen/violations") == {2: 2}
    failed, broken = warnings_of(caplog)
    first = "gpt_neox.embed_in.weight"  # two steps have spread it everywhere
    assert failed == f"degen: step 2 could not be measured: the parameter {first} holds NaN or infinity"
    assert broken.startswith('degen: step 2: rule "loss < 99" is broken, as every rule is by NaN')
    (row,) = degen.read_run(tmp_path / "run").failed
    assert "NaN" in row["reason"]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("probe", "rule", "spoilt"),
    [
        ("spectrum", "singular_entropy > 0", "gpt_neox.layers.1.mlp.dense_4h_to_h.bias"),
        ("anisotropy", "anisotropy < 9", "lm_head.weight"),
    ],
)
def test_nan_in_a_parameter_that_no_probe_reads_breaks_rules(
    tokenizer: Any, corpus: Path, value: str, dtype: str, probe: str, rule: str, spoilt: str
) -> None:
    import torch

    model = make_trainee().to(getattr(torch, dtype))
    watch = Watch(Monitor(tokenizer, corpus=corpus, probes=probe, **MEASURED), rules=[rule])
    assert not watch.measure_step(model, 1).broken
    with torch.no_grad():
        model.get_parameter(spoilt).view(-1)[3] = float(value)
    seen = watch.measure_step(model, 2)
    assert seen.failed == f"the parameter {spoilt} holds NaN or infinity"
    assert seen.broken == (f'rule "{rule}" is broken, as every rule is by NaN or infinity in the model',)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no text to measure on"),
        ({"corpus": "demo", "rules": "los < 3"}, "did you mean 'loss'"),
        ({"corpus": "demo", "rules": "loss[domain=Nowhere] < 3"}, "no text of the domain 'Nowhere' is measured"),
        ({"corpus": "demo", "rules": "anisotropy[layer=9] < 3"}, "only layers 0 to 2"),
        ({"corpus": "demo", "rules": "anisotropy[site=blok] < 3"}, "did you mean 'block'"),
        ({"corpus": "demo", "rules": "bottleneck_rank > 3"}, "is not measured for table checkpoints"),
        ({"corpus": "demo", "probes": "spectrum,los"}, "no probe is called 'los'"),
        ({"corpus": "demo", "confidence": 3}, "must be at least 0.5 and below 1"),
    ],
)
def test_rules_and_settings_that_cannot_work_are_refused_before_the_first_step(
    tokenizer: Any, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(degen.DegenError, match=message):
        run(tokenizer, tmp_path, DegenerationCallback(every=1, tokens=500, **settings), max_steps=1)


NEVER = [
    ({}, 'every=\'evaluate\': the Trainer never evaluates (eval_strategy="no"), so {}; set eval_strategy, or every to '
     "a number of steps"),
    ({"every": "save"}, 'every=\'save\': the Trainer never saves (save_strategy="no"), so {}; set save_strategy, or '
     "every to a number of steps"),
    ({"every": 7}, "every=7: training ends before that, at step 6, so {}; set every to 6 or fewer"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "message"), NEVER)
def test_rules_that_would_never_be_judged_are_refused(
    tokenizer: Any, corpus: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    callback = DegenerationCallback(corpus=corpus, rules="loss < 99", **settings, **MEASURED)
    trainer = make_trainer(tokenizer, tmp_path, [callback], max_steps=6)
    with pytest.raises(degen.DegenError) as refused:
        trainer.train()
    assert str(refused.value) == message.format("no rule would ever be judged")
    assert trainer.state.global_step == 0


@pytest.mark.parametrize(("settings", "message"), NEVER)
def test_without_rules_a_training_that_is_never_measured_is_warned_of_before_and_after(
    tokenizer: Any, corpus: Path, tmp_path: Path, settings: dict[str, Any], message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    ran = run(tokenizer, tmp_path, DegenerationCallback(corpus=corpus, **settings, **MEASURED), max_steps=6)
    assert ran.trainer.state.global_step == 6
    every = settings.get("every", "evaluate")
    assert warnings_of(caplog) == [
        f"degen: {message.format('nothing will be measured')}",
        f"degen: nothing was measured, because training ended at step 6, "
        f"before every={every!r} was due for the first time",
    ]


def test_evaluations_that_another_callback_asks_for_are_measured_beside(
    tokenizer: Any, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import TrainerCallback

    class Asking(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_evaluate = state.global_step == 2

    callback = DegenerationCallback(corpus=corpus, rules="loss < 99", **MEASURED)
    ran = run(tokenizer, tmp_path, callback, Asking(), max_steps=4, eval_strategy="steps", eval_steps=1_000)
    assert next(iter(ran.tracker.of("degen/loss"))) == 2
    assert warnings_of(caplog) == []


def test_evaluations_that_never_came_are_warned_of_at_the_end(
    tokenizer: Any, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback = DegenerationCallback(corpus=corpus, rules="loss < 99", **MEASURED)
    run(tokenizer, tmp_path, callback, max_steps=2, eval_strategy="steps", eval_steps=1, eval_delay=9)
    assert warnings_of(caplog) == [
        "degen: nothing was measured, because training ended at step 2, "
        "before every='evaluate' was due for the first time"
    ]


def test_wrong_arguments_of_the_callback_are_refused_when_it_is_made() -> None:
    for settings, message in [
        ({"every": "evaluation"}, "every='evaluation': must be 'evaluate', 'save' or a whole number of steps"),
        ({"every": 0}, "every=0"),
        ({"every": True}, "every=True"),
        ({"every": 2.5}, "every=2.5: must be 'evaluate', 'save' or a whole number of steps"),
        ({"every": None}, "every=None: must be 'evaluate', 'save' or a whole number of steps"),
        ({"on_violation": "raise"}, "must be 'log' or 'stop'"),
        ({"rules": "loss ="}, "'=' is no comparison"),
    ]:
        with pytest.raises(degen.DegenError, match=message):
            DegenerationCallback(**settings)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tokns"):
        DegenerationCallback(tokns=3)


def test_without_a_tokenizer_the_error_says_what_to_do(tokenizer: Any, corpus: Path, tmp_path: Path) -> None:
    trainer = make_trainer(tokenizer, tmp_path, [DegenerationCallback(corpus=corpus, every=1)], max_steps=1)
    trainer.callback_handler.processing_class = None
    with pytest.raises(degen.DegenError, match="no tokenizer to make windows with; give one to the callback"):
        trainer.train()


def test_mixed_precision_is_off_while_measuring(tokenizer: Any, corpus: Path, tmp_path: Path) -> None:
    callback = DegenerationCallback(corpus=corpus, every="save", **MEASURED)
    ran = run(tokenizer, tmp_path / "saved", callback, max_steps=6, save_strategy="steps", save_steps=3, bf16=True)
    rows = degen.scan(tmp_path / "saved", corpus=corpus, out=tmp_path / "run", **MEASURED).checkpoints()  # type: ignore[arg-type]
    assert ran.tracker.of("degen/loss") == {row["step"]: row["loss"] for row in rows}
    assert len(rows) == 2
