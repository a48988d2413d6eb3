"""Folders of results as people have them, which were once read wrongly, through `saturation` and `gate`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from gate_values import values_of
from no_warning import no_warning
from result_files import lm_eval_03, lm_eval_04, save

from degen.gate import judge
from degen.gate.parser import parse_rule
from degen.metrics.find_curves import find_curves
from degen.readers.evaluations.read_results import read_results
from degen.saturation import find_saturation

MIXED = Path(__file__).parent / "data" / "mixed-fewshot"  # pythia-70m: zero-shot to step 103000, then five-shot

FALLING = [0.302, 0.309, 0.323, 0.335, 0.344, 0.356, 0.367, 0.383, 0.364, 0.343, 0.324, 0.3]
STEADY = [0.3, 0.316, 0.321, 0.339, 0.347, 0.359, 0.378, 0.385, 0.384, 0.386, 0.387, 0.384]


def test_zero_and_five_shot_results_are_curves_of_their_own() -> None:
    curves = {c.metric: c for c in find_curves(MIXED, metrics=["acc"], warn=no_warning)}
    assert {c.model for c in curves.values()} == {"70m"}
    assert sorted(curves) == [
        f"{task}/{shots}-shot/acc" for task in ("hendrycksTest-marketing", "lambada_openai") for shots in (0, 5)
    ]
    zero, five = (curves[f"lambada_openai/{shots}-shot/acc"] for shots in (0, 5))
    assert (len(zero.steps), zero.steps[-1], list(five.steps)) == (23, 103_000, [113_000, 123_000, 133_000, 143_000])
    assert zero.steps[int(np.argmax(zero.values))] == 53_000
    verdicts = find_saturation(MIXED, metrics=["acc"]).verdicts
    assert {v.verdict for v in verdicts if v.curve.metric.startswith("hendrycksTest")} <= {"not_saturated", "undecided"}
    (lambada,) = (v for v in verdicts if v.curve.metric == "lambada_openai/0-shot/acc")
    assert (lambada.verdict, lambada.support) == ("undecided", 1)
    rise = re.search(r"one checkpoint, step \d+: .* if it is a rise, since step \d+ \((\d+) … (\d+)\)", lambada.reason)
    assert rise is not None
    assert int(rise[1]) < 50_734 < int(rise[2])


def test_one_few_shot_setting_is_selected_by_where_and_by_name() -> None:
    chosen = find_curves(MIXED, metrics=["acc"], where={"num_fewshot": "0"}, warn=no_warning)
    named = find_curves(MIXED, metrics=["lambada_openai/0-shot/acc"], warn=no_warning)
    assert [c.metric for c in chosen] == ["hendrycksTest-marketing/acc", "lambada_openai/acc"]
    np.testing.assert_array_equal(chosen[1].values, named[0].values)
    (value,) = values_of("lambada_openai/5-shot/acc.drop < 0.1", MIXED)
    assert (value.place, value.step, value.reference_step) == ("lambada_openai/5-shot", 143_000, 113_000)


def same_suffix(folder: Path, model_args: str | None) -> None:
    """Write the results of two runs in folders that the harness calls by the path of the checkpoint."""
    for run, values in {"baseline-lr3e-4": STEADY, "new-lr1e-3": FALLING}.items():
        for i, acc in enumerate(values, start=1):
            name = f"__ckpts__{run}__iter_{5000 * i:07d}_hf"
            content = lm_eval_04({"hellaswag": {"acc,none": acc}}, name.replace("__", "/"))
            if model_args is None:
                content = {"results": content["results"]}
            save(folder / run / name / f"results_2025-05-{i:02d}T12-00-00.1.json", content)


def interleaved(folder: Path, model_args: str | None) -> None:
    """Write the results of two runs whose steps lie between each other's."""
    for run, values, first in (("baseline-lr3e-4", STEADY, 5000), ("new-lr1e-3", FALLING, 7500)):
        for i, acc in enumerate(values):
            given = None if model_args is None else f"pretrained=/ckpts/{run}/iter_{first + 5000 * i:07d}_hf"
            content = lm_eval_03({"hellaswag": {"acc": acc}}, given)
            save(folder / run / f"results_iter_{first + 5000 * i:07d}_hf.json", content)


