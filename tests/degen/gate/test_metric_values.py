"""The values of a run that a rule is about, and their references."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gate_values import value_of, values_of
from no_warning import no_warning
from run_parts import change

import degen
from degen import DegenError
from degen.gate import judge
from degen.gate.metric_values import MetricValue, find_metric_values
from degen.gate.open_target import open_source
from degen.gate.parser import parse_rule
from degen.runs.export import export_table
from degen.stats.document_interval import JackknifeRange

SCAN: dict[str, Any] = {"tokens": 512, "context": 32, "threads": 1}


def left_out(run: degen.Run, revisions: tuple[str, str], domain: str | None = None, weight: float = 1) -> float:
    """Return the jackknife error of a difference of losses, window by window, one document after the other left out."""
    rows = [w for w in run.table("windows").to_pylist() if w["tokens"] and domain in (None, w["domain"])]
    documents = sorted({w["document"] for w in rows})
    thetas = []
    for left in documents:
        means = []
        for revision in revisions:
            others = [w for w in rows if w["revision"] == revision and w["document"] != left]
            means.append(sum(w["loss"] * w["tokens"] for w in others) / sum(w["tokens"] for w in others))
        thetas.append(means[0] - weight * means[1])
    n = len(documents)
    return math.sqrt((n - 1) / n * sum((t - np.mean(thetas)) ** 2 for t in thetas))


def extremes_of_loss(run: degen.Run, revision: str) -> tuple[float, float]:
    """Return the least and the largest loss of a checkpoint with one document left out."""
    rows = [w for w in run.table("windows").to_pylist() if w["tokens"] and w["revision"] == revision]
    losses = []
    for left in {w["document"] for w in rows}:
        others = [w for w in rows if w["document"] != left]
        losses.append(sum(w["loss"] * w["tokens"] for w in others) / sum(w["tokens"] for w in others))
    return pytest.approx(min(losses), rel=1e-12), pytest.approx(max(losses), rel=1e-12)


def test_the_latest_checkpoint_is_what_a_rule_is_about(run: degen.Run) -> None:
    row = run.checkpoints()[-1]
    documents = {w["document"] for w in run.table("windows").to_pylist()}
    assert value_of("loss < 3", run.path) == MetricValue(
        "tiny", "step1000", 1000, None, row["loss"], row["loss_se"], freedom=len(documents) - 1,
        spread=JackknifeRange(*extremes_of_loss(run, "step1000")),
    )  # fmt: skip
    anisotropy = value_of("anisotropy < 3", run.path)
    last = value_of("anisotropy[layer=last] < 3", run.path)
    names = ("anisotropy_jackknife_min", "anisotropy_jackknife_max", "anisotropy_across")
    assert anisotropy.spread == last.spread == JackknifeRange(*(row[name] for name in names))
    entropy = value_of("singular_entropy < 3", run.path)
    assert (entropy.value, entropy.error) == (row["singular_entropy"], None)
    assert value_of("vocab_size < 3", run.path).value == row["vocab_size"]


@pytest.mark.parametrize(
    ("steps", "chosen"),
    [
        ("latest", [1000]), ("all", [0, 100, 1000]), ("100", [100]), ("1:", [100, 1000]), (":100", [0, 100]),
        ("0:1000", [0, 100, 1000]), ("50:500", [100]),
    ],
)  # fmt: skip
def test_steps_are_chosen_with_both_ends(steps: str, chosen: list[int], run: degen.Run) -> None:
    assert [f.step for f in values_of(f"loss[step={steps}] < 3", run.path)] == chosen


def test_selectors_choose_layers_and_sites(run: degen.Run) -> None:
    rows = {(r["layer"], r["site"]): r for r in run.table("layers").to_pylist() if r["revision"] == "step1000"}

    def places(selector: str) -> list[str | None]:
        selected = values_of(f"anisotropy[{selector}] < 1", run.path)
        for f in selected:
            _, layer, site = f.place.split()
            assert (f.value, f.error) == (rows[int(layer), site]["anisotropy"], rows[int(layer), site]["anisotropy_se"])
        return [f.place for f in selected]

    assert places("layer=last") == ["layer 2 head_input"]
    assert places("layer=last,site=block") == ["layer 2 block"]
    assert places("layer=2") == ["layer 2 block", "layer 2 head_input"]
    assert places("layer=0") == ["layer 0 embedding"]
    assert places("site=block") == ["layer 1 block", "layer 2 block"]
    assert places("layer=all") == ["layer 0 embedding", "layer 1 block", "layer 2 block", "layer 2 head_input"]
    assert value_of("anisotropy[layer=last] < 1", run.path).value == run.checkpoints()[-1]["anisotropy"]
    assert value_of("mean_norm[layer=last] < 1", run.path).error is None


def test_domains_are_means_over_their_tokens(run: degen.Run) -> None:
    windows = [w for w in run.table("windows").to_pylist() if w["revision"] == "step1000" and w["tokens"]]
    for domain in ("Github", "Books3", "ArXiv"):
        of_domain = [w for w in windows if w["domain"] == domain]
        value = value_of(f"loss[domain={domain}] < 3", run.path)
        assert value.value == pytest.approx(
            sum(w["loss"] * w["tokens"] for w in of_domain) / sum(w["tokens"] for w in of_domain)
        )
        assert value.place == f"domain {domain}"
        assert value.error > 0


def test_metrics_of_a_domain_are_those_of_its_rows_in_table_domains(run: degen.Run) -> None:
    rows = [r for r in run.table("domains").to_pylist() if r["revision"] == "step1000" and r["domain"] == "Github"]
    assert [(r["layer"], r["site"]) for r in rows if r["layer"] is not None] == [
        (0, "embedding"), (1, "block"), (2, "block"), (2, "head_input")
    ]  # fmt: skip
    (whole,) = [r for r in rows if r["layer"] is None]
    for metric in ("perplexity", "bits_per_byte", "anisotropy", "anisotropy_across"):
        value = value_of(f"{metric}[domain=Github] < 3", run.path)
        assert (value.value, value.place) == (whole[metric], "domain Github")
    value = value_of("anisotropy[domain=Github] < 3", run.path)
    assert value.error == whole["anisotropy_se"] > 0
    assert value.freedom == whole["documents"] - 1
    values = values_of("anisotropy[domain=Github,layer=all] < 3", run.path)
    assert [v.value for v in values] == [r["anisotropy"] for r in rows if r["layer"] is not None]
    assert [v.place for v in values][1] == "layer 1 block domain Github"
    (last,) = [r for r in rows if r["site"] == "head_input"]
    for metric in ("mean_norm", "max_activation", "max_over_median"):
        assert value_of(f"{metric}[domain=Github,layer=last] < 1", run.path).value == last[metric] > 0


def test_a_figure_of_layers_on_a_domain_asks_for_a_layer(run: degen.Run) -> None:
    with pytest.raises(DegenError, match=r"select a layer, as in max_activation\[layer=last,domain=Github\]"):
        values_of("max_activation[domain=Github] < 3", run.path)


def test_a_missing_figure_of_a_domain_gives_the_reason_of_its_row(run_copy: Path) -> None:
    for revision in ("step0", "step100", "step1000"):
        change(run_copy, "domains", revision, max_activation=None, reason="too few")
    value = value_of("max_activation[domain=Github,layer=last] < 3", run_copy)
    assert (value.value, value.missing) == (None, "not measured: too few")


@pytest.mark.parametrize("domain", [None, "Github"])
def test_a_rise_is_from_the_best_so_far_with_the_paired_error(domain: str | None, run: degen.Run) -> None:
    selector = f",domain={domain}" if domain else ""
    selected = values_of(f"loss.rise[step=all{selector}] < 1", run.path)
    values = [f.value for f in selected if f.value is not None]
    best = [int(np.argmin(values[: i + 1])) for i in range(3)]
    for i, value in enumerate(selected):
        assert value.reference == values[best[i]]
        assert value.reference_step == selected[best[i]].step
        assert value.difference == pytest.approx(values[i] - values[best[i]])
        names = (str(value.revision), str(selected[best[i]].revision))
        expected = left_out(run, names, domain) if best[i] != i else 0.0
        assert value.difference_error == pytest.approx(expected, abs=1e-12)
    assert domain or any(b != i for i, b in enumerate(best))


def test_a_drop_is_from_the_largest_so_far(run: degen.Run) -> None:
    ranks = [row["effective_rank"] for row in run.checkpoints()]
    for i, value in enumerate(values_of("effective_rank.drop[step=all] < 1", run.path)):
        assert value.reference == max(ranks[: i + 1])
        assert value.difference == pytest.approx(max(ranks[: i + 1]) - ranks[i])


def test_errors_that_are_not_paired_add_in_squares(run_copy: Path) -> None:
    change(run_copy, "checkpoints", "step100", anisotropy=-0.5, anisotropy_se=0.3, loss=0.1, loss_se=0.03)
    change(run_copy, "checkpoints", "step1000", anisotropy=0.5, anisotropy_se=0.4, loss=0.5, loss_se=0.04)
    assert value_of("anisotropy.rise < 1", run_copy).difference_error == pytest.approx(0.5)
    change(run_copy, "windows", "step100", tokens=7)  # not the same windows any more
    assert value_of("loss.rise < 1", run_copy).difference_error == pytest.approx(0.05)
    change(run_copy, "checkpoints", "step100", loss_se=None)
    assert value_of("loss.rise < 1", run_copy).difference_error is None


def test_a_value_that_is_its_own_reference_has_risen_by_0(run_copy: Path) -> None:
    change(run_copy, "checkpoints", "step1000", anisotropy=-1.0, anisotropy_se=0.4)
    value = value_of("anisotropy.rise < 1", run_copy)
    assert (value.difference, value.difference_error) == (0.0, 0.0)


def test_a_percentage_bound_shares_the_noise_of_the_reference(run_copy: Path) -> None:
    change(run_copy, "checkpoints", "step100", anisotropy=-0.5, anisotropy_se=0.3)
    change(run_copy, "checkpoints", "step0", anisotropy=9.0)
    change(run_copy, "checkpoints", "step1000", anisotropy=0.5, anisotropy_se=0.4)
    rise = value_of(
        "anisotropy.rise < 50%", run_copy
    )  # value - reference - 0.5 |reference|, the reference being negative
    assert (rise.difference, rise.difference_error) == (pytest.approx(1.0), pytest.approx(0.5))
    assert rise.margin_error == pytest.approx(math.hypot(0.4, 0.5 * 0.3))
    assert value_of("anisotropy.rise < max(0.01, 50%)", run_copy).margin_error == rise.margin_error
    assert value_of("anisotropy.rise < max(9, 50%)", run_copy).margin_error == rise.difference_error
    change(run_copy, "checkpoints", "step0", anisotropy=-0.9)
    change(run_copy, "checkpoints", "step100", anisotropy=2.0, anisotropy_se=0.3)
    drop = value_of("anisotropy.drop < 50%", run_copy)
    assert drop.margin_error == pytest.approx(math.hypot(0.4, 0.5 * 0.3))


def test_the_error_of_a_percentage_bound_is_paired(run: degen.Run) -> None:
    losses = {row["revision"]: row["loss"] for row in run.checkpoints()}
    for relation, pick, weight in (("rise", min, 1.05), ("drop", max, 0.95)):
        best = pick(losses, key=lambda name: losses[name])
        value = value_of(f"loss.{relation} < 5%", run.path)
        expected = 0.0 if best == "step1000" else left_out(run, ("step1000", best), weight=weight)
        assert value.margin_error == pytest.approx(expected)
    assert max(losses, key=lambda name: losses[name]) != min(losses, key=lambda name: losses[name])


def test_errors_have_as_many_degrees_of_freedom_as_documents_less_one(run: degen.Run) -> None:
    windows = [w for w in run.table("windows").to_pylist() if w["revision"] == "step1000"]
    documents = {w["document"] for w in windows}
    for rule in ("loss < 3", "anisotropy < 3", "anisotropy[layer=1,site=block] < 3", "loss.rise < 3"):
        assert value_of(rule, run.path).freedom == len(documents) - 1
    github = {w["document"] for w in windows if w["domain"] == "Github" and w["tokens"]}
    assert value_of("loss[domain=Github] < 3", run.path).freedom == len(github) - 1 < len(documents) - 1


def test_perplexity_has_the_error_of_its_loss(run: degen.Run) -> None:
    row = run.checkpoints()[-1]
    assert value_of("perplexity < 3", run.path).error == pytest.approx(math.exp(row["loss"]) * row["loss_se"])


def test_a_model_that_is_yet_to_be_measured_is_missing(run_copy: Path) -> None:
    info = json.loads((run_copy / "run.json").read_text())
    (run_copy / "run.json").write_text(json.dumps(info | {"models": ["tiny", "other"]}))
    assert {f.model: f.missing for f in values_of("loss < 3", run_copy)} == {
        "other": "no checkpoint of it is measured yet; go on with the scan", "tiny": None,
    }  # fmt: skip
    for rule in ("loss[model=other] < 3", "anisotropy[model=other,layer=all] < 3", "loss.rise[model=other] < 3"):
        assert value_of(rule, run_copy).missing is not None


def test_checkpoints_that_left_the_series_are_not_the_latest(run_copy: Path) -> None:
    warnings: list[str] = []
    source = open_source(run_copy, warnings.append, {"tiny": ["step0", "step100"]})
    (value,) = find_metric_values(parse_rule("loss.rise < 3"), source)
    assert value.step == 100
    assert warnings == [f"{run_copy}: checkpoints left out, because the series no longer has them: tiny@step1000"]
    source = open_source(run_copy, no_warning, {"tiny": ["step0", "step1000"]})  # the middle is its past all the same
    assert [f.step for f in find_metric_values(parse_rule("loss[step=all] < 3"), source)] == [0, 100, 1000]


def test_the_folder_around_a_run_is_no_run(run_copy: Path) -> None:
    with pytest.raises(DegenError, match=rf"did you mean {run_copy}\?"):
        open_source(run_copy.parent, no_warning)
    (run_copy / "run.json").unlink()
    with pytest.raises(DegenError, match=r"this run folder lacks its run\.json"):
        open_source(run_copy, no_warning)


def test_a_latest_checkpoint_that_failed_is_missing(run_copy: Path) -> None:
    change(run_copy, "checkpoints", "step1000", status="failed", reason="NaN in a tensor")
    for rule in ("loss < 99", "loss.rise < 99", "anisotropy[layer=last] < 99", "loss[domain=Github] < 99"):
        value = value_of(rule, run_copy)
        assert (value.step, value.value) == (1000, None)
        assert value.missing == "the checkpoint failed: NaN in a tensor"


def test_null_and_nan_are_missing_and_infinity_is_not(run_copy: Path) -> None:
    change(run_copy, "checkpoints", "step1000", loss=None, anisotropy=math.nan, perplexity=math.inf)
    change(run_copy, "layers", "step1000", mean_norm=math.nan)
    change(run_copy, "windows", "step1000", loss=math.nan)
    assert value_of("loss < 3", run_copy).missing == "not measured"
    assert value_of("anisotropy < 3", run_copy).missing == "is NaN"
    assert value_of("mean_norm[layer=last] < 3", run_copy).missing == "is NaN"
    assert value_of("loss[domain=Github] < 3", run_copy).missing == "is NaN"
    assert value_of("perplexity < 3", run_copy).value == math.inf


def test_the_best_so_far_ignores_missing_values(run_copy: Path) -> None:
    change(run_copy, "checkpoints", "step100", loss=math.nan)
    change(run_copy, "checkpoints", "step0", loss=1.0)
    change(run_copy, "checkpoints", "step1000", loss=1.5)
    assert value_of("loss.rise < 1", run_copy).difference == pytest.approx(0.5)
    change(run_copy, "checkpoints", "step0", status="failed")
    assert "too few checkpoints" in str(value_of("loss.rise < 1", run_copy).missing)


def test_a_checkpoint_whose_step_is_unknown_may_be_the_latest(run_copy: Path) -> None:
    change(run_copy, "checkpoints", "step0", step=None)
    assert [f.revision for f in values_of("loss < 3", run_copy)] == ["step1000", "step0"]
    assert [f.revision for f in values_of("loss[step=0:] < 3", run_copy)] == ["step100", "step1000"]
    for revision in ("step100", "step1000"):
        change(run_copy, "checkpoints", revision, step=None)
    assert len(values_of("loss < 3", run_copy)) == 3
    with pytest.raises(DegenError, match="none of its steps is known"):
        values_of("loss[step=100] < 3", run_copy)


def test_a_copy_has_the_values_that_were_copied(series: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(series, tmp_path / "s")
    shutil.copytree(tmp_path / "s" / "step100", tmp_path / "s" / "step2000")
    scanned = degen.scan(tmp_path / "s", corpus=corpus, out=tmp_path / "run", **SCAN)
    assert scanned.checkpoints()[-1]["status"] == "duplicate"
    value = value_of("loss.rise < 3", tmp_path / "run")
    assert (value.step, value.value) == (2000, scanned.checkpoints()[1]["loss"])
    assert value.difference_error is not None
    export_table(scanned, "checkpoints", tmp_path / "c.csv")
    assert value_of("loss < 3", tmp_path / "c.csv").value == pytest.approx(value.value)


def test_a_corpus_without_domains_has_none_to_select(run_copy: Path) -> None:
    for revision in ("step0", "step100", "step1000"):
        change(run_copy, "windows", revision, domain=None)
    with pytest.raises(DegenError, match="no text of the domain 'Github' was measured; there are none"):
        values_of("loss[domain=Github] < 3", run_copy)


def test_a_run_of_heads_has_not_measured_other_metrics(series: Path, tmp_path: Path) -> None:
    degen.scan(series, probes=["spectrum"], out=tmp_path / "run")
    for rule in ("loss < 3", "anisotropy[layer=last] < 3", "mean_norm[layer=last] < 3", "bottleneck_rank < 3"):
        assert value_of(rule, tmp_path / "run").missing == "not measured"
    assert value_of("loss[domain=Github] < 3", tmp_path / "run").missing == "not measured"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("los < 3", r'^rule "los < 3": \S+run: table checkpoints has no metric \'los\', .*; did you mean \'loss\'\?$'),
        ("zzz[layer=1] < 3", "table layers has no metric .zzz., .*; there are anisotropy, anisotropy_se"),
        ("mean_norm < 3", r"a metric of layers; select a layer, as in mean_norm\[layer=last\]"),
        ("loss[layer=1] < 3", "a metric of whole checkpoints; drop the selectors layer and site"),
        ("status < 3", "status of table checkpoints holds no numbers"),
        ("loss[model=tiney] < 3", r"has no model 'tiney'; did you mean 'tiny'\?"),
        ("loss[step=17] < 3", "tiny has no checkpoint at step 17; its steps are 0, 100, 1000"),
        ("loss[step=2000:] < 3", "no checkpoint at step 2000:"),
        ("anisotropy[layer=99] < 3", "tiny has no layer 99; it has 0 to 2"),
        ("anisotropy[site=blok] < 3", r"no site 'blok'; did you mean 'block'\?"),
        ("anisotropy[layer=last,site=embedding] < 3", "layer 2 of tiny has no site 'embedding'; it has block, "),
        ("loss[domain=github] < 3", r"no text of the domain 'github' was measured; did you mean 'Github'\?"),
        ("singular_entropy[domain=Github] < 3", "singular_entropy is not measured for a single domain; drop"),
        ("loss[domain=Github,layer=1] < 3", "loss is a metric of whole checkpoints; drop the selectors layer and site"),
        ('"a\nb" < 3', '^rule ""a b" < 3": '),
    ],
)  # fmt: skip
def test_a_metric_or_selector_that_a_run_does_not_have_is_refused(rule: str, message: str, run: degen.Run) -> None:
    with pytest.raises(DegenError, match=message) as error:
        values_of(rule, run.path)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_a_baseline_is_compared_step_by_step_and_paired(run: degen.Run, run_copy: Path) -> None:
    same = value_of("loss.rise[step=100] < 1", run.path, run_copy)
    assert (same.difference, same.reference_step, same.difference_error) == (0.0, 100, 0.0)
    change(run_copy, "checkpoints", "step1000", step=5000, loss=2.0, anisotropy_se=0.3)
    later = value_of("loss.rise < 1", run.path, run_copy)  # no step 1000 there: its latest
    row = run.checkpoints()[-1]
    assert (later.reference, later.reference_step) == (2.0, 5000)
    assert later.difference == pytest.approx(row["loss"] - 2.0)
    assert later.difference_error == 0.0  # the same windows, losses as they were
    assert value_of("anisotropy.drop < 1", run.path, run_copy).difference_error == pytest.approx(
        math.hypot(row["anisotropy_se"], 0.3)
    )
    assert value_of("loss.rise[step=1000] < 1", run.path, run_copy).missing == "the baseline has no step 1000"


def test_another_checkpoint_on_the_same_sample_is_paired_and_on_another_not_compared(
    run: degen.Run, series: Path, corpus: Path, tmp_path: Path
) -> None:
    options = {"threads": 1, "steps": "100"}
    degen.scan(series, sample=run.path / "sample.parquet", out=tmp_path / "same", **options)
    paired = value_of("loss.rise < 1", run.path, tmp_path / "same")
    assert paired.reference_step == 100
    assert paired.difference_error == pytest.approx(left_out(run, ("step1000", "step100")))
    degen.scan(series, corpus=corpus, seed=1, out=tmp_path / "other", steps="100", **SCAN)
    apart = value_of("loss.rise < 1", run.path, tmp_path / "other")
    assert (apart.difference, apart.reference) == (None, None)
    assert apart.missing == (
        f"the baseline was measured on other text; scan this run with --sample {tmp_path / 'other' / 'sample.parquet'}"
    )


def test_a_baseline_of_one_model_stands_for_one_of_another_name(run: degen.Run, run_copy: Path, tmp_path: Path) -> None:
    table = tmp_path / "main.csv"
    table.write_text("model,step,loss,loss_se\nmain,900,2.5,0.25\n")
    value = value_of("loss.rise < 1", run.path, table)
    assert (value.reference, value.reference_step) == (2.5, 900)
    assert value.difference_error == pytest.approx(math.hypot(value.error or 0, 0.25))
    table.write_text("model,step,loss\nmain,900,2.5\ntinny,900,3\n")
    with pytest.raises(DegenError, match=r"the baseline \S+main.csv has no model 'tiny'; did you mean 'tinny'\?"):
        values_of("loss.rise < 1", run.path, table)
    table.write_text("model,step,loss\nmain,1000,nan\n")
    assert value_of("loss.rise < 1", run.path, table).missing == "the baseline at step 1000: not measured"
    with pytest.raises(DegenError, match="no metric 'anisotropy'"):
        values_of("anisotropy.rise < 1", run.path, table)
    change(run_copy, "checkpoints", "step1000", status="failed", reason=None)
    assert value_of("loss.rise < 1", run.path, run_copy).missing == "the baseline at step 1000: the checkpoint failed"


def test_a_rule_is_judged_for_each_of_two_models(series: Path, corpus: Path, tmp_path: Path) -> None:
    degen.scan([f"b={series}", f"a={series}"], corpus=corpus, out=tmp_path / "both", **SCAN)
    assert [f.model for f in values_of("loss < 3", tmp_path / "both")] == ["b", "a"]
    assert value_of("loss[model=a] < 3", tmp_path / "both").model == "a"


def test_windows_are_read_for_intervals_alone(run: degen.Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run.path, tmp_path / "run"))
    for part in (copy / "windows").rglob("*.parquet"):
        part.write_bytes(b"PAR1 damaged")
    rule = parse_rule("loss[step=all] < 99")
    assert judge([rule], copy).exit_code == 0
    with pytest.raises(DegenError, match="cannot be read"):
        judge([rule], copy, confidence=0.95)


def test_the_curves_of_a_rule_are_read_once(run: degen.Run, tmp_path: Path) -> None:
    table = tmp_path / "checkpoints.csv"
    export_table(run, "checkpoints", table)
    rule = parse_rule("loss < 99")
    for target in (run.path, table):
        source = open_source(target, no_warning)
        assert source.curves(rule) is source.curves(rule)
