"""Rules about figures of updates, by module: of a run, of its table, and of a file that `degen delta` wrote."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
from adapters import make_adapter
from deltas import LINEAR, TASK, train
from tiny import make_checkpoint

import degen
from degen import DegenError
from degen.delta import measure_deltas
from degen.gate.judge import judge
from degen.gate.parser import parse_rule


def verdicts(target: Path, *rules: str) -> dict[tuple[str | None, int | None], str]:
    """Return the verdict of each module at each step."""
    outcomes = judge([parse_rule(rule) for rule in rules], target, warn=lambda line: None).outcomes
    return {(o.measured.place, o.measured.step): o.verdict for o in outcomes}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("gate") / "base", "llama")


@pytest.fixture(scope="module")
def training(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two adapters of one training, with a head that is trained whole."""
    from peft import LoraConfig

    config = LoraConfig(r=4, target_modules=LINEAR, modules_to_save=["lm_head"], **TASK)
    return train(tmp_path_factory.mktemp("gate") / "training", base, config, steps=4, save_every=2)


@pytest.fixture(scope="module")
def scanned(training: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return degen.scan(training, probes=["delta"], out=tmp_path_factory.mktemp("gate") / "run").path


@pytest.fixture(scope="module")
def written(training: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("gate") / "delta.parquet"
    pq.write_table(measure_deltas([str(training)]).table(), file)
    return file


def test_a_run_its_table_and_a_file_have_the_same_verdicts(scanned: Path, written: Path) -> None:
    for rule in (
        "delta.rank < 8",
        "delta.rank[step=all] < 8",
        "delta.relative_norm.rise < 0.5",
        "delta.total_share < 1",
    ):
        found = verdicts(scanned, rule)
        assert found == verdicts(written, rule) == verdicts(scanned / "delta", rule)
        assert set(found.values()) <= {"passed", "failed"}
    ranks = verdicts(scanned, "delta.rank < 8")
    assert ranks.pop(("module lm_head", 4)) == "failed"
    assert set(ranks.values()) == {"passed"}
    assert len(ranks) == 6


def test_a_module_is_selected_by_its_name(scanned: Path, written: Path) -> None:
    rule = "delta.rank[module=model.layers.1.mlp.down_proj] <= 4"
    expected = {("module model.layers.1.mlp.down_proj", 4): "passed"}
    assert verdicts(scanned, rule) == verdicts(written, rule) == expected


def test_whether_the_head_is_touched_is_one_value(scanned: Path, written: Path) -> None:
    for target in (scanned, written):
        assert verdicts(target, "delta.head_touched < 1") == {(None, 4): "failed"}
        assert verdicts(target, "delta.embedding_touched < 1") == {(None, 4): "passed"}


def test_a_csv_without_steps_is_read(base: Path, tmp_path: Path) -> None:
    from peft import LoraConfig

    adapter = make_adapter(tmp_path / "one", base, LoraConfig(r=4, target_modules=LINEAR, **TASK))
    file = tmp_path / "delta.csv"
    csv.write_csv(measure_deltas([str(adapter)]).table(), file)
    assert set(verdicts(file, "delta.rank <= 4").values()) == {"passed"}
    assert set(verdicts(file, "delta.rank < 4").values()) == {"failed"}


def test_a_module_that_was_not_measured_is_undecidable(written: Path, tmp_path: Path) -> None:
    rows = pq.read_table(written).to_pylist()
    for row in rows:
        if row["module"] == "lm_head":
            row |= {"rank": None, "reason": "it holds NaN or infinity"}
    file = tmp_path / "delta.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(written)), file)
    outcomes = judge([parse_rule("delta.rank < 99")], file, warn=lambda line: None).outcomes
    (missing,) = [o for o in outcomes if o.verdict == "undecidable"]
    assert missing.measured.place == "module lm_head"
    assert "NaN or infinity" in str(missing.reason)


def test_figures_that_vectors_do_not_have_are_no_gap(tmp_path: Path) -> None:
    """Of a series of whole checkpoints: norms and biases have no rank, the first checkpoint no update."""
    from tiny import make_series

    series = make_series(tmp_path / "series", steps=(0, 1, 2))
    run = degen.scan(series, probes=["delta"], out=tmp_path / "run").path
    found = verdicts(run, "delta.stable_rank[step=all] < 99")
    assert {step for _, step in found} == {1, 2}
    assert set(found.values()) == {"passed"}
    assert not any(str(place).endswith("bias") for place, _ in found)
    assert any(str(place).endswith("bias") for place, _ in verdicts(run, "delta.norm > 0"))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("delta.rnk < 3", "did you mean 'rank'"),
        ("delta.kind < 3", "holds text"),
        ("delta.rank[module=lmhead] < 3", "did you mean 'lm_head'"),
        ("delta.rank[layer=1] < 3", "select it with module="),
        ("delta_rank[module=lm_head] < 3", "only figures of updates and weights are of a module"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(rule: str, message: str, scanned: Path) -> None:
    with pytest.raises(DegenError, match=message):
        verdicts(scanned, rule)


def test_a_run_without_updates_is_undecidable(run: degen.Run) -> None:
    assert set(verdicts(run.path, "delta.rank < 8").values()) == {"undecidable"}
