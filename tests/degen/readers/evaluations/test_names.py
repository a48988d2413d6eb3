"""Names of files, folders and checkpoints: time stamps, steps, few-shot settings, models, and runs told apart."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from degen.readers.evaluations.content import ResultContent, Score
from degen.readers.evaluations.identity import identify, labels_of_runs
from degen.readers.evaluations.name_parts import split_name
from degen.readers.evaluations.time_stamps import split_time_stamp

MOMENT = datetime(2025, 5, 8, 12, 30, 45, tzinfo=UTC).timestamp()
DAY = datetime(2025, 5, 8, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("name", "bare", "time"),
    [
        ("results_2025-05-08T12-30-45.1", "results", MOMENT + 0.1),
        ("results_2025-05-08T12-30-45.123456", "results", MOMENT + 0.123456),
        ("results_2025-05-08T12:30:45+00:00", "results", MOMENT),
        ("x_eval_results_05-08-2025-12-30-45", "x_eval_results", MOMENT),
        ("x_20250508_123045_y", "x_y", MOMENT),
        ("20250508T123045", "", MOMENT),
        (f"x-{MOMENT:.0f}", "x", MOMENT),
        ("2025-05-08_tiny", "tiny", DAY),
        ("tiny_20250508", "tiny", DAY),
        ("25-05-2025", "", datetime(2025, 5, 25, tzinfo=UTC).timestamp()),  # no month 25
        ("2025-05-07_to_2025-05-08", "to", DAY),
    ],
)
def test_time_stamps_are_cut_out_of_names_and_read(name: str, bare: str, time: float) -> None:
    assert split_time_stamp(name)[0] == bare
    assert split_time_stamp(name)[1] == pytest.approx(time, abs=1e-5)


@pytest.mark.parametrize(
    "name",
    ["step_20250508", "step20250508", "checkpoint-1714564800", "model-2.1-12", "2025-13-40", "1-2-3", "lr1e-3", "1714"],
)
def test_steps_versions_and_impossible_days_are_no_time_stamps(name: str) -> None:
    assert split_time_stamp(name) == (name, None)


@pytest.mark.parametrize(
    ("name", "model", "step", "shots"),
    [
        ("pythia-70m-0shot-global_step123000_eval_results_11-25-2022-05-54-21", "pythia-70m", 123_000, 0),
        ("70m-5shot_step113000", "70m", 113_000, 5),
        ("results_iter_0005000_hf", "", 5000, None),
        ("iter_0005000-hf", "", 5000, None),
        ("iter_0005000_hf_bf16_merged", "", 5000, None),
        ("step1000-converted.safetensors", "", 1000, None),
        ("pythia-160m-step1000-hf", "pythia-160m", 1000, None),
        ("Llama-2-7b-hf", "Llama-2-7b-hf", None, None),
        ("step7_25-shot", "", 7, 25),
        ("results_tiny_step9", "tiny", 9, None),
        ("snapshots-3", "snapshots-3", None, None),
    ],
)
def test_names_are_split_into_model_step_and_few_shot_setting(
    name: str, model: str, step: int | None, shots: int | None
) -> None:
    parts = split_name(name)
    assert (parts.model, parts.step and parts.step.step, parts.num_fewshot) == (model, step, shots)


def content(evaluated: str = "", revision: str = "", task: str = "arc", date: float | None = None) -> ResultContent:
    return ResultContent("lm-evaluation-harness", (Score(task, "acc", 0.5),), evaluated, revision, date)


@pytest.mark.parametrize(
    ("stem", "folders", "evaluated", "revision", "model", "step"),
    [
        ("results_2025", ["F", "run", "__ckpts__run__iter_0005000_hf"], "/ckpts/run/iter_0005000_hf", "", "run", 5000),
        ("results_2025", ["F", "run", "__ckpts__run__iter_0005000_hf"], "", "", "run", 5000),
        ("results_2025", ["F", "__ckpts__lr1e-3__iter_0005000_hf"], "", "", "lr1e-3", 5000),
        ("results_iter_0005000_hf", ["G", "lr1e-3"], "", "", "lr1e-3", 5000),
        ("results", ["evals"], "/runs/a/iter_0005000/hf", "", "a", 5000),
        ("results", ["evals"], "/runs/a/checkpoints/step100", "", "a", 100),
        ("results", ["evals", "org__tiny"], "", "step7", "tiny", 7),
        ("results", ["results", "tiny"], "tiny/10000", "", "tiny", 10_000),
        ("results", ["my-evals"], "checkpoints/step10", "", "my-evals", 10),
        ("results", ["outputs"], "checkpoints/step10", "", "checkpoints", 10),
        ("arc-step10", ["mine"], "", "", "mine", 10),  # arc is a task of the file
        ("results", ["from-step500"], "/runs/sft/checkpoint-10", "", "sft", 10),
        ("results", ["evals"], "/runs/from-step500/final", "", "from", None),
        ("results", ["2024"], "/runs/tiny", "", "tiny", None),
    ],
)
def test_the_model_is_the_run_and_no_suffix(
    stem: str, folders: list[str], evaluated: str, revision: str, model: str, step: int | None
) -> None:
    identity = identify(stem, folders, content(evaluated, revision))
    assert (identity.model, identity.step and identity.step.step) == (model, step)


def labels(*files: tuple[str, list[str], ResultContent]) -> list[str]:
    return labels_of_runs([identify(stem, folders, what) for stem, folders, what in files])


def test_runs_whose_checkpoints_lie_in_folders_of_one_name_are_told_apart() -> None:
    one, other = content("/exp/a/sft/step10"), content("/exp/b/sft/step20")
    assert labels(("r", ["evals"], one), ("r", ["evals"], other)) == ["a/sft", "b/sft"]
    assert labels(("r", ["evals"], one), ("r", ["old"], one)) == ["sft", "sft"]


def test_a_repository_is_the_same_with_and_without_its_organisation() -> None:
    short, long = content("tiny", "step1"), content("org/tiny", "step2")
    assert labels(("r", ["evals"], short), ("r", ["evals"], long)) == ["tiny", "tiny"]
    other = content("fork/tiny", "step3")
    assert labels(*(("r", ["evals"], c) for c in (short, long, other))) == ["tiny", "org/tiny", "fork/tiny"]


def test_folders_tell_runs_apart_unless_they_hold_other_tasks() -> None:
    arc, piqa = content(task="arc"), content(task="piqa")
    assert labels(("70m_step1", ["e", "x"], arc), ("70m_step2", ["e", "y"], arc)) == ["x/70m", "y/70m"]
    assert labels(("70m_step1", ["e", "x"], arc), ("70m_step1", ["e", "y"], piqa)) == ["70m", "70m"]
    assert labels(("70m_step1", ["e", "0shot"], arc), ("70m_step1", ["e", "5shot"], arc)) == ["70m", "70m"]


def test_seeds_ingredients_and_stages_are_models_of_their_own() -> None:
    names = ["stage1-step10", "stage2-ingredient1-step10", "stage2-ingredient2-step10"]
    stages = [("r", ["e"], content("allenai/OLMo-2", name)) for name in names]
    assert labels(*stages) == ["OLMo-2/stage1", "OLMo-2/stage2/ingredient1", "OLMo-2/stage2/ingredient2"]
    assert labels(stages[0]) == ["OLMo-2"]
    assert labels(("r", ["e"], content("org/dd", "step50-seed-2"))) == ["dd/seed-2"]


def test_the_time_of_a_file_is_that_in_its_name_else_in_a_folder_else_its_date() -> None:
    dated = content("tiny", "step1", date=5.0)
    assert identify("results_2025-05-08T12-30-45", ["2024-01-01"], dated).time == MOMENT
    assert identify("results", ["2025-05-08"], dated).time == DAY
    assert identify("results", ["evals"], dated).time == 5.0


def test_a_name_says_how_a_model_is_stored_where_all_its_words_do() -> None:
    names = ("hf", "hf-final", "olmo-hf", "olmo", "")
    assert [split_name(name).is_storage for name in names] == [True, False, False, False, False]
