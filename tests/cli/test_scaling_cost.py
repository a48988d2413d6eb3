"""`degen scaling cost` as a user meets it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from faults.command import CommandResult, degen, degen_imports
from faults.spoil import make_gguf
from hub_scans import Scans, packed
from terminal import on_terminal

from degen.demo import series_paths
from degen.figures.figure import Figure

SMALL = "NL=16,DM=512,FF=2048,NH=8"
LLAMA = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
    "intermediate_size": 96, "vocab_size": 100,
}  # fmt: skip
FLOPS = 2 * (4 * (4 * 64 * 64 + 3 * 64 * 96 + 2 * 64) + 64 + 100 * 64)


def cost(*args: object) -> CommandResult:
    return degen("scaling", "cost", *args)


def rows_of(result: CommandResult) -> list[dict[str, Any]]:
    assert result.code == 0, result.err
    rows: list[dict[str, Any]] = result.json()["rows"]
    return rows


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def config(folder: Path, name: str = "config.json", **entries: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(LLAMA | entries))
    return folder / name


def test_a_shape_of_t5_has_the_published_parameters_and_its_knobs() -> None:
    (row,) = rows_of(cost("--t5", SMALL, "--json"))
    assert row["parameters"] / 1e6 == pytest.approx(133.92, rel=2e-4)  # google/t5-efficient-small-nl16
    knobs = {name: row[name] for name in ("layers", "d_model", "d_ff", "heads", "d_kv", "experts", "vocab_size")}
    assert knobs == dict(zip(knobs, (16, 512, 2048, 8, 64, 1, 32_128), strict=True))
    assert (row["model"], row["architecture"]) == ("NL16-DM512-FF2048-NH8", "T5ForConditionalGeneration")
    assert row["parameters_non_embedding"] == row["parameters"] - 32_128 * 512
    assert row["parameters_active"] == row["parameters"]
    assert row["flops_per_token"] == 3 * row["forward_flops_per_token"]
    assert (row["tokens"], row["flops"], row["reason"]) == (None, None, None)


def test_a_grid_is_a_row_for_each_combination(tmp_path: Path) -> None:
    rows = rows_of(cost("--t5", "NL=4:8,DM=512:1024,FF=2048,NH=8", "--t5", SMALL, "--json"))
    assert [(row["layers"], row["d_model"]) for row in rows] == [(4, 512), (4, 1024), (8, 512), (8, 1024), (16, 512)]
    rows = rows_of(
        cost(config(tmp_path), "--set", "num_hidden_layers=2:4", "--set", "hidden_size=64:128,vocab_size=99", "--json")
    )
    assert [(r["layers"], r["d_model"], r["vocab_size"]) for r in rows] == [
        (layers, width, 99) for layers in (2, 4) for width in (64, 128)
    ]
    assert rows[0]["model"] == f"{tmp_path.name} num_hidden_layers=2 hidden_size=64 vocab_size=99"


def test_a_configuration_is_a_file_or_a_folder_with_it_and_needs_no_weights(tmp_path: Path) -> None:
    file = config(tmp_path / "tiny")
    config(tmp_path, "other.json", num_hidden_layers=2)
    rows = rows_of(cost(file, f"again={file.parent}", tmp_path / "other.json", "--json"))
    assert [(row["model"], row["layers"]) for row in rows] == [("tiny", 4), ("again", 4), ("other", 2)]
    assert rows[0]["forward_flops_per_token"] == FLOPS
    assert rows[0] | {"model": ""} == rows[1] | {"model": ""}


def test_a_gguf_file_is_a_configuration_whose_entries_cannot_be_changed(tmp_path: Path) -> None:
    file = make_gguf(tmp_path / "model.gguf")
    (row,) = rows_of(cost(file, "--json"))
    assert (row["model"], row["d_model"]) == ("model", 32)
    result = cost(file, "--set", "hidden_size=64")
    assert result.code == 2
    assert "has no config.json whose entries could be changed" in result.message


def test_checkpoints_of_one_folder_are_one_model(series: Path) -> None:
    (row,) = rows_of(cost(series / "step0", series / "step1000", "--json"))
    assert row["model"] == series.name


def test_the_bundled_series_are_a_row_each() -> None:
    rows = rows_of(cost(*series_paths(), "--json"))
    assert [row["model"] for row in rows] == [path.name for path in series_paths()]


def test_of_a_model_on_the_hub_its_config_json_alone_is_fetched(scans: Scans, series: Path) -> None:
    files = packed(series / "step1000")
    scans.add("org/m", {"main": files, "step1000": files})
    (row,) = rows_of(cost("org/m@step*", "--json"))
    assert (row["model"], row["layers"], row["architecture"]) == ("m", 2, "GPTNeoXForCausalLM")
    rows = rows_of(cost("org/m", "--set", "num_hidden_layers=1:3", "--json"))
    assert [(r["model"], r["layers"]) for r in rows] == [("m num_hidden_layers=1", 1), ("m num_hidden_layers=3", 3)]
    fetched = {request.path.rpartition("/")[2] for request in scans.hub.requests if "/resolve/" in request.path}
    assert fetched == {"config.json"}


def test_a_model_that_the_hub_does_not_have_ends_in_one_message(scans: Scans) -> None:
    scans.add("org/m", {"main": {"README.md": b"a"}})
    assert "no config.json" in cost("org/m").message
    assert "org/absent" in cost("org/absent").message


def test_tokens_add_the_flops_of_training(tmp_path: Path) -> None:
    (row,) = rows_of(cost(config(tmp_path), "--tokens", "2e9", "--json"))
    assert (row["tokens"], row["flops"]) == (2e9, 2e9 * 3 * FLOPS)


def test_a_context_adds_the_scores_of_attention(tmp_path: Path) -> None:
    file = config(tmp_path)
    (row,) = rows_of(cost(file, "--context", 128, "--json"))
    assert row["forward_flops_per_token"] == FLOPS + 4 * 4 * 64 * (128 + 1) / 2
    both = rows_of(cost("--t5", SMALL, "--context", 128, "--json"))[0]["forward_flops_per_token"]
    short = rows_of(cost("--t5", SMALL, "--context", 128, "--target", 16, "--json"))[0]["forward_flops_per_token"]
    assert (
        both == rows_of(cost("--t5", SMALL, "--context", 128, "--target", 128, "--json"))[0]["forward_flops_per_token"]
    )
    assert short < both  # of the decoder's tokens, which meet the head and more projections, there are fewer


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_file_goes_straight_into_pareto_and_shapes(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"grid.{ending}"
    assert cost("--t5", "NL=2:4:8:16:24:32,DM=512,FF=2048,NH=8", "--tokens", "3.4e10", "-o", file).code == 0
    if ending == "parquet":
        table = pq.read_table(file)
        assert table.schema.field("flops").metadata[b"unit"] == b"FLOPs"
        rows = table.to_pylist()
    else:
        rows = read_csv(file)
    scored = [row | {"loss": 4 - 0.1 * i + 0.01 * (i % 2), "accuracy": 0.3 + 0.1 * i} for i, row in enumerate(rows)]
    with (tmp_path / "scored.csv").open("w") as out:
        writer = csv.DictWriter(out, list(scored[0]))
        writer.writeheader()
        writer.writerows(scored)
    result = degen("scaling", "pareto", tmp_path / "scored.csv", "--json")
    assert result.code == 0, result.err
    assert "warning" not in result.err
    assert {pair["cost"] for pair in result.json()["frontiers"]} == {"parameters", "flops"}
    assert "no column layers" not in result.out
    shapes = degen("scaling", "shapes", tmp_path / "scored.csv", "--json")
    assert shapes.code == 0, shapes.err
    told = shapes.json()["rows"]
    assert {row["knob"] for row in told if row["elasticity"] is not None} == {"layers"}
    assert {row["reason"] for row in told if row["knob"] == "d_ff"} == {
        "one value of d_ff in the 6 models with loss",
        "one value of d_ff in the 6 models with accuracy",
    }


def test_every_format_of_a_file_is_written(tmp_path: Path) -> None:
    for ending in ("csv", "parquet", "json", "duckdb"):
        assert cost("--t5", SMALL, "-o", tmp_path / f"t.{ending}").code == 0
    assert json.loads((tmp_path / "t.json").read_text())[0]["parameters"] == 133_932_544
    file = config(tmp_path / "m")
    assert "would replace" in cost("--t5", SMALL, file, "-o", file).message


def test_a_model_without_costs_is_a_row_with_its_reason_and_the_others_are_kept(tmp_path: Path) -> None:
    good, bad = config(tmp_path / "good"), config(tmp_path, "bert.json", model_type="bert")
    (tmp_path / "cut.json").write_text("{")
    result = cost(good, bad, tmp_path / "cut.json", "--json", "-o", tmp_path / "out.csv")
    assert result.code == 4
    reasons = {row["model"]: row["reason"] for row in result.json()["rows"]}
    assert reasons["good"] is None
    assert reasons["bert"] == "model type 'bert' is an encoder; the costs are of causal LMs and of T5"
    assert "not JSON" in reasons["cut"]
    assert len(read_csv(tmp_path / "out.csv")) == 3
    grid = cost(good, "--set", "num_attention_heads=4:5", "--json")
    assert [row["reason"] is None for row in grid.json()["rows"]] == [True, False]


def test_a_single_model_without_costs_ends_in_one_message(tmp_path: Path) -> None:
    for result in (
        cost(config(tmp_path, "b.json", model_type="bert")),
        cost(config(tmp_path, "v.json", model_type="vit")),
    ):
        assert result.code == 2
        assert "model type" in result.message


MISTAKES = {
    "nothing": ((), "name a config.json, a checkpoint folder or a model on the hub, or give a shape, as in --t5"),
    "only entries": (("--set", "hidden_size=4"), "changes entries of a config.json, and none is named"),
    "no such file": (("absent",), "absent: no such folder or file"),
    "context 0": (("--t5", SMALL, "--context", 0), "--context 0: must be a number of tokens from 1"),
    "negative context": (("--t5", SMALL, "--context", -3), "--context -3: must be a number of tokens from 1"),
    "target alone": (("--t5", SMALL, "--target", 3), "--target 3: needs --context"),
    "tokens 0": (("--t5", SMALL, "--tokens", 0), "--tokens 0: must be a number of training tokens"),
    "tokens nan": (("--t5", SMALL, "--tokens", "nan"), "--tokens nan: must be a number of training tokens"),
    "tokens inf": (("--t5", SMALL, "--tokens", "inf"), "--tokens inf: must be a number of training tokens"),
    "ending": (("--t5", SMALL, "-o", "x.txt"), "x.txt: ends in none of"),
    "shape": (("--t5", "NL=4"), "lacks DM"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_end_in_one_message(name: str) -> None:
    args, message = MISTAKES[name]
    result = cost(*args)
    assert result.code == 2
    assert message in result.message


@pytest.mark.parametrize(
    ("entry", "message"),
    [("hidden_siz=4", "has no such entry; did you mean 'hidden_size'?"), ("hidden_size=0", "a whole number from 1"),
     ("hidden_size", "must be a name and its values"), ("hidden_size=99999999999", "a whole number from 1"),
     ("num_hidden_layers=5000", "is more than any model has"),
     ("hidden_size=" + ":".join(map(str, range(1, 10_002))), "a grid of 10,001 models; at most 10,000 fit")],
)  # fmt: skip
def test_entries_that_cannot_be_changed_end_in_one_message(tmp_path: Path, entry: str, message: str) -> None:
    result = cost(config(tmp_path), "--set", entry)
    assert result.code == 2
    assert message in result.message


def test_a_target_needs_an_encoder(tmp_path: Path) -> None:
    assert "only a model with an encoder has two sides" in cost(config(tmp_path), "--context", 9, "--target", 3).message


def test_two_files_of_one_name_need_a_label(tmp_path: Path) -> None:
    one, two = config(tmp_path / "a" / "m"), config(tmp_path / "b" / "m")
    assert "would be called 'm'; name one of them, as in other=" in cost(one, two).message
    assert len(rows_of(cost(one, f"other={two}", "--json"))) == 2


@pytest.mark.parametrize("more", [(), ("--tokens", "3.4e10", "--context", "512", "--target", "114")])
def test_a_grid_fits_a_terminal_of_80_columns(tmp_path: Path, more: tuple[str, ...]) -> None:
    code, text = on_terminal("scaling", "cost", "--t5", "NL=4:16,DM=512,FF=2048,NH=8", config(tmp_path), *more)
    assert code == 0
    assert max(map(len, text.splitlines())) <= 80
    assert "133932544" in text
    assert ("512 and 114" in text) == bool(more)


def test_a_long_grid_is_cut_on_a_screen_alone(tmp_path: Path) -> None:
    layers = ":".join(map(str, range(1, 151)))
    result = cost("--t5", f"NL={layers},DM=512,FF=2048,NH=8", "-o", tmp_path / "all.csv")
    assert "50 more rows; --json and --out have all" in result.out
    assert len(read_csv(tmp_path / "all.csv")) == 150


def test_shapes_of_t5_need_no_torch() -> None:
    result = degen_imports("scaling", "cost", "--t5", SMALL)
    assert result.code == 0
    assert result.err.splitlines()[-1] == "imported:"


def test_the_figure_shows_every_part_and_the_flops(tmp_path: Path, figures: list[Figure]) -> None:
    sparse = {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 1}
    models = [config(tmp_path / "dense"), config(tmp_path / "sparse", **sparse)]
    result = cost(*models, "--json", "--plot", tmp_path / "f.svg")
    rows = {row["model"]: row for row in rows_of(result)}
    assert (tmp_path / "f.svg").read_text().startswith("<svg")
    tables = figures[0].tables
    for model, row in rows.items():
        parts = {part["part"]: part["parameters"] for part in tables["parameters"] if part["model"] == model}
        assert sum(parts.values()) == row["parameters"]
        assert parts["embeddings and head"] == row["parameters"] - row["parameters_non_embedding"]
        idle = row["parameters"] - row["parameters_active"]
        assert parts.get("of experts a token is not sent to", 0) == idle
        assert bool(idle) == (model == "sparse")
    points = {row["model"]: (row["parameters"], row["flops_per_token"]) for row in tables["points"]}
    assert points == {model: (row["parameters"], row["flops_per_token"]) for model, row in rows.items()}
    assert all(row["flops_per_token"] == 6 * row["parameters"] for row in tables["line"])
