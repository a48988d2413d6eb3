"""Folders of folders of checkpoints, the model that a Trainer leaves beside them, and what a shell expands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from faults.command import degen as command
from tiny import make_checkpoint, make_tokenizer

import degen
from degen import DegenError
from degen.checkpoints.find_series import find_series
from degen.checkpoints.local import LocalSource
from degen.checkpoints.series import Grammar


def checkpoint(path: Path, name: str = "config.json") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_text("{}")
    return path


def trained(path: Path, steps: tuple[int, ...], ended: object = None) -> Path:
    """The folder that a Trainer leaves: checkpoints, a final model, and perhaps its state."""
    for step in steps:
        checkpoint(path / f"checkpoint-{step}")
    if ended is not None:
        (path / "trainer_state.json").write_text(json.dumps({"global_step": ended}))
    return checkpoint(path)


def found(*specs: Path | str) -> dict[str, list[tuple[str, int | None]]]:
    return {s.model: [(c.revision, c.step) for c in s.checkpoints] for s in find_series([str(s) for s in specs])}


def test_a_folder_of_trainings_is_one_series_for_each(tmp_path: Path) -> None:
    trained(tmp_path / "runs" / "b", (10, 9), ended=10)
    trained(tmp_path / "runs" / "a", (5,), ended=7)
    checkpoint(tmp_path / "runs" / "start")
    (tmp_path / "runs" / "logs").mkdir()
    notes: list[str] = []
    series = find_series([str(tmp_path / "runs")], note=notes.append)
    assert [s.root for s in series] == [tmp_path / "runs" / name for name in ("a", "b", "start")]
    assert {s.model: [(c.revision, c.step) for c in s.checkpoints] for s in series} == {
        "a": [("checkpoint-5", 5), ("final", 7)],
        "b": [("checkpoint-9", 9), ("checkpoint-10", 10)],
        "start": [("main", None)],
    }
    assert notes[0] == f"{tmp_path / 'runs'}: 3 series in it: a, b, start"
    assert "is measured as revision final, step 7" in notes[1]
    assert "is left out: trainer_state.json says step 10, as checkpoint-10 is" in notes[2]


@pytest.mark.parametrize("ended", [None, "ten", True, -1, 3])
def test_a_final_model_of_unknown_step_comes_last_and_without_one(tmp_path: Path, ended: object) -> None:
    out = trained(tmp_path / "out", (4, 8), ended)
    notes: list[str] = []
    (series,) = find_series([str(out)], note=notes.append)
    assert [(c.revision, c.step) for c in series.checkpoints] == [
        ("checkpoint-4", 4), ("checkpoint-8", 8), ("final", None),
    ]  # fmt: skip
    assert series.checkpoints[-1].source == LocalSource(out)
    assert notes == [
        f"{out}: the model beside the checkpoints is measured as revision final, without a step, as no "
        "trainer_state.json gives it (trainer.save_state() writes one)"
    ]


def test_a_final_model_counts_tokens_and_keeps_off_a_folder_of_its_name(tmp_path: Path) -> None:
    out = trained(tmp_path / "out", (4,), ended=6)
    checkpoint(out / "final")
    (series,) = find_series([str(out)], grammar=Grammar(tokens_per_step=10))
    assert [(c.revision, c.tokens_seen) for c in series.checkpoints] == [
        ("checkpoint-4", 40), ("final", None), ("final-2", 60),
    ]  # fmt: skip


def test_the_optimiser_states_in_a_checkpoint_are_no_checkpoints(tmp_path: Path) -> None:
    inner = checkpoint(tmp_path / "out" / "checkpoint-10")
    (inner / "global_step10").mkdir()
    checkpoint(tmp_path / "out" / "checkpoint-2")
    assert found(tmp_path / "out") == {"out": [("checkpoint-2", 2), ("checkpoint-10", 10)]}
    assert found(inner) == {"out": [("checkpoint-10", 10)]}


def test_checkpoints_beside_folders_of_checkpoints_are_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path / "m" / "step1")
    checkpoint(tmp_path / "m" / "tuned" / "step2")
    with pytest.raises(DegenError, match=rf"beside folders of checkpoints \(tuned\).*{tmp_path}/m/tuned"):
        found(tmp_path / "m")
    assert found(tmp_path / "m" / "step1", tmp_path / "m" / "tuned") == {"m": [("step1", 1)], "tuned": [("step2", 2)]}


def test_a_model_with_folders_of_checkpoints_in_it_is_one_and_says_so(tmp_path: Path) -> None:
    checkpoint(tmp_path / "m")
    checkpoint(tmp_path / "m" / "tuned" / "step2")
    notes: list[str] = []
    (series,) = find_series([str(tmp_path / "m")], note=notes.append)
    assert [c.revision for c in series.checkpoints] == ["main"]
    assert notes == [f"{tmp_path / 'm'}: one checkpoint; series in it that are not read: {tmp_path / 'm' / 'tuned'}"]


def test_checkpoints_as_a_shell_expands_them_are_one_series(tmp_path: Path) -> None:
    out = trained(tmp_path / "gpt2", (10, 100, 20))
    other = trained(tmp_path / "opt", (1, 2))
    expanded = sorted(str(p) for p in out.glob("checkpoint-*"))
    assert expanded[1].endswith("checkpoint-100")  # a shell sorts by letters
    steps = [("checkpoint-10", 10), ("checkpoint-20", 20), ("checkpoint-100", 100)]
    assert found(*expanded) == {"gpt2": steps}
    assert found(*expanded, expanded[0]) == {"gpt2": steps}
    assert found(other / "checkpoint-1", *expanded, other / "checkpoint-2") == {
        "opt": [("checkpoint-1", 1), ("checkpoint-2", 2)], "gpt2": steps,
    }  # fmt: skip
    assert found(expanded[0], f"last={expanded[1]}") == {"gpt2": steps[:1], "last": [("checkpoint-100", 100)]}


def test_gguf_files_of_a_folder_are_one_series_as_well(tmp_path: Path) -> None:
    for name in ("step20.gguf", "step3.gguf"):
        (tmp_path / "q").mkdir(exist_ok=True)
        (tmp_path / "q" / name).write_bytes(b"GGUF")
    assert found(tmp_path / "q" / "step20.gguf", tmp_path / "q" / "step3.gguf") == {"q": [("step3", 3), ("step20", 20)]}


def test_a_label_and_a_clash_name_the_series_in_a_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        checkpoint(tmp_path / "runs" / name / "step1")
    with pytest.raises(DegenError, match=rf"is 2; name each by itself, as in x={tmp_path}/runs/a"):
        found(f"x={tmp_path / 'runs'}")
    checkpoint(tmp_path / "old" / "a" / "step1")
    with pytest.raises(DegenError, match=rf"both be called 'a' in the tables; .* other={tmp_path}/old/a"):
        found(tmp_path / "runs", tmp_path / "old" / "a")


def test_two_trainings_in_one_folder_are_scanned_as_two_models(tmp_path: Path, corpus: Path) -> None:
    for seed, name in enumerate(("a", "b")):
        folder = make_tokenizer(tmp_path / "runs" / name)
        for i, part in enumerate(("checkpoint-5", "checkpoint-10", ".")):
            make_checkpoint(folder / part, seed=10 * seed + i)
        (folder / "trainer_state.json").write_text('{"global_step": 12}')
    run = degen.scan(tmp_path / "runs", corpus=corpus, out=tmp_path / "run", tokens=256, context=32, threads=1)
    rows = run.checkpoints()
    assert [(r["model"], r["revision"], r["step"], r["status"]) for r in rows] == [
        (model, revision, step, "ok")
        for model in ("a", "b")
        for revision, step in (("checkpoint-5", 5), ("checkpoint-10", 10), ("final", 12))
    ]
    assert len({r["loss"] for r in rows}) == 6


def test_adapters_of_two_trainings_are_two_series_over_one_base(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    base = checkpoint(tmp_path / "base")
    for name in ("a", "b"):
        checkpoint(tmp_path / "runs" / name / "checkpoint-5", "adapter_config.json")
    assert found(f"{base}+{tmp_path / 'runs'}") == {"a": [("checkpoint-5", 5)], "b": [("checkpoint-5", 5)]}


def test_a_model_one_folder_below_its_step_is_found_and_said(tmp_path: Path) -> None:
    for step in (500, 10_000, 1500):
        checkpoint(tmp_path / "run" / f"step_{step}" / "hf")
        (tmp_path / "run" / f"step_{step}" / "optimizer").mkdir()
    notes: list[str] = []
    (series,) = find_series([str(tmp_path / "run")], note=notes.append)
    assert [(c.revision, c.step) for c in series.checkpoints] == [
        ("step_500", 500), ("step_1500", 1500), ("step_10000", 10_000),
    ]  # fmt: skip
    assert series.checkpoints[0].source == LocalSource(tmp_path / "run" / "step_500" / "hf")
    assert any("one folder deeper, as" in note and "hf" in note for note in notes)
    one = tmp_path / "run" / "step_1500"
    assert found(one) == {"run": [("step_1500", 1500)]}
    assert found(one, tmp_path / "run" / "step_500") == {"run": [("step_500", 500), ("step_1500", 1500)]}
    checkpoint(one / "other")  # two models: neither is taken for the checkpoint
    assert found(tmp_path / "run")["run"][1] == ("step_1500", 1500)
    (series,) = find_series([str(tmp_path / "run")])
    assert series.checkpoints[1].source == LocalSource(one)


def test_a_gate_on_numbers_alone_is_that_on_steps(series: Path, tmp_path: Path) -> None:
    named = {"step0": 1500, "step100": 500, "step1000": 10_000}  # 10000 comes first by string
    values = {}
    for prefix in ("", "step"):
        folder = tmp_path / f"{prefix}numbers"
        for name, number in named.items():
            shutil.copytree(series / name, folder / f"{prefix}{number}")
        out = ["--probes", "spectrum", "-o", tmp_path / f"{prefix}run", "--threads", "1"]
        for rule in ("effective_rank > 0", "effective_rank.drop < 0.01", "effective_rank.rise < 0.01"):
            result = command("gate", folder, "--rule", rule, "--json", *out)
            (row,) = result.json()["rows"]
            values[prefix, rule] = (result.code, row["step"], row["value"], row["reference_step"])
    assert {code for code, *_ in values.values()} == {0, 1}
    assert {step for _, step, *_ in values.values()} == {10_000}
    for (prefix, rule), value in values.items():
        assert value == values["step", rule], (prefix, rule)


def test_groups_of_a_pattern_give_runs_seeds_and_stages(tmp_path: Path) -> None:
    for name in ("a.s1.decay.5B", "a.s1.decay.10B", "b.s2.decay.7B"):
        checkpoint(tmp_path / "m" / name)
    pattern = r"(?P<run>\w)\.s(?P<seed>\d)\.(?P<stage>\w+)\.(?P<tokens>\d+)(?P<unit>B)"
    series = find_series([str(tmp_path / "m")], grammar=Grammar(pattern))
    assert [(s.model, [(c.stage, c.seed, c.tokens_seen) for c in s.checkpoints]) for s in series] == [
        ("m/a/seed-1", [("decay", "1", 5 * 10**9), ("decay", "1", 10**10)]),
        ("m/b/seed-2", [("decay", "2", 7 * 10**9)]),
    ]
