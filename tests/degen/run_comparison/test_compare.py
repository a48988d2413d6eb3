"""Two runs compared: by brute force, by identities, and where there is little in common."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_runs import make_run
from scipy import stats

from degen.errors import DegenError
from degen.run_comparison import Comparison, compare_runs
from degen.runs.run import read_run


def change(run: Path, model: str, step: int, table: str, column: str, values: list[float]) -> None:
    path = run / table / model / f"step{step}.parquet"
    part = pq.ParquetFile(path).read()
    i = part.schema.get_field_index(column)
    pq.write_table(part.set_column(i, part.schema.field(i), pa.array(values, part.schema.field(i).type)), path)


def set_info(run: Path, **entries: object) -> None:
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(info | entries))


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return make_run(tmp_path / "before", ("good", "bad"), 8, 2)


def compare(first: Path, second: Path, **options: object) -> Comparison:
    return compare_runs(read_run(first), read_run(second), **options)  # type: ignore[arg-type]


def test_paired_interval_is_that_of_brute_force(before: Path, tmp_path: Path) -> None:
    after = make_run(tmp_path / "after", ("good", "bad"), 8, 2)
    rng = np.random.default_rng(0)
    windows = pq.read_table(after / "windows" / "good" / "step7000.parquet")
    first = np.array(windows["loss"].to_pylist())
    second = first + rng.normal(0.1, 0.05, len(first))
    change(after, "good", 7000, "windows", "loss", second.tolist())
    tokens, documents = (np.array(windows[name].to_pylist(), dtype=float) for name in ("tokens", "document"))
    change(after, "good", 7000, "checkpoints", "loss", [float((second * tokens).sum() / tokens.sum())])
    change(before, "good", 7000, "checkpoints", "loss", [float((first * tokens).sum() / tokens.sum())])
    (row,) = [r for r in compare(before, after, metrics=("loss",)).rows if r["model"] == "good" and r["is_last"]]
    names = np.unique(documents)
    left_out = []
    for name in names:
        kept = documents != name
        left_out.append(((second - first)[kept] * tokens[kept]).sum() / tokens[kept].sum())
    error = math.sqrt((len(names) - 1) / len(names) * sum((x - np.mean(left_out)) ** 2 for x in left_out))
    reach = stats.t.ppf(0.95, len(names) - 1) * error
    assert row["difference"] == pytest.approx(((second - first) * tokens).sum() / tokens.sum(), rel=1e-12)
    assert [row["low"], row["high"]] == pytest.approx([row["difference"] - reach, row["difference"] + reach])
    assert row["paired"]
    assert row["verdict"] == "higher"


def test_a_run_does_not_differ_from_itself(before: Path) -> None:
    comparison = compare(before, before)
    assert len(comparison.rows) == 2 * 3 * 8
    assert {row["difference"] for row in comparison.rows} == {0.0}
    assert {row["verdict"] for row in comparison.rows if row["metric"] != "singular_entropy"} == {"same"}
    assert not any(row["differ"] for row in comparison.verdicts)
    assert len(comparison.verdicts) == 6
    assert sum(row["is_last"] for row in comparison.rows) == 6


def test_order_turns_the_sign_alone(before: Path, tmp_path: Path) -> None:
    after = make_run(tmp_path / "after", ("bad", "good"), 8, 2)
    there, back = compare(before, after), compare(after, before)
    of = {(row["model"], row["metric"], row["step"]): row for row in back.rows}
    opposite = {"higher": "lower", "lower": "higher", "same": "same", None: None}
    assert len(there.rows) == len(back.rows) > 0
    for row in there.rows:
        other = of[row["model"], row["metric"], row["step"]]
        assert row["difference"] == -other["difference"]
        assert opposite[row["verdict"]] == other["verdict"]
        if row["low"] is not None:
            assert (row["low"], row["high"]) == pytest.approx((-other["high"], -other["low"]), abs=1e-12)
    assert {row["metric"] for row in there.verdicts if row["differ"]} == {"loss", "anisotropy", "singular_entropy"}


def test_unpaired_metrics_add_their_errors(before: Path, tmp_path: Path) -> None:
    after = make_run(tmp_path / "after", ("good", "bad"), 8, 2)
    row = next(row for row in compare(before, after).rows if row["metric"] == "anisotropy")
    assert not row["paired"]
    reach = stats.t.ppf(0.95, 39) * math.hypot(0.004, 0.004)
    assert row["high"] - row["difference"] == pytest.approx(reach, rel=1e-9)


def test_other_text_is_said_and_not_paired(before: Path, tmp_path: Path) -> None:
    after = make_run(tmp_path / "after", ("good", "bad"), 8, 2)
    set_info(after, sample={"windows": {"0": {"documents": 40, "sha256": "6b" * 32}}})
    said: list[str] = []
    comparison = compare_runs(read_run(before), read_run(after), warn=said.append)
    assert len(said) == 1
    assert f"--sample {before / 'sample.parquet'}" in said[0]
    assert not any(row["paired"] for row in comparison.rows)


def test_checkpoints_of_equal_tokens_are_compared_where_no_step_is_shared(before: Path, tmp_path: Path) -> None:
    after = make_run(tmp_path / "after", ("good", "bad"), 8, 2)
    for step in range(0, 8000, 1000):
        for table in ("checkpoints", "windows"):
            for model in ("good", "bad"):
                path = after / table / model / f"step{step}.parquet"
                change(after, model, step, table, "step", [step + 7] * pq.read_metadata(path).num_rows)
    comparison = compare(before, after)
    assert comparison.unit == "tokens"
    assert [row["tokens"] for row in comparison.rows[:8]] == [2e9 * i for i in range(8)]


def test_one_model_each_is_compared_whatever_its_name(tmp_path: Path) -> None:
    first, second = (make_run(tmp_path / name, (name,), 4, 2) for name in ("narrow", "wide"))
    row = compare(first, second).rows[0]
    assert (row["model"], row["other_model"]) == ("narrow", "wide")


def test_models_in_one_run_alone_are_told(before: Path, tmp_path: Path) -> None:
    after = make_run(tmp_path / "after", ("good", "third"), 8, 2)
    comparison = compare(before, after)
    assert comparison.left_out == [f"bad: only in {before}", f"third: only in {after}"]
    assert {row["model"] for row in comparison.rows} == {"good"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ("los",)}, "did you mean 'loss'"),
        ({"pairs": {"god": "good"}}, "has no model 'god'; did you mean 'good'"),
        ({"confidence": 1.0}, "must lie between 0 and 1"),
    ],
)
def test_mistakes_say_what_to_do(options: dict[str, object], message: str, before: Path) -> None:
    with pytest.raises(DegenError, match=message):
        compare(before, before, **options)


def test_runs_with_nothing_in_common_are_refused(before: Path, tmp_path: Path) -> None:
    after = make_run(tmp_path / "after", ("x", "y"), 3, 2)
    with pytest.raises(DegenError, match=r"no model stands in both runs.*--pair FIRST=SECOND"):
        compare(before, after)
