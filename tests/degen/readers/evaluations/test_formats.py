"""What each program writes, read to the last digit: groups, filters, settings, directions, averages, aliases."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from no_warning import no_warning
from result_files import lighteval, lm_eval_03, lm_eval_04, olmes_task, save, save_olmes

from degen.metrics.find_curves import find_curves
from degen.readers.evaluations.read_results import read_results

MMLU = {
    "mmlu": {"acc,none": 0.41},
    "mmlu_stem": {"acc,none": 0.31},
    "mmlu_abstract_algebra": {"acc,none": 0.21},
    "gsm8k": {"exact_match,strict-match": 0.02, "exact_match,flexible-extract": 0.03},
}
GROUPS = {"mmlu": ["mmlu_stem"], "mmlu_stem": ["mmlu_abstract_algebra"], "stem_twice": ["mmlu_abstract_algebra"]}
SHOTS = {"mmlu_abstract_algebra": 0, "gsm8k": 5}


def rows(path: Path, *columns: str) -> list[tuple[Any, ...]]:
    table = read_results(path, no_warning).table.to_pylist()
    return [tuple(row[c] for c in columns or row) for row in table]


def test_a_group_is_a_task_of_its_own_and_a_task_of_two_groups_counts_once(tmp_path: Path) -> None:
    for step, shots in ((100, 0), (200, 0), (100, 5)):
        given = SHOTS | {"mmlu_abstract_algebra": shots}
        content = lm_eval_04(MMLU, f"org/tiny-step{step}", shots=given, groups=GROUPS)
        save(tmp_path / f"org__tiny-step{step}" / f"results_2025-05-0{1 + shots}T12-00-00.json", content)
    assert [r for r in rows(tmp_path, "task", "metric", "num_fewshot", "step") if r[0] != "gsm8k"] == [
        (task, "acc", shots, step)
        for task in ("mmlu", "mmlu_abstract_algebra", "mmlu_stem")
        for shots, step in ((0, 100), (0, 200), (5, 100))
    ]
    names = {c.metric for c in find_curves(tmp_path, warn=no_warning)}
    assert {"mmlu/5-shot/acc", "mmlu_stem/0-shot/acc", "gsm8k/5-shot/exact_match,strict-match"} <= names


def test_settings_appear_only_where_a_task_was_evaluated_with_several(tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path / f"tiny-step{step}.json", lm_eval_04(MMLU, "org/tiny", shots=SHOTS, groups=GROUPS))
    assert read_results(tmp_path, no_warning).table.column_names == [
        "model", "step", "task", "metric", "value", "stderr",
    ]  # fmt: skip
    assert {c.metric for c in find_curves(tmp_path, metrics=["acc"], warn=no_warning)} == {
        "mmlu/acc", "mmlu_stem/acc", "mmlu_abstract_algebra/acc",
    }  # fmt: skip


def test_a_group_is_limited_where_one_of_its_tasks_is(tmp_path: Path) -> None:
    values = {"pair": {"acc,none": 0.5}, "arc": {"acc,none": 0.25}, "copa": {"acc,none": 0.75}}
    samples = {"arc": (2376, 100), "copa": (90, 90)}
    for groups in ({"pair": ["arc", "copa"]}, {"pair": ["copa"], "loop": ["loop", "pair"]}):
        content = lm_eval_04(values, "org/tiny", groups=groups, samples=samples, limit=100)
        save(tmp_path / "step1.json", content)
        save(tmp_path / "step2.json", content | {"config": content["config"] | {"limit": None}, "n-samples": {}})
        limits = {task: limit for task, limit, step in rows(tmp_path, "task", "limit", "step") if step == 1}
        assert limits == {"arc": 100, "copa": None, "pair": 100 if "arc" in groups["pair"] else None}


def test_files_that_the_harness_wrote_itself_are_read() -> None:
    folder = Path(__file__).parent / "data" / "lm-eval-0.4.13"  # two tasks in a group; without its environment
    read = rows(folder, "model", "step", "task", "metric", "num_fewshot", "limit", "value")
    assert [r[1:] for r in read if r[2] == "toys"] == [
        (5000, "toys", "acc", 0, None, 0.425),
        (10_000, "toys", "acc", 0, None, 0.5625),
        (5000, "toys", "acc", 0, 10, 0.2),
        (10_000, "toys", "acc", 0, 10, 0.55),
        (5000, "toys", "acc", 2, None, 0.4625),
    ]
    assert {r[0] for r in read} == {"run-a"}
    assert {(r[2], r[3]) for r in read} == {
        ("toys", "acc"), *((task, metric) for task in ("toy_a", "toy_b") for metric in ("acc", "brier_score")),
    }  # fmt: skip
    assert read_results(folder, no_warning).higher_is_better == {"acc": True, "brier_score": False}


@pytest.mark.parametrize("limit", [100, 100.0, 0.1])
def test_a_limit_tells_series_apart_where_it_left_questions_out(limit: float, tmp_path: Path) -> None:
    values = {"arc": {"acc,none": 0.25}, "copa": {"acc,none": 0.5}}
    samples = {"arc": (2376, 100), "copa": (90, 90)}
    for step in (1, 2, 3):
        save(tmp_path / "whole" / f"step{step}.json", lm_eval_04(values, "org/tiny"))
        limited = lm_eval_04({"arc": {"acc,none": 0.75}, "copa": {"acc,none": 0.5}}, "org/tiny", None, None, samples)
        limited["config"]["limit"] = limit
        save(tmp_path / "quick" / f"step{step}.json", limited)
    assert rows(tmp_path, "task", "limit", "value", "step") == [
        *(("arc", bound, value, step) for bound, value in ((None, 0.25), (limit, 0.75)) for step in (1, 2, 3)),
        *(("copa", None, 0.5, step) for step in (1, 2, 3)),
    ]
    names = [c.metric for c in find_curves(tmp_path, warn=no_warning)]
    assert names == ["arc/acc", f"arc/limit-{100 if limit == 100 else limit}/acc", "copa/acc"]
    (chosen,) = find_curves(tmp_path, where={"limit": str(limit)}, warn=no_warning)
    assert chosen.values.tolist() == [0.75] * 3


def test_old_files_say_few_shot_setting_and_limit_for_all_tasks(tmp_path: Path) -> None:
    for step, shots, limit in ((1, 0, None), (1, 5, None), (1, 0, 50)):
        content = lm_eval_03({"arc": {"acc": 0.1}}, f"pretrained=org/tiny,revision=step{step}", num_fewshot=shots)
        content["config"]["limit"] = limit
        save(tmp_path / f"{shots}-{limit}.json", content)
    assert rows(tmp_path, "num_fewshot", "limit") == [(0, None), (0, 50), (5, None)]
    assert [c.metric for c in find_curves(tmp_path, warn=no_warning)] == [
        "0-shot/acc", "0-shot/limit-50/acc", "5-shot/acc",
    ]  # fmt: skip


def test_series_of_settings_stay_apart_where_each_has_one_step(tmp_path: Path) -> None:
    for step, shots in ((1, 0), (2, 5)):
        save(tmp_path / f"step{step}.json", lm_eval_03({"arc": {"acc": 0.1}}, "pretrained=t", num_fewshot=shots))
    assert [c.metric for c in find_curves(tmp_path, warn=no_warning)] == ["0-shot/acc", "5-shot/acc"]


def test_a_metric_that_no_name_tells_has_the_direction_of_the_file(tmp_path: Path) -> None:
    values = {"a": {"pct_stereotype,none": 0.6}, "b": {"likelihood_diff,none": 3.0}}
    content = lm_eval_04(values, "org/tiny")
    content["higher_is_better"] = {"a": {"pct_stereotype": False}, "b": {"likelihood_diff": True}}
    save(tmp_path / "step1.json", content)
    better = {c.metric: c.better for c in find_curves(tmp_path, warn=no_warning)}
    assert better == {"pct_stereotype": "min", "likelihood_diff": "max"}
    assert {c.better for c in find_curves(tmp_path, better="min", warn=no_warning)} == {"min"}
    content["higher_is_better"]["d"] = {"pct_stereotype": True}
    content["results"]["d"] = {"pct_stereotype,none": 0.5}
    save(tmp_path / "step1.json", content)
    warnings: list[str] = []
    find_curves(tmp_path, metrics=["pct_stereotype"], warn=warnings.append)
    assert "pct_stereotype: the name does not tell" in warnings[0]


LEADERBOARD = {"leaderboard|arc:challenge|25": {"acc": 0.25, "acc_norm": 0.3}, "leaderboard|mmlu:a|5": {"acc": 0.2}}


def test_lighteval_is_read_with_its_average_and_without_suites(tmp_path: Path) -> None:
    for step in (10, 20):
        content = lighteval(LEADERBOARD, "org/tiny", revision=f"step{step}", max_samples=None)
        save(tmp_path / "results" / "org" / "tiny" / f"results_2025-01-{step}T12-00-00.5.json", content)
    opened = read_results(tmp_path, no_warning)
    assert (opened.kind, opened.left_out) == ("results of lighteval", ())
    at_10 = [r for r in rows(tmp_path) if r[1] == 10]
    assert at_10 == [
        ("tiny", 10, "all", "acc", pytest.approx(0.225), pytest.approx(math.sqrt(2) * 0.01 / 2)),
        ("tiny", 10, "all", "acc_norm", 0.3, 0.01),
        ("tiny", 10, "arc:challenge", "acc", 0.25, 0.01),
        ("tiny", 10, "arc:challenge", "acc_norm", 0.3, 0.01),
        ("tiny", 10, "mmlu:a", "acc", 0.2, 0.01),
    ]


def test_files_that_lighteval_wrote_itself_are_read() -> None:
    folder = Path(__file__).parent / "data" / "lighteval-0.13.0"  # made-up scores, without what else it writes
    read = rows(folder, "model", "step", "task", "metric", "num_fewshot", "limit", "value")
    assert {r[0] for r in read} == {"tiny"}
    assert {r[2] for r in read} == {"all", "gsm8k", "mmlu:_average", "mmlu:a", "mmlu:b"}
    assert [r[1:] for r in read if r[2:4] == ("gsm8k", "acc")] == [
        (1000, "gsm8k", "acc", 0, None, 0.5),
        (2000, "gsm8k", "acc", 0, None, 0.6),
        (2000, "gsm8k", "acc", 0, 10, 0.6),
        (1000, "gsm8k", "acc", 5, None, 0.35),
        (2000, "gsm8k", "acc", 5, None, 0.45),
    ]
    assert read_results(folder, no_warning).higher_is_better == {"em": True}


@pytest.mark.parametrize("key", ["lighteval|gsm8k|{}", "lighteval|gsm8k|{}|0", "gsm8k|{}"])
def test_lighteval_keys_of_every_version_give_task_and_few_shot_setting(key: str, tmp_path: Path) -> None:
    for shots in (0, 5):
        content = lighteval({key.format(shots): {"qem": shots / 10}}, "run-a/2000")
        save(tmp_path / "results" / "run-a" / "2000" / f"results_2025-01-01T12-00-0{shots}.json", content)
    assert rows(tmp_path, "model", "step", "task", "num_fewshot", "value") == [
        ("run-a", 2000, "gsm8k", 0, 0.0), ("run-a", 2000, "gsm8k", 5, 0.5),
    ]  # fmt: skip


def test_tasks_of_one_name_in_two_suites_keep_them(tmp_path: Path) -> None:
    values = {"lighteval|piqa|0": {"acc": 0.1}, "helm|piqa|0": {"acc": 0.2}}
    save(tmp_path / "step1.json", lighteval(values, "org/tiny", max_samples=20))
    assert [r for r in rows(tmp_path, "task", "value") if r[0] != "all"] == [
        ("helm|piqa", 0.2),
        ("lighteval|piqa", 0.1),
    ]


def test_errors_limits_and_settings_of_averages_follow_from_their_tasks(tmp_path: Path) -> None:
    errors = {"mmlu:a|5": 0.03, "mmlu:b|5": 0.04, "gsm8k|0": 0.12}
    results = {key: {"acc": 0.5, "acc_stderr": error} for key, error in errors.items()}
    content = lighteval({}, "org/tiny", max_samples=100)
    for name in ("mmlu:_average|5", "all"):  # as lighteval writes them: with means of errors
        results[name] = {"acc": 0.5, "acc_stderr": 0.06}
    documents = {"mmlu:a|5": (90, 90), "mmlu:b|5": (80, 80), "gsm8k|0": (1319, 100)}
    content |= {
        "results": results,
        "config_tasks": {
            key: {"original_num_docs": there, "effective_num_docs": asked} for key, (there, asked) in documents.items()
        },
    }
    save(tmp_path / "step1.json", content)
    content["config_tasks"] = {}
    save(tmp_path / "step2.json", content)  # limited throughout, for all that it says
    assert [r[1:] for r in rows(tmp_path, "step", "task", "limit", "stderr") if r[0] == 1] == [
        ("all", 100, pytest.approx(0.13 / 3)),
        ("gsm8k", 100, 0.12),
        ("mmlu:_average", None, pytest.approx(0.05 / 2)),
        ("mmlu:a", None, 0.03),
        ("mmlu:b", None, 0.04),
    ]
    one = {"mmlu:a|5": {"acc": 0.5}, "mmlu:_average|5": {"acc": 0.5}, "all": {"acc": 0.5}}
    save(tmp_path / "one" / "step3.json", content | {"results": one})
    assert rows(tmp_path / "one", "task") == [("mmlu:a",)]


def test_averages_over_other_tasks_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    save(tmp_path / "step1.json", lighteval(LEADERBOARD, "org/tiny"))
    save(tmp_path / "step2.json", lighteval(LEADERBOARD | {"leaderboard|piqa|0": {"acc": 0.5}}, "org/tiny"))
    opened = read_results(tmp_path, no_warning)
    assert "all" not in opened.table["task"].to_pylist()
    assert opened.left_out == ("4 averages over all tasks (of other tasks in other files)",)


def test_lighteval_says_which_way_is_better(tmp_path: Path) -> None:
    metrics = [
        {"metric_name": "extractive_match", "higher_is_better": True},
        {"metric_name": ["target_ppl", "chrf"], "higher_is_better": {"target_ppl": False, "chrf": True}},
    ]
    values = {"lighteval|t|0": {"extractive_match": 0.5, "target_ppl": 3.0, "chrf": 40.0}}
    content = lighteval(values, "org/tiny", config_tasks={"lighteval|t": {"metrics": metrics}})
    save(tmp_path / "step1.json", content)
    directions = {"extractive_match": True, "target_ppl": False, "chrf": True}
    assert read_results(tmp_path, no_warning).higher_is_better == directions


def test_olmes_is_read_once_from_its_three_kinds_of_files(tmp_path: Path) -> None:
    for step in (1000, 2000):
        model = {"model": "tiny", "model_path": f"weka://runs/tiny/step{step}-unsharded-hf"}
        easy = {"acc_raw": 0.5, "acc_per_char": 0.4, "primary_score": step / 10_000, "extra_metrics": {"num_tokens": 7}}
        tasks = [
            olmes_task("arc_easy", easy, model, alias="arc_easy:rc::olmes", limit=1000),
            olmes_task("arc_easy", easy | {"acc_raw": 0.9}, model, alias="arc_easy:mc::olmes", num_shots=5),
        ]
        save_olmes(tmp_path / f"step{step}", tasks)
    opened = read_results(tmp_path, no_warning)
    assert (opened.kind, opened.left_out) == ("results of OLMES", ())
    assert opened.table.column_names == ["model", "step", "task", "metric", "value", "stderr"]
    assert set(rows(tmp_path, "model", "step", "task")) == {
        ("tiny", step, f"arc_easy:{form}::olmes") for form in ("rc", "mc") for step in (1000, 2000)
    }
    raw = [r for r in rows(tmp_path, "step", "task", "metric", "value") if r[2] == "acc_raw"]
    assert [(step, value) for step, _, _, value in raw] == [(1000, 0.9), (2000, 0.9), (1000, 0.5), (2000, 0.5)]
    for file in ("metrics.json", "metrics-all.jsonl"):
        assert len(read_results(tmp_path / "step1000" / file, no_warning).table) == 2 * 4
    assert len(read_results(tmp_path / "step1000" / "task-000-arc_easy-metrics.json", no_warning).table) == 4


def test_the_primary_score_of_olmes_is_better_as_its_metric_is(tmp_path: Path) -> None:
    scores = {"bits_per_byte": 1.5, "primary_score": 1.5}
    save(tmp_path / "step1.json", olmes_task("paloma", scores, {"model": "t"}, primary_metric="bits_per_byte"))
    assert read_results(tmp_path, no_warning).higher_is_better == {"primary_score": False}


def test_the_newer_tasks_list_of_olmes_is_read(tmp_path: Path) -> None:
    config = {"task_name": "gsm8k", "num_shots": 8, "primary_metric": "exact_match"}
    task = {"alias": "gsm8k::olmes", "metrics": {"exact_match": 0.4, "primary_score": 0.4}, "task_config": config}
    content = {"all_primary_scores": [], "tasks": [task], "model_config": {"model": "org/tiny", "revision": "step30"}}
    save(tmp_path / "metrics.json", content)
    assert rows(tmp_path, "model", "step", "task", "metric") == [
        ("tiny", 30, "gsm8k::olmes", "exact_match"), ("tiny", 30, "gsm8k::olmes", "primary_score"),
    ]  # fmt: skip


def test_results_of_several_programs_lie_in_one_folder(tmp_path: Path) -> None:
    save(tmp_path / "a.json", lm_eval_04({"arc": {"acc,none": 0.5}}, "org/tiny", revision="main") | {})
    save(tmp_path / "step2.json", lighteval({"lighteval|piqa|0": {"acc": 0.5}}, "org/tiny"))
    save(tmp_path / "step3.json", olmes_task("boolq", {"acc_raw": 0.5}, {"model": "org/tiny"}))
    warnings: list[str] = []
    opened = read_results(tmp_path, warnings.append)
    assert opened.kind == "results of OLMES and lighteval and lm-evaluation-harness"
    assert opened.table["step"].to_pylist() == [None, 3, 2]
    assert opened.left_out == ()  # rows without a step are counted where curves are read
    assert opened.origins == {"model": "(what was evaluated)", "step": "(name of the file)"}
    assert warnings == [f"{tmp_path}: 1 file without a step, as a.json; rename it, as in step1000.json"]
