"""Tables as people have them: several corpora in one, validation beside training losses; and what was understood."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from faults.command import degen
from made_points import BESIROGLU, noisy

from degen.laws.law import Law

LAWS = {name: replace(BESIROGLU, E=end) for name, end in (("x", 1.62), ("y", 1.72), ("z", 1.8))}
# of a sweep logged to wandb: an over-fitted configuration has the lowest training loss
SWEEP = """Name,n_params,n_layer,n_embd,iter,Runtime,train/loss,val/loss
config-0,10745088,6,384,5000,732,1.0381,1.4786
config-1,10843392,6,384,5000,1521,0.3324,2.0294
config-2,10695936,6,384,5000,337,0.9512,1.4932
config-3,10745088,6,384,5000,680,3.3154,3.3593
config-12,10646784,6,384,5000,1343,0.5354,1.8103
config-14,10646784,6,384,5000,719,1.0485,1.5589
config-16,10745088,6,384,5000,726,1.0512,1.4668
"""


def corpora(file: Path, laws: dict[str, Law] = LAWS, head: str = "name,dataset,params,tokens,loss") -> Path:
    """Write 20 models of each of some corpora: the same sizes and tokens, other losses."""
    rows = [head]
    for seed, (corpus, law) in enumerate(laws.items()):
        n = np.repeat([1.1e7, 4e7, 1.1e8, 2.3e8, 4e8], 4)
        d = n * np.tile([5, 20, 80, 320], 5)
        loss = noisy(law.loss(n, d), 0.002, seed)
        rows += [
            f"{corpus}-{i},{corpus},{a:.0f},{b:.0f},{c:.4f}" for i, (a, b, c) in enumerate(zip(n, d, loss, strict=True))
        ]
    file.write_text("\n".join(rows) + "\n")
    return file


def test_three_corpora_in_one_table_are_not_fitted_as_one_in_silence(tmp_path: Path) -> None:
    result = degen("scaling", "fit", corpora(tmp_path / "t.csv"), "--bootstrap", 0)
    assert result.code == 0
    (line,) = [line for line in result.err.splitlines() if "--by" in line]
    assert line.startswith("warning: rows that differ in column 'dataset' (x, y, z) do not follow one law")
    assert "--by dataset fits each by itself" in line


def test_by_fits_each_corpus_and_finds_its_law(tmp_path: Path) -> None:
    file, out = corpora(tmp_path / "t.csv"), tmp_path / "o.parquet"
    fixed = [part for name in ("alpha", "beta") for part in ("--fix", f"{name}={getattr(BESIROGLU, name)}")]
    result = degen("scaling", "fit", file, "--by", "dataset", "--bootstrap", 40, *fixed, "--json", "-o", out)
    assert result.code == 0
    assert "--by" not in result.err
    document = result.json()
    assert (document["by"], [part["value"] for part in document["results"]]) == ("dataset", ["x", "y", "z"])
    for part in document["results"]:
        assert part["parameters"]["E"]["low"] < LAWS[part["value"]].E < part["parameters"]["E"]["high"]
        assert part["source"]["rows"] == 20
    assert document["source"]["rows"] == 60
    assert [row["dataset"] for row in document["rows"]] == [name for name in "xyz" for _ in range(20)]
    written = pq.read_table(out)
    assert written.column_names[0] == "dataset"
    assert written.to_pylist() == document["rows"]
    printed = degen("scaling", "fit", file, "--by", "dataset", "--bootstrap", 0, *fixed).out
    assert "fitted to each dataset by itself: x (20 points), y (20 points), z (20 points)" in printed
    assert [line.split()[0] for line in printed.splitlines()[1:] if " E " in line] == ["x", "y", "z"]


def test_repeats_that_nothing_tells_apart_are_one_law(tmp_path: Path) -> None:
    file = corpora(tmp_path / "t.csv", dict.fromkeys("abc", BESIROGLU), "name,seed,params,tokens,loss")
    assert "warning" not in degen("scaling", "fit", file, "--bootstrap", 0).err


def test_a_value_whose_rows_cannot_be_fitted_loses_no_other(tmp_path: Path) -> None:
    file = corpora(tmp_path / "t.csv")
    file.write_text(file.read_text() + "w-1,w,1e8,1e9,3.5\nv-1,,1e8,1e9,3.5\n")
    result = degen("scaling", "fit", file, "--by", "dataset", "--bootstrap", 0, "--json")
    assert result.code == 0
    assert len(result.json()["results"]) == 3
    (failed,) = result.json()["failed"]
    assert failed["value"] == "w"
    assert "1 point is too few" in failed["reason"]
    assert "dataset = w has no result" in result.err
    assert "left out: 1 row without dataset" in result.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--by", "datasets"), "has no column 'datasets'; did you mean 'dataset'"),
        (("--by", "name"), "the column has 60 values, and at most 50 can be judged"),
        (("--by", "dataset", "--plot", "law.png"), "a figure shows one result; leave out --by or --plot"),
    ],
)
@pytest.mark.parametrize("command", ["fit", "slopes", "pareto"])
def test_wrong_uses_of_by_are_errors(command: str, options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    result = degen("scaling", command, corpora(tmp_path / "t.csv"), *options)
    assert result.code == 2
    assert message in result.message


def test_by_is_refused_where_every_value_fails(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("kind,params,tokens,loss\na,1e8,1e9,3\nb,1e8,1e9,3\n")
    assert "kind = a: " in degen("scaling", "fit", tmp_path / "t.csv", "--by", "kind").message


def test_slopes_and_frontiers_are_judged_by_group(tmp_path: Path) -> None:
    file, out = corpora(tmp_path / "t.csv"), tmp_path / "o.csv"
    slopes = degen("scaling", "slopes", file, "--by", "dataset", "--architecture", "dataset", "--json", "-o", out)
    assert [part["value"] for part in slopes.json()["results"]] == ["x", "y", "z"]
    alone = degen("scaling", "slopes", file, "--architecture", "dataset", "--json").json()["rows"]
    assert [{**row, "dataset": row["architecture"]} for row in alone] == slopes.json()["rows"]
    assert out.read_text().startswith('"dataset","architecture"')
    pareto = degen("scaling", "pareto", file, "--by", "dataset", "--json").json()
    best = {(row["dataset"], row["point"]) for row in pareto["rows"] if row["frontier"]}
    assert {corpus for corpus, _ in best} == {"x", "y", "z"}
    pooled = degen("scaling", "pareto", file, "--json").json()["rows"]
    assert {row["point"][0] for row in pooled if row["frontier"]} == {"x"}
    for command in ("slopes", "pareto"):
        options = ("--architecture", "dataset") if command == "slopes" else ()
        printed = degen("scaling", command, file, "--by", "dataset", *options).out
        assert any(line.split()[:1] == ["dataset"] for line in printed.splitlines())


def test_pareto_takes_the_validation_loss_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(SWEEP)
    result = degen("scaling", "pareto", tmp_path / "t.csv", "--json")
    document = result.json()
    assert {row["quality"] for row in document["frontiers"]} == {"val/loss"}
    assert {row["cost"] for row in document["frontiers"]} == {"parameters", "Runtime"}
    best = {row["point"] for row in document["rows"] if row["frontier"]}
    assert best == {"config-2", "config-14", "config-16"}
    assert "loss is read from column 'val/loss', not from 'train/loss', of the training data" in result.err
    assert document["source"]["columns"] == {
        "model": "Name", "parameters": "n_params", "seconds": "Runtime", "upstream": "val/loss",
    }  # fmt: skip
    chosen = degen("scaling", "pareto", tmp_path / "t.csv", "--columns", "loss=train/loss", "--json")
    assert {row["quality"] for row in chosen.json()["frontiers"]} == {"train/loss"}
    assert "config-1" in {row["point"] for row in chosen.json()["rows"] if row["frontier"]}
    assert "not from" not in chosen.err


def test_perplexity_of_kept_data_goes_before_a_training_loss(tmp_path: Path) -> None:
    rows = [f"m{i},{1e8 * 2**i},{2e9 * 3**i},{3 - 0.1 * i},{np.exp(3.1 - 0.1 * i)}" for i in range(5)]
    (tmp_path / "t.csv").write_text("\n".join(["model,params,tokens,train_loss,valid_ppl", *rows]))
    pareto = degen("scaling", "pareto", tmp_path / "t.csv", "--json").json()
    assert {row["quality"] for row in pareto["frontiers"]} == {"valid_ppl"}
    fitted = degen("scaling", "fit", tmp_path / "t.csv", "--law", "kaplan", "--bootstrap", 0, "--json").json()
    assert [row["loss"] for row in fitted["rows"]] == pytest.approx([3.1 - 0.1 * i for i in range(5)])
    assert fitted["source"]["columns"]["loss"] == "(ln valid_ppl)"


def test_what_was_understood_is_one_line_and_in_the_json(tmp_path: Path) -> None:
    rows = [f"m{i},{1e8 * 2**i},{1.2e18 * 5**i},{3 - 0.1 * i}" for i in range(6)]
    table = "\n".join(["Name,numParams,total_flops,eval/loss", *rows, rows[0], "m9,1e9,1e19,"])
    (tmp_path / "t.csv").write_text(table)
    result = degen("scaling", "fit", tmp_path / "t.csv", "--law", "kaplan", "--form", "D", "--bootstrap", 0, "--json")
    source = json.loads(result.out)["source"]
    assert source["columns"] == {"model": "Name", "tokens": "(C/6N)", "loss": "eval/loss"}
    assert source["left_out"] == ["1 row that repeat other rows", "1 row without tokens or loss"]
    assert (source["kind"], source["rows"]) == ("table", 6)
    (line,) = [line for line in result.err.splitlines() if "eval/loss" in line]
    assert line == (
        f"{tmp_path / 't.csv'}: table, 6 rows, model from Name, tokens from (C/6N), loss from eval/loss, "
        "left out: 1 row that repeat other rows; 1 row without tokens or loss"
    )


def test_residuals_are_printed_and_counted_in_percent(tmp_path: Path) -> None:
    file = corpora(tmp_path / "t.csv", {"x": BESIROGLU})
    file.write_text(file.read_text() + f"far,x,1e8,2e9,{float(BESIROGLU.loss(1e8, 2e9)) * 1.1:.4f}\n")
    result = degen("scaling", "fit", file, "--bootstrap", 0, "--json")
    residuals = result.json()["residuals"]
    assert residuals["largest"][0] == {"name": "far", "percent": pytest.approx(10, abs=1)}
    printed = degen("scaling", "fit", file, "--bootstrap", 0).out
    assert "Residuals: typically 2" in printed
    assert "% of the loss; the largest far +10 %" in printed or "the largest far +9" in printed


def test_the_last_checkpoint_is_taken_within_each_group(tmp_path: Path) -> None:
    rows = [
        f"{corpus},m{i},{i}e8,{step}e9,{step},{3.5 - 0.2 * i - 0.1 * step + shift:.3f}"
        for corpus, shift in (("x", 0), ("y", 0.1))
        for i in range(1, 6)
        for step in (1, 2)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["corpus,model,params,tokens,step,loss", *rows]))
    result = degen("scaling", "pareto", tmp_path / "t.csv", "--by", "corpus", "--final", "--json")
    assert len(result.json()["rows"]) == 10
    assert result.json()["source"]["left_out"] == [
        "x: 5 rows before the last one of their model",
        "y: 5 rows before the last one of their model",
    ]