@pytest.mark.parametrize("write", [same_suffix, interleaved])
@pytest.mark.parametrize("model_args", [None, "given"])
def test_two_runs_with_checkpoints_of_one_name_are_two_models(
    write: Callable[[Path, str | None], None], model_args: str | None, tmp_path: Path
) -> None:
    write(tmp_path / "F", model_args)
    curves = {c.model: c for c in find_curves(tmp_path / "F", warn=no_warning)}
    assert {model: curve.values.tolist() for model, curve in curves.items()} == {
        "baseline-lr3e-4": STEADY, "new-lr1e-3": FALLING,
    }  # fmt: skip
    labels = {v.curve.model: v.verdict for v in find_saturation(tmp_path / "F").verdicts}
    assert labels == {"baseline-lr3e-4": "not_saturated", "new-lr1e-3": "saturated"}
    results = judge([parse_rule("acc.drop < 0.02")], tmp_path / "F")
    assert {o.measured.model: o.verdict for o in results.outcomes} == {
        "baseline-lr3e-4": "passed",
        "new-lr1e-3": "failed",
    }


STEPS: Mapping[int, tuple[str, ...]] = {
    3000: ("06-07-56",), 13_000: ("06-21-35",), 23_000: ("06-35-08",), 33_000: ("06-49-01",), 103_000: ("07-44-49",),
    123_000: ("05-54-21", "08-12-38"), 143_000: ("10-16-50",),
}  # fmt: skip


@pytest.mark.parametrize("other", [0.0, 0.125])
def test_times_in_file_names_are_no_models_and_the_newer_of_two_files_counts(other: float, tmp_path: Path) -> None:
    for step, times in STEPS.items():
        for i, time in enumerate(times):
            name = f"pythia-70m-0shot-global_step{step}_eval_results_11-25-2022-{time}.json"
            acc = step / 1e6 + other * (i + 1 < len(times))
            save(
                tmp_path / name, {"results": {"arc": {"acc": acc}, "sciq": {"acc": 0.5}}, "config": {"num_fewshot": 0}}
            )
    warnings: list[str] = []
    opened = read_results(tmp_path, warnings.append)
    arc, sciq = find_curves(tmp_path, warn=lambda line: None)
    assert (arc.model, arc.metric, arc.steps.tolist()) == ("pythia-70m", "arc/acc", list(STEPS))
    assert arc.values.tolist() == [step / 1e6 for step in STEPS]
    assert sciq.steps.tolist() == list(STEPS)
    name = "pythia-70m-0shot-global_step123000_eval_results_11-25-2022"
    said = (
        f"1 value evaluated twice with another result; the newer file counts (step 123000: {name}-08-12-38.json, not "
    )
    if other:
        assert warnings == [f"{tmp_path}: {said}{name}-05-54-21.json)"]
        assert opened.left_out == (
            "1 value (step 123000 evaluated again, with another result)",
            "1 value (step 123000 evaluated again, with the same result)",
        )
    else:
        assert (warnings, opened.left_out) == ([], ("2 values (step 123000 evaluated again, with the same result)",))


def test_one_file_is_judged_against_another(tmp_path: Path) -> None:
    for name, acc in (("before", 0.5), ("after", 0.4)):
        content = lm_eval_04({"arc": {"acc,none": acc}, "piqa": {"acc,none": 0.7}}, f"/runs/{name}/step100")
        save(tmp_path / name / "results_2025-05-08T12-00-00.1.json", content)
    before, after = (tmp_path / name / "results_2025-05-08T12-00-00.1.json" for name in ("before", "after"))
    verdicts = judge([parse_rule("acc.drop < 0.05")], after, baseline=before)
    assert {o.measured.place: o.verdict for o in verdicts.outcomes} == {"arc": "failed", "piqa": "passed"}
    assert [c.values.tolist() for c in find_curves(after, warn=no_warning)] == [[0.4], [0.7]]


def test_a_result_without_a_step_may_be_the_latest(tmp_path: Path) -> None:
    for name, revision, acc in (("a", "step100", 0.5), ("b", "step200", 0.5), ("c", "main", 0.1)):
        content = lm_eval_03({"arc": {"acc": acc}}, f"pretrained=org/tiny,revision={revision}")
        save(tmp_path / "evals" / f"{name}.json", content)
    verdicts = judge([parse_rule("acc > 0.3")], tmp_path / "evals", warn=lambda line: None)
    assert verdicts.verdict == "undecidable"
    assert [c.steps.tolist() for c in find_curves(tmp_path / "evals", warn=lambda line: None)] == [[100, 200]]
