"""Curves out of tables and of folders of parts or results: who is a series, what is a metric, what is refused."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from no_warning import no_warning

from degen import DegenError
from degen.metrics.curve import Curve
from degen.metrics.find_curves import find_curves, read_curves
from degen.metrics.metric_kinds import Floor
from degen.published import published_table

WIDE = "model,step,loss,acc\na,0,4,.1\na,10,2,.3\nb,0,5,.2\nb,10,3,.4\n"
LONG = "model,step,task,metric,value,stderr\n" + "".join(
    f"m,{step},{task},{metric},{value},0.{step + 1}\n"
    for task, metric, value in (("piqa", "acc", 0.5), ("lambada", "acc", 0.4), ("lambada", "ppl", 30))
    for step in (0, 1, 2)
)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names(curves: Sequence[Curve]) -> list[str]:
    return [f"{c.model} {c.metric}" for c in curves]


def read(tmp_path: Path, text: str, **options: Any) -> list[Curve]:
    return find_curves(write(tmp_path / "t.csv", text), **{"warn": no_warning, **options})


def test_a_wide_table_has_a_curve_for_each_model_and_metric(tmp_path: Path) -> None:
    curves = read(tmp_path, WIDE)
    assert names(curves) == ["a loss", "a acc", "b loss", "b acc"]
    assert [c.better for c in curves] == ["min", "max"] * 2
    assert curves[2].steps.tolist() == [0, 10]
    assert curves[2].values.tolist() == [5, 3]
    assert curves[2].floor == pytest.approx(0.005 * 3)
    assert curves[2].errors is curves[2].covariance is curves[2].tokens is curves[2].parameters is None


def test_curves_come_in_the_order_of_the_metrics_option(tmp_path: Path) -> None:
    assert names(read(tmp_path, WIDE, metrics=["acc", "loss"])) == ["a acc", "a loss", "b acc", "b loss"]
    assert names(read(tmp_path, WIDE, metrics=["loss"], where={"model": "b"})) == ["b loss"]


def test_a_long_table_has_a_curve_for_each_task(tmp_path: Path) -> None:
    curves = read(tmp_path, LONG)
    assert names(curves) == ["m piqa/acc", "m lambada/acc", "m lambada/ppl"]
    assert curves[1].values.tolist() == [0.4] * 3
    assert curves[1].errors.tolist() == [0.1, 0.2, 0.3]
    assert curves[2].floor == pytest.approx(30**1.005 - 30)
    assert names(read(tmp_path, LONG, metrics=["ppl"])) == ["m lambada/ppl"]
    assert names(read(tmp_path, LONG, metrics=["lambada/acc"])) == ["m lambada/acc"]
    assert names(read(tmp_path, LONG, metrics=["ppl"], where={"task": "lambada"})) == ["m ppl"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("step,loss\n0,1\n1,2\n", ["t loss"]),  # no model: that of the file's name
        ("model,step,loss\n,0,1\n,1,2\n", ["t loss"]),
        ("Model,Global_Step,Loss\na,0,1\na,1,2\n", ["a Loss"]),
        ("steps,loss\nstep0,1\nstep10-tokens1B,2\n", ["t loss"]),
        ("step,revision,loss\n0,step0,1\n1,main,2\n", ["t loss"]),
        ("step,checkpoint,loss\n0,out/a,1\n1,out/b,2\n", ["t loss"]),  # another name of the step
        ("step,size,model,loss\n0,S,a,1\n1,S,a,2\n0,L,b,1\n1,L,b,2\n", ["a loss", "b loss"]),  # a fact of the model
        ("step,split,loss\n0,train,1\n0,val,2\n1,train,1\n1,val,2\n", ["t train/loss", "t val/loss"]),
        ("step,split,loss\n0,,1\n0,val,2\n1,,1\n1,val,2\n", ["t loss", "t val/loss"]),
        ("step,task,loss\n0,a,1\n2,a,1\n1,b,2\n3,b,2\n", ["t a/loss", "t b/loss"]),  # never at the same step
        ("step,seed,loss\n0,0,1\n1,0,1\n0,1,2\n1,1,2\n", ["t seed=0/loss", "t seed=1/loss"]),
        ("step,seed,loss\n0,7,1\n1,7,2\n", ["t loss"]),
        ("step,layer,domain,loss\n0,0,x,1\n0,1,x,2\n1,0,x,1\n1,1,x,2\n", ["t layer=0/loss", "t layer=1/loss"]),
        ("step,tied,loss\n0,true,1\n0,false,2\n1,true,1\n1,false,2\n", ["t tied=True/loss", "t tied=False/loss"]),
        ("step,shots,loss\n0,0,1\n0,5,2\n1,0,1\n1,5,2\n", ["t loss"]),  # other numbers tell nothing apart
        ("step,loss,gloss\n0,1,1\n1,2,2\n", ["t loss"]),
        ("step,loss,loss_se,val_loss\n0,1,1,1\n1,2,2,1\n", ["t loss", "t val_loss"]),
        ("step,loss,acc\n0,1,\n1,2,\n", ["t loss", "t acc"]),  # not measured, and that is said
        ("step,value\n0,1\n1,2\n", ["t value"]),
        ("step,metric,value\n0,1,1\n1,2,2\n", ["t metric", "t value"]),  # numbers name no metric
    ],
)
def test_columns_are_what_their_names_and_types_say(text: str, expected: list[str], tmp_path: Path) -> None:
    assert names(read(tmp_path, text, warn=lambda line: None)) == expected


def test_without_a_known_name_all_numbers_but_facts_are_metrics(tmp_path: Path) -> None:
    text = (
        "step,tokens,params,hidden_size,seed,epoch,brier,brier_stderr,other\n0,1,2,3,4,5,.6,.7,8\n1,1,2,3,4,5,.5,.7,9\n"
    )
    warnings: list[str] = []
    curves = read(tmp_path, text, warn=warnings.append)
    assert names(curves) == ["t brier", "t other"]
    assert [(c.better, c.floor) for c in curves] == [("min", 0.0)] * 2
    assert len(warnings) == 2
    assert warnings[0].startswith("brier: the name does not tell whether lower or higher is better; lower is assumed")
    assert "--better brier=max" in warnings[0]
    assert [c.better for c in read(tmp_path, text, better="max")] == ["max"] * 2
    assert names(read(tmp_path, text, metrics=["epoch"], better="max")) == ["t epoch"]  # whoever asks gets it


def test_a_direction_of_a_whole_name_goes_before_that_of_a_bare_one(tmp_path: Path) -> None:
    text = "step,task,metric,value\n0,a,brier,1\n0,b,brier,2\n1,a,brier,2\n1,b,brier,3\n"
    curves = read(tmp_path, text, better={"a/brier": "max"}, warn=lambda line: None)
    assert [(c.metric, c.better) for c in curves] == [("a/brier", "max"), ("b/brier", "min")]
    both = read(tmp_path, text, better={"a/brier": "min", "brier": "max"})
    assert [(c.metric, c.better) for c in both] == [("a/brier", "min"), ("b/brier", "max")]
    with pytest.raises(DegenError, match="--better names 'c/brier'"):
        read(tmp_path, text, better={"c/brier": "max"}, warn=lambda line: None)


@pytest.mark.parametrize("column", ["loss_stderr", "loss_se", "stderr", "se", "Loss_SE"])
def test_standard_errors_without_a_name_are_those_of_the_only_metric(column: str, tmp_path: Path) -> None:
    (curve,) = read(tmp_path, f"step,loss,{column}\n0,1,.1\n1,2,\n2,2,inf\n")
    np.testing.assert_array_equal(curve.errors, [0.1, np.nan, np.nan])


def test_standard_errors_of_several_metrics_are_matched_by_name(tmp_path: Path) -> None:
    loss, acc, ppl = read(
        tmp_path, 'step,loss,"acc,none",ppl,"acc_stderr,none",stderr,ppl_se\n0,1,2,3,4,5,\n1,2,3,4,5,6,\n'
    )
    assert loss.errors is None  # whose `stderr` is, nobody says
    assert acc.errors.tolist() == [4, 5]
    assert ppl.errors is None


def test_parameters_tokens_and_width_are_read_with_a_curve(tmp_path: Path) -> None:
    text = "step,tokens,total_params,hidden_size,head_size,singular_entropy\n0,,10,64,,1\n1,5,10,64,32,.5\n"
    (curve,) = read(tmp_path, text)
    assert curve.parameters == 10
    np.testing.assert_array_equal(curve.tokens, [np.nan, 5])
    assert curve.floor == pytest.approx(0.1 * math.log(32))
    (curve,) = read(tmp_path, "step,tokens,loss\n0,0B,1\n1,2B,2\n")
    assert curve.tokens is None  # for readers
    (curve,) = read(tmp_path, text.replace("head_size", "other"))
    assert curve.floor == pytest.approx(0.1 * math.log(64))


def test_an_unknown_head_width_gives_a_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    curves = read(tmp_path, "model,step,kl_a\nm,0,1\nm,1,2\nn,0,1\n", warn=warnings.append)
    assert [c.floor for c in curves] == [pytest.approx(0.1 * math.log(1024))] * 2
    assert warnings[0] == (
        "m: no column (head_size, hidden_size) tells the width of the head, on which the floor of kl_a "
        "depends; 1024 is assumed, so that the floor is 0.1 ln 1024"
    )
    assert len(warnings) == 2


def test_floors_go_by_the_whole_name_then_the_bare_then_all(tmp_path: Path) -> None:
    floors: dict[str | None, Floor] = {"acc": Floor(0.01), "piqa/acc": Floor(0.02), None: Floor(0.1, "share")}
    curves = read(tmp_path, LONG, floors=floors)
    assert [c.floor for c in curves] == [0.02, 0.01, pytest.approx(3.0)]
    (best,) = read(tmp_path, "step,acc\n0,.5\n1,inf\n2,.8\n3,.2\n", floors={None: Floor(0.1, "share")})
    assert best.floor == pytest.approx(0.08)
    (worst,) = read(tmp_path, "step,acc\n0,.5\n1,.8\n2,.2\n", floors={None: Floor(0.1, "share")}, better="min")
    assert worst.floor == pytest.approx(0.02)


def test_rows_keep_their_order_without_sort(tmp_path: Path) -> None:
    text = "step,loss\n10,1\n0,2\n10,3\n5,nan\n20,inf\n"
    (curve,) = read(tmp_path, text)
    assert curve.steps.tolist() == [10, 0, 10, 5, 20]
    np.testing.assert_array_equal(curve.values, [1, 2, 3, np.nan, np.nan])
    (curve,) = read(tmp_path, text, sort=True)
    assert curve.steps.tolist() == [0, 5, 10, 10, 20]
    np.testing.assert_array_equal(curve.values, [2, np.nan, 1, 3, np.nan])


def test_rows_without_a_step_are_named_in_the_summary(tmp_path: Path) -> None:
    text = "model,step,loss,acc\na,0,1,\na,,1,\nb,0,,.5\nb,1,,.5\n"
    curves, source = read_curves(write(tmp_path / "t.csv", text), warn=no_warning)
    assert names(curves) == ["a loss", "a acc", "b loss", "b acc"]
    assert [bool(np.isnan(curve.values).all()) for curve in curves] == [False, True, True, False]
    assert source.left_out == ("1 row without a step",)


def test_a_task_without_a_metric_gives_no_curve(tmp_path: Path) -> None:
    curves = read(tmp_path, "step,task,acc,ppl\n0,a,.1,\n1,a,.2,\n0,b,.1,9\n1,b,.2,8\n")
    assert names(curves) == ["t a/acc", "t b/acc", "t b/ppl"]


def test_parts_are_read_in_the_order_of_their_steps(tmp_path: Path) -> None:
    for model, step in itertools.product("ba", (0, 1000, 200)):
        part = tmp_path / "parts" / model / f"step{step}.parquet"
        part.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"model": [model], "step": [step], "loss": [1.0 + step]}), part)
    curves = find_curves(tmp_path / "parts", warn=no_warning)
    assert names(curves) == ["a loss", "b loss"]
    assert curves[0].steps.tolist() == [0, 200, 1000]
    assert curves[0].values.tolist() == [1, 201, 1001]


def test_a_parquet_file_is_read_as_its_csv(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", LONG)
    pd.read_csv(file).astype({"task": "category", "value": "float32"}).to_parquet(tmp_path / "t.parquet")
    for curve, other in zip(
        find_curves(file, warn=no_warning), find_curves(tmp_path / "t.parquet", warn=no_warning), strict=True
    ):
        assert (curve.model, curve.metric, curve.steps.tolist()) == (other.model, other.metric, other.steps.tolist())
        np.testing.assert_allclose(curve.values, other.values, rtol=1e-6)


def test_results_of_the_harness_are_a_long_table(tmp_path: Path) -> None:
    for step in (1000, 0, 200):
        figures = {
            "acc,none": step / 2000,
            "acc_stderr,none": 0.1,
            "perplexity,none": 9.0,
            "perplexity_stderr,none": "N/A",
        }
        results = {"lambada_openai": figures, "piqa": {"acc,none": 0.5, "acc_stderr,none": 0.2}}
        content = {"results": results, "model_name": f"out/checkpoint-{step}"}
        write(tmp_path / "evals" / f"checkpoint-{step}" / "results_2024.json", json.dumps(content))
    curves = find_curves(tmp_path / "evals", warn=no_warning)
    assert names(curves) == ["out lambada_openai/acc", "out piqa/acc", "out lambada_openai/perplexity"]
    assert curves[0].steps.tolist() == [0, 200, 1000]
    assert curves[0].values.tolist() == [0.0, 0.1, 0.5]
    assert curves[2].errors is None
    (curve,) = find_curves(
        tmp_path / "evals", metrics=["perplexity"], where={"task": "lambada_openai"}, warn=no_warning
    )
    assert curve.metric == "perplexity"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("stp,loss\n0,1\n", {}, r"t\.csv: the table has no column 'step' \(did you mean 'stp'\?\); rename the column"),
        ("epoch,loss\n0,1\n", {}, r"t\.csv: the table has no column 'step' \(there are epoch, loss\)"),
        ("step,loss\n0.5,1\n", {}, r"t\.csv: column 'step' holds 0\.5; a step must be a whole number"),
        ("step,loss\n-1,1\n", {}, r"t\.csv: column 'step' holds -1; a step"),
        ("step,loss\n1e300,1\n", {}, r"t\.csv: column 'step' holds inf; a step"),
        ("step,loss\ninf,1\n", {}, r"t\.csv: column 'step' holds inf; a step"),
        ("step,loss\nmain,1\n", {}, r"t\.csv: column 'step' holds 'main'; a step must be written as 1000 or step1000"),
        ("step,loss\n,1\n,2\n", {}, r"t\.csv: column 'step' has no value in any row; fill in the steps"),
        (
            "step,loss\n2024-05-01,1\n",
            {},
            r"t\.csv: column 'step' holds values that are no numbers, such as '2024-05-01",
        ),
        ("step,metric\n0,acc\n", {}, r"t\.csv: a table with a column 'metric' must also have a column 'value'; add it"),
        (
            "step,metric,value\n0,acc,high\n",
            {},
            r"t\.csv: column 'value' holds values that are no numbers, such as 'high'; correct",
        ),
        ("step,note\n0,good\n", {}, r"t\.csv: the table has no column of numbers other than the steps; add one"),
        ("step,tokens\n0,5\n", {}, r"t\.csv: the table seems to hold only steps, sizes and errors; .*--metric.*tokens"),
        ("step,loss,loss_se\n0,1,-1\n", {}, r"t\.csv: column 'loss_se' holds -1; a standard error must be 0 or more"),
        ("step,loss,loss_se\n0,1,x\n", {}, r"t\.csv: column 'loss_se' holds values that are no numbers, such as 'x'"),
        (WIDE, {"metrics": ["los"]}, r"t\.csv: no metric 'los'; did you mean 'loss'\?"),
        (WIDE, {"metrics": ["zzz"]}, r"t\.csv: no metric 'zzz'; there are loss, acc"),
        (WIDE, {"metrics": ["loss", "model"]}, r"t\.csv: column 'model' holds no numbers; name a metric"),
        (LONG, {"metrics": ["pppl"]}, r"t\.csv: no metric 'pppl'; did you mean 'ppl'\?"),
        (LONG, {"metrics": ["lambda/ppl"]}, r"no metric 'lambda/ppl'; did you mean 'lambada/ppl'\?"),
        (
            LONG,
            {"where": {"tsk": "piqa"}},
            r"t\.csv: the table has no column 'tsk' to filter by; did you mean 'task'\?",
        ),
        (
            LONG,
            {"where": {"task": "lambda"}},
            r"t\.csv: column 'task' never has the value 'lambda'; did you mean 'lambada'\?",
        ),
        (LONG, {"where": {"task": "piqa", "metric": "ppl"}}, r"t\.csv: no row has task=piqa, metric=ppl at once"),
        (
            LONG,
            {"floors": {"pppl": Floor(1.0)}},
            r"t\.csv: --floor names 'pppl', which is none of the metrics here; did you mean 'ppl'",
        ),
    ],
)
def test_tables_without_curves_are_refused(text: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DegenError, match=message) as caught:
        read(tmp_path, text, **options)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_targets_that_hold_no_metrics_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    bad = {
        tmp_path / "absent": "absent: no such file or folder; name a table",
        tmp_path / "empty": "empty: this folder holds no run .* no Parquet parts, and no logs or results that .*; name",
        write(
            tmp_path / "r.json", "{}"
        ): r"r\.json: this JSON file holds neither a log of training nor results of lm-evaluation-harness, lighteval",
        write(tmp_path / "t.txt", "x"): r"t\.txt: not a format of tables; save the table as one of",
        tmp_path / ("x" * 300): "the name is too long",
    }
    for target, message in bad.items():
        with pytest.raises(DegenError, match=message):
            find_curves(target, warn=no_warning)


def test_the_published_evaluations_are_read() -> None:
    file = published_table("pythia_lm_eval")
    assert len(find_curves(file, warn=no_warning)) == 8 * 14
    curves = find_curves(file, metrics=["ppl"], where={"task": "lambada_openai"}, warn=no_warning)
    assert {c.metric for c in curves} == {"ppl"}
    assert len({c.model for c in curves}) == 8
    for curve in curves:
        assert len(curve.steps) == 27
        assert np.isfinite(curve.errors).all()
    by_model = {c.model: c for c in curves}
    for model, step in (("pythia-70m", 53_000), ("pythia-160m", 63_000)):
        curve = by_model[model]
        assert curve.steps[int(np.argmin(curve.values))] == step
        assert curve.floor == pytest.approx(min(curve.values) ** 1.005 - min(curve.values))


def test_the_published_losses_and_heads_are_read() -> None:
    losses = {c.model: c for c in find_curves(published_table("pythia_pile_loss"), warn=no_warning)}
    small = losses["pythia-14m"]
    assert (small.metric, small.better, small.parameters) == ("loss_nats", "min", 14_067_712)
    assert small.steps[int(np.nanargmin(small.values))] == 35_000
    np.testing.assert_array_equal(small.tokens, small.steps * 2_097_152)
    heads = {c.model: c for c in find_curves(published_table("pythia_head_singular_entropy"), warn=no_warning)}
    assert heads["pythia-14m"].floor == pytest.approx(0.1 * math.log(128))
    both = find_curves(published_table("pythia_wikitext_anisotropy"), where={"model": "pythia-14m"}, warn=no_warning)
    assert [(c.metric, c.better) for c in both] == [("wikitext_word_ppl", "min"), ("last_layer_anisotropy", "min")]
    assert both[1].floor == 0.1
