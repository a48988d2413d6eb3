"""Curves out of run folders: scanned, exported, with failed checkpoints and copies."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from no_warning import no_warning
from run_parts import change
from tiny import make_checkpoint

import degen
from degen import DegenError
from degen.metrics.find_curves import find_curves
from degen.metrics.metric_kinds import Floor
from degen.runs.export import export_table

SCAN: dict[str, Any] = {"tokens": 512, "context": 32, "threads": 1}


def test_a_run_gives_the_curves_of_its_three_usual_metrics(run: degen.Run) -> None:
    rows = run.checkpoints()
    curves = find_curves(run.path, warn=no_warning)
    assert [(c.model, c.metric, c.better) for c in curves] == [
        ("tiny", "loss", "min"),
        ("tiny", "anisotropy", "min"),
        ("tiny", "singular_entropy", "min"),
    ]
    for curve in curves:
        assert curve.steps.tolist() == [0, 100, 1000]
        assert curve.values.tolist() == [row[curve.metric] for row in rows]
        assert curve.parameters == rows[0]["parameters"]
        assert curve.tokens is None
    loss, anisotropy, entropy = curves
    assert loss.errors.tolist() == [row["loss_se"] for row in rows]
    assert anisotropy.errors.tolist() == [row["anisotropy_se"] for row in rows]
    assert entropy.errors is None
    assert anisotropy.covariance is entropy.covariance is None
    assert loss.floor == pytest.approx(0.005 * min(loss.values))
    assert (anisotropy.floor, entropy.floor) == (0.1, pytest.approx(0.1 * np.log(rows[0]["head_size"])))


def brute_force_covariance(run: degen.Run) -> Any:
    """Leave out one document after the other, of all checkpoints at once, window by window."""
    windows = run.table("windows").to_pylist()
    revisions = [row["revision"] for row in run.checkpoints()]
    documents = sorted({w["document"] for w in windows if w["tokens"]})
    thetas = np.zeros((len(revisions), len(documents)))
    for i, revision in enumerate(revisions):
        for j, left_out in enumerate(documents):
            remaining = [w for w in windows if w["revision"] == revision and w["document"] != left_out and w["tokens"]]
            thetas[i, j] = sum(w["loss"] * w["tokens"] for w in remaining) / sum(w["tokens"] for w in remaining)
    covariance = np.zeros((len(revisions), len(revisions)))
    for j in range(len(documents)):
        away = thetas[:, j] - thetas.mean(axis=1)
        covariance += (len(documents) - 1) / len(documents) * np.outer(away, away)
    return covariance


def test_covariance_is_that_of_leaving_out_each_document(run: degen.Run) -> None:
    (loss,) = find_curves(run.path, metrics=["loss"], warn=no_warning)
    np.testing.assert_allclose(loss.covariance, brute_force_covariance(run), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(np.diag(loss.covariance), loss.errors**2, rtol=1e-9)
    assert np.abs(loss.covariance[0, 1]) > 1e-6  # they do err together


def test_a_run_is_read_from_inside_its_folder(run: degen.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, name in ((run.path, "."), (run.path, "checkpoints"), (run.path / "checkpoints", "."), (run.path, "")):
        monkeypatch.chdir(folder)
        loss = find_curves(Path(name), metrics=["loss"], warn=no_warning)[0]
        assert (loss.model, loss.steps.tolist()) == ("tiny", [0, 100, 1000])
        assert loss.covariance is not None
    with pytest.raises(
        DegenError,
        match=r"the table seems to hold only steps, sizes and errors; if .* name it with --metric",
    ):
        find_curves(run.path / "timing", warn=no_warning)
    assert {c.metric for c in find_curves(run.path / "windows", warn=no_warning)} >= {"ArXiv/loss", "Github/loss"}


def test_the_tables_of_a_run_are_read_by_their_folders(run: degen.Run, tmp_path: Path) -> None:
    whole = find_curves(run.path, warn=no_warning)
    named = find_curves(run.path / "checkpoints", warn=no_warning)
    assert [c.metric for c in named] == [c.metric for c in whole]
    assert named[0].covariance is not None
    layers = find_curves(run.path / "layers", metrics=["anisotropy"], warn=no_warning)
    assert [c.metric for c in layers] == [
        "layer=0/embedding/anisotropy",
        "layer=1/block/anisotropy",
        "layer=2/block/anisotropy",
        "layer=2/head_input/anisotropy",
    ]
    assert layers[-1].values.tolist() == whole[1].values.tolist()
    for ending in (".csv", ".parquet"):
        export_table(run, "checkpoints", tmp_path / f"c{ending}")
        exported = {c.metric: c for c in find_curves(tmp_path / f"c{ending}", warn=no_warning)}
        assert exported["loss"].values.tolist() == whole[0].values.tolist()
        assert exported["loss"].floor == whole[0].floor
        assert exported["singular_entropy"].floor == whole[2].floor


def test_other_metrics_of_a_run_are_read_by_name(run: degen.Run) -> None:
    metrics = ["effective_rank", "perplexity", "effective_rank"]
    curves = find_curves(run.path, metrics=metrics, warn=no_warning)
    assert [(c.metric, c.better) for c in curves] == [("effective_rank", "max"), ("perplexity", "min")]


def test_a_failed_checkpoint_is_a_missing_value_of_every_curve(run_copy: Path) -> None:
    change(run_copy, "checkpoints", "step100", status="failed", reason="NaN in a tensor")
    loss, *others = find_curves(run_copy, warn=no_warning)
    assert np.isnan(loss.values).tolist() == [False, True, False]
    assert all(np.isnan(c.values[1]) for c in others)
    assert np.isnan(loss.covariance[1]).all()
    assert np.isnan(loss.covariance[:, 1]).all()
    two = np.ix_([0, 2], [0, 2])
    np.testing.assert_allclose(loss.covariance[two], brute_force_covariance(degen.read_run(run_copy))[two], rtol=1e-9)


def test_rows_without_a_step_and_copies_are_left_out_with_a_warning(run_copy: Path) -> None:
    change(run_copy, "checkpoints", "step0", step=None)
    change(run_copy, "checkpoints", "step1000", status="duplicate", duplicate_of="step100")
    warnings: list[str] = []
    curves = find_curves(run_copy, warn=warnings.append)
    assert [c.steps.tolist() for c in curves] == [[100]] * 3
    assert len(warnings) == 2
    assert warnings[0].endswith("run: rows without a step left out: 1")
    assert warnings[1] == "tiny: checkpoints left out as copies of other revisions (status duplicate): 1"


def test_a_copy_made_by_a_scan_is_left_out(series: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(series, tmp_path / "s")
    shutil.copytree(tmp_path / "s" / "step100", tmp_path / "s" / "step200")
    degen.scan(tmp_path / "s", corpus=corpus, out=tmp_path / "run", **SCAN)
    warnings: list[str] = []
    curves = find_curves(tmp_path / "run", warn=warnings.append)
    assert curves[0].steps.tolist() == [0, 100, 1000]
    assert curves[0].covariance is not None
    assert warnings == ["s: checkpoints left out as copies of other revisions (status duplicate): 1"]


def test_losses_on_other_windows_are_not_paired(run_copy: Path) -> None:
    change(run_copy, "windows", "step100", tokens=7)
    warnings: list[str] = []
    loss = find_curves(run_copy, warn=warnings.append)[0]
    assert loss.covariance is None
    assert warnings == [
        "tiny: the checkpoints were not measured on the same windows, "
        "so that their losses cannot be compared window by window"
    ]
    shutil.rmtree(run_copy / "windows")
    assert find_curves(run_copy, warn=no_warning)[0].covariance is None


def test_two_models_of_a_run_have_separate_curves(run: degen.Run, series: Path, corpus: Path, tmp_path: Path) -> None:
    both = degen.scan([f"b={series}", f"a={series}"], corpus=corpus, out=tmp_path / "both", **SCAN)
    curves = find_curves(both.path, metrics=["loss"], warn=no_warning)
    assert [c.model for c in curves] == ["b", "a"]
    alone = find_curves(run.path, metrics=["loss"], warn=no_warning)[0]
    for curve in curves:
        assert curve.covariance is not None
        np.testing.assert_array_equal(curve.covariance, alone.covariance)
    (loss,) = find_curves(both.path, metrics=["loss"], where={"model": "a"}, warn=no_warning)
    assert loss.model == "a"


def test_a_run_of_heads_has_singular_entropy_alone(series: Path, tmp_path: Path) -> None:
    run = degen.scan(series, probes=["spectrum"], out=tmp_path / "run")
    assert [c.metric for c in find_curves(run.path, warn=no_warning)] == ["singular_entropy"]
    (curve,) = find_curves(run.path, metrics=["loss"], warn=no_warning)
    assert np.isnan(curve.values).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["los"]}, r"run: no metric 'los'; did you mean 'loss'\?"),
        ({"metrics": ["zzz"]}, r"run: no metric 'zzz'; there are anisotropy, anisotropy_across, loss, perplexity, "),
        ({"metrics": ["status"]}, r"run: column 'status' holds no numbers; name a metric that does"),
        ({"where": {"model": "tiney"}}, r"run: column 'model' never has the value 'tiney'; did you mean 'tiny'\?"),
        ({"where": {"modle": "tiny"}}, r"run: the table has no column 'modle' to filter by; did you mean 'model'\?"),
        (
            {"floors": {"los": Floor(1.0)}},
            r"run: --floor names 'los', which is none of the metrics here; did you mean 'loss'\?",
        ),
    ],
)
def test_a_metric_or_selector_that_a_run_does_not_have_is_refused(
    options: dict[str, Any], message: str, run: degen.Run
) -> None:
    with pytest.raises(DegenError, match=message):
        find_curves(run.path, warn=no_warning, **options)


def test_a_run_without_the_usual_metrics_lists_the_others(run_copy: Path) -> None:
    for revision in ("step0", "step100", "step1000"):
        change(run_copy, "checkpoints", revision, loss=None, anisotropy=None, singular_entropy=None)
    with pytest.raises(
        DegenError,
        match=r"no checkpoint .*name another metric with --metric \(the run has anisotropy_across, perplexity, ",
    ):
        find_curves(run_copy, warn=no_warning)
    assert find_curves(run_copy, metrics=["perplexity"], warn=no_warning)[0].metric == "perplexity"


def test_a_run_of_failures_has_no_values_and_one_of_copies_is_refused(run_copy: Path) -> None:
    for revision in ("step0", "step100", "step1000"):
        change(run_copy, "checkpoints", revision, status="failed")
    curves = find_curves(run_copy, warn=no_warning)
    assert [curve.metric for curve in curves] == ["loss", "anisotropy", "singular_entropy"]
    assert all(np.isnan(curve.values).all() for curve in curves)
    for revision in ("step0", "step100", "step1000"):
        change(run_copy, "checkpoints", revision, status="duplicate")
    with pytest.raises(DegenError, match="every row with a step is a copy of another revision"):
        find_curves(run_copy, warn=lambda line: None)
    (run_copy / "run.json").write_text("{")
    with pytest.raises(DegenError, match=r"run\.json: damaged"):
        find_curves(run_copy, warn=no_warning)


def test_curves_of_a_run_with_failed_checkpoints_are_read(series: Path, corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(series, tmp_path / "s")
    make_checkpoint(tmp_path / "s" / "step300")
    weights = tmp_path / "s" / "step300" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    degen.scan(tmp_path / "s", corpus=corpus, out=tmp_path / "run", **SCAN)
    loss = find_curves(tmp_path / "run", metrics=["loss"], warn=no_warning)[0]
    assert np.isnan(loss.values).tolist() == [False, False, True, False]
