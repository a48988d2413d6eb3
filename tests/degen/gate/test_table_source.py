"""The values of tables, exported runs and results of the harness that a rule is about."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from gate_values import value_of, values_of
from no_warning import no_warning
from run_parts import change
from tiny import make_checkpoint

import degen
from degen import DegenError
from degen.gate.open_target import is_measured, open_source
from degen.runs.export import export_table


def test_rows_of_a_table_without_a_step_may_be_the_latest(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("model,step,acc\nm,0,.5\nm,100,.6\nm,,.1\nn,100,.6\n")
    selected = values_of("acc > 0.2", table)
    assert [(f.model, f.step, f.missing) for f in selected] == [
        ("m", 100, None), ("m", None, "rows without a step, which may be its latest: 1"), ("n", 100, None),
    ]  # fmt: skip
    assert len(values_of("acc[step=0:] > 0.2", table)) == 3


def test_layers_of_an_exported_table_are_those_of_the_run(run: degen.Run, tmp_path: Path) -> None:
    export_table(run, "layers", tmp_path / "layers.csv")
    for selector in ("layer=all", "layer=2,site=block", "layer=1", "layer=last", "site=embedding"):
        for selected in values_of(f"anisotropy.rise[{selector}] < 1", run.path, tmp_path / "layers.csv"):
            assert selected.missing is None
            assert selected.difference == pytest.approx(0, abs=1e-12)


def test_rules_are_judged_on_wide_and_long_tables(tmp_path: Path) -> None:
    wide = tmp_path / "wide.csv"
    wide.write_text("model,step,task,acc,acc_stderr\nm,200,A,.6,.02\nm,100,A,.7,.01\nm,100,B,.5,.01\nm,200,B,,\n")
    a, b = values_of("acc.drop < 1", wide)
    assert (a.place, a.step, a.reference_step) == ("A", 200, 100)
    assert a.difference == pytest.approx(0.1)
    assert a.difference_error == pytest.approx(math.hypot(0.01, 0.02))
    assert (b.place, b.step, b.missing) == ("B", 200, "not measured")
    assert value_of("A/acc > 0", wide).place == "A"
    long = tmp_path / "long.csv"
    long.write_text("model,step,metric,value\nm,100,loss,3\nm,200,loss,2\nm,100,acc,.5\nn,100,acc,.4\n")
    assert value_of("loss[model=m] < 3", long).value == 2
    acc = values_of("acc < 3", long)
    assert [(f.model, f.step, f.value) for f in acc] == [("m", 200, None), ("n", 100, 0.4)]
    assert acc[0].missing == "it has no row at step 200; its last row is at step 100"
    assert [f.missing for f in values_of("loss < 3", long)] == [None, "the table has no row of loss"]
    with pytest.raises(DegenError, match=r"no metric 'los'; did you mean 'loss'\?"):
        values_of("los < 3", long)


def test_missing_values_of_tables_are_not_measured_and_infinite_ones_are_read(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("step,loss,ppl,empty,word\n1,2,3,,a\n2,nan,inf,,b\n")
    assert value_of("loss < 3", table).missing == "not measured"
    assert value_of("ppl < 3", table).value == math.inf
    assert value_of("empty < 3", table).missing == "not measured"
    assert value_of("loss < 3", table).model == "t"
    with pytest.raises(DegenError, match="column 'word' holds no numbers; name a metric that does"):
        values_of("word < 3", table)


def test_exported_tables_take_selectors(run: degen.Run, run_copy: Path, tmp_path: Path) -> None:
    export_table(run, "layers", tmp_path / "l.parquet")
    for selector in ("layer=last", "layer=1", "layer=2,site=block"):
        rule = f"anisotropy[{selector}] < 1"
        assert value_of(rule, tmp_path / "l.parquet").value == value_of(rule, run.path).value
    assert len(values_of("anisotropy[layer=all] < 1", tmp_path / "l.parquet")) == 4
    with pytest.raises(DegenError, match="column 'layer' never has the value '99'"):
        values_of("anisotropy[layer=99] < 1", tmp_path / "l.parquet")
    with pytest.raises(DegenError, match="has no column 'domain', by which the rule selects; drop the selector domain"):
        values_of("anisotropy[domain=a] < 1", tmp_path / "l.parquet")
    change(run_copy, "checkpoints", "step1000", status="failed", reason="torn")
    export_table(degen.read_run(run_copy), "checkpoints", tmp_path / "c.csv")
    source = open_source(tmp_path / "c.csv", no_warning)
    assert source.failed == ["tiny@step1000"]
    assert value_of("loss < 99", tmp_path / "c.csv").missing == "the checkpoint failed: torn"
    assert open_source(run_copy, no_warning).failed == ["tiny@step1000"]


def test_results_of_the_harness_are_judged(tmp_path: Path) -> None:
    for step, acc in ((100, 0.6), (200, 0.5)):
        (tmp_path / f"pythia-step{step}.json").write_text(
            json.dumps({"results": {"arc": {"acc,none": acc, "acc_stderr,none": 0.01}}})
        )
    value = value_of("arc/acc.drop < 0.02", tmp_path)
    assert (value.model, value.step, value.place) == ("pythia", 200, "arc")
    assert value.difference == pytest.approx(0.1)
    assert value.difference_error == pytest.approx(math.hypot(0.01, 0.01))
    assert value_of("acc > 0", tmp_path).place is None
    assert is_measured(tmp_path)


def test_a_series_is_not_measured_and_a_run_is(run: degen.Run, series: Path, tmp_path: Path) -> None:
    measured = [run.path, run.path / "layers", tmp_path / "t.csv", tmp_path / "no.parquet"]
    assert all(is_measured(target) for target in measured)
    single = make_checkpoint(tmp_path / "single")
    shutil.copytree(run.path / "layers", single / "logs")  # a table beside the weights makes no table of them
    for target in (series, series / "step0", single, "org/name@step*", "pythia:70m", tmp_path / "model.gguf"):
        assert not is_measured(target)
    assert value_of("loss < 3", run.path / "checkpoints") == value_of("loss < 3", run.path)
