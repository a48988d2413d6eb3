"""`degen delta` as a user meets it: adapters in, dimensions out."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
import torch
from adapters import make_adapter
from deltas import LINEAR, READ, TASK, train
from faults.command import degen
from safetensors.torch import load_file, save_file
from tiny import make_checkpoint

from degen.delta import measure_deltas


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("delta") / "base", "llama")


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tmp_path_factory.mktemp("delta") / "mine", base, READ["lora"][1]())


@pytest.fixture(scope="module")
def series(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return five adapters of one training, as a Trainer leaves them."""
    from peft import LoraConfig

    folder = tmp_path_factory.mktemp("delta") / "training"
    return train(folder, base, LoraConfig(r=4, target_modules=LINEAR, **TASK), steps=10, save_every=2)


@pytest.fixture(scope="module")
def fine_tune(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a series of whole checkpoints: the base, then two along a straight line of rank 1 in every matrix."""
    folder = tmp_path_factory.mktemp("delta") / "fine-tune"
    for step in (0, 100, 200):
        at = Path(shutil.copytree(base, folder / f"step{step}"))
        tensors = load_file(base / "model.safetensors")
        for tensor in tensors.values():
            if tensor.dim() == 2:
                tensor += step / 100 * torch.ones(len(tensor), 1) @ torch.linspace(-1, 1, tensor.shape[1])[None]
        save_file(tensors, at / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_an_adapter_is_put_beside_the_base_that_it_names(adapter: Path, tmp_path: Path) -> None:
    out, spectra = tmp_path / "d.parquet", tmp_path / "s.csv"
    result = degen("delta", adapter, "-o", out, "--spectra", spectra)
    assert result.code == 0
    assert [line.split(": ")[0] for line in result.err.splitlines()] == [str(out), str(spectra)]
    for words in ("reparameterization", "model.layers.*.self_attn.q_proj", "Memory of training", "whole model", "yes"):
        assert words in result.out
    table = pl.read_parquet(out)
    assert table["rank"].to_list() == [4] * len(table)
    assert table["relative_norm"].null_count() == 0
    values = pl.read_csv(spectra)
    for row in table.iter_rows(named=True):
        own = values.filter(pl.col("module") == row["module"])["singular_value"]
        assert (own**2).sum() ** 0.5 == pytest.approx(row["norm"])
        assert own[0] == pytest.approx(row["spectral_norm"])


def test_every_module_is_a_line_of_its_own_where_asked(adapter: Path) -> None:
    result = degen("delta", adapter, "--modules", "--no-base")
    assert result.code == 0
    for layer in (0, 1):
        assert f"model.layers.{layer}.self_attn.q_proj" in result.out
    assert "amplification" not in result.out
    assert "its base is not known" not in result.out
    assert result.err == ""


def test_the_base_may_stand_in_front_or_behind(adapter: Path, base: Path) -> None:
    documents = [
        degen("delta", *arguments, "--json").json()
        for arguments in ((adapter,), (f"{base}+{adapter}",), (adapter, "--base", base))
    ]
    assert documents[0]["rows"] == documents[1]["rows"] == documents[2]["rows"]


def test_a_series_of_adapters_has_a_trajectory(series: Path) -> None:
    result = degen("delta", series)
    assert result.code == 0
    assert "training over training, medians" in result.out
    assert "effective rank ▁" in result.out or "effective rank █" in result.out
    document = degen("delta", series, "--json").json()
    assert sorted({row["step"] for row in document["rows"]}) == [2, 4, 6, 8, 10]
    assert {row["model"] for row in document["rows"]} == {"training"}
    (trajectory,) = document["trajectories"]
    assert trajectory["points"] == 4
    assert 1 <= trajectory["participation_ratio"] <= 4
    assert f"participation ratio {trajectory['participation_ratio']:.4g}" in result.out
    few = degen("delta", series, "--steps", "2,10", "--json").json()
    assert {row["step"] for row in few["rows"]} == {2, 10}
    assert few["trajectories"] == []


def test_whole_checkpoints_are_taken_against_their_first(fine_tune: Path) -> None:
    document = degen("delta", fine_tune, "--json").json()
    rows = [row for row in document["rows"] if row["columns"] != 1]
    assert {row["step"] for row in rows} == {100, 200}
    assert {row["rank"] for row in rows} == {1}
    (trajectory,) = document["trajectories"]
    assert trajectory["participation_ratio"] == pytest.approx(1.0, abs=1e-4)
    assert trajectory["lengths"][1] == pytest.approx(2 * trajectory["lengths"][0], rel=1e-4)


def test_one_whole_checkpoint_needs_a_base(fine_tune: Path, base: Path) -> None:
    tuned = fine_tune / "step100"
    assert "name what it began from with --base" in degen("delta", tuned).message
    rows = degen("delta", tuned, "--base", base, "--json").json()["rows"]
    assert {row["kind"] for row in rows} == {"partial"}
    assert {row["taxonomy"] for row in rows} == {"specification"}


def test_several_adapters_are_put_together(adapter: Path, base: Path, tmp_path: Path) -> None:
    other = make_adapter(tmp_path / "other", base, READ["lora"][1](), seed=5)
    result = degen("delta", adapter, f"again={adapter}", other)
    assert result.code == 0
    assert "Together: overlap of subspaces" in result.out
    document = degen("delta", adapter, f"again={adapter}", other, "--json").json()
    overlaps = {(row["model"], row["other"]): row for row in document["overlaps"] if row["module"] == "lm_head"}
    assert overlaps["mine", "again"]["overlap_output"] == pytest.approx(1.0)
    assert overlaps["mine", "other"]["overlap_output"] < 0.5
    (total,) = [row for row in document["sums"] if row["module"] == "lm_head"]
    assert (total["rank_sum"], total["rank"]) == (12, 8)


def test_a_checkpoint_that_cannot_be_read_loses_no_other(series: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(series, tmp_path / "training"))
    (copied / "checkpoint-4" / "adapter_model.safetensors").write_bytes(b"nothing")
    result = degen("delta", copied, "--json")
    assert result.code == 4
    assert {row["step"] for row in result.json()["rows"]} == {2, 6, 8, 10}
    assert "training@checkpoint-4" in result.json()["failed"]
    assert "1 of 5 could not be read" in result.message


def test_costs_are_those_of_its_parameters_beside_all(adapter: Path, base: Path) -> None:
    costs = {(row["dtype"], row["optimizer"]): row for row in degen("delta", adapter, "--json").json()["costs"]}
    stored = load_file(adapter / "adapter_model.safetensors")
    trained = sum(tensor.numel() for key, tensor in stored.items() if "lora" in key)
    whole = sum(tensor.numel() for tensor in load_file(base / "model.safetensors").values())
    assert costs["float32", "adamw"]["trained"] == trained
    assert costs["float32", "adamw"]["state_bytes"] == 8 * trained
    assert costs["bfloat16", "adamw"]["full_state_bytes"] == 4 * whole


def test_a_scan_shows_and_exports_the_table(adapter: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert degen("scan", adapter, "--probes", "delta", "-o", run).code == 0
    shown = degen("show", run)
    assert "mine@main, its update" in shown.out
    assert "model.layers.*.self_attn.q_proj" in shown.out
    assert "delta_dimension" in shown.out
    assert degen("export", run, "--table", "delta", "--to", tmp_path / "d.csv").code == 0
    assert pl.read_csv(tmp_path / "d.csv").height == 7
    assert degen("gate", run, "--rule", "delta.rank <= 4").code == 0
    assert degen("gate", run, "--rule", "delta.rank < 4").code == 1
    plan = degen("scan", adapter, "--probes", "delta", "--dry-run", "--json").json()["rows"]
    assert plan[0]["bytes"] > (adapter / "adapter_model.safetensors").stat().st_size


def test_from_python(adapter: Path) -> None:
    result = measure_deltas([str(adapter)])
    assert result.table().schema.field("rank").metadata[b"definition"].startswith(b"numerical rank")
    assert result.table().num_rows == len(result.rows()) == 7
    assert result.spectra().num_rows == 7 * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere: no such folder or file"),
        (("{adapter}", "--base", "nowhere"), "nowhere: no such folder or file"),
        (("{adapter}", "--base", "{base}", "--no-base"), "give one of them"),
        (("{adapter}", "--out", "d.txt"), "ends in none of"),
        (("{adapter}", "--spectra", "d.txt"), "ends in none of"),
        (("{adapter}", "{adapter}"), "would both be called"),
        (("{base}",), "name what it began from with --base"),
        (("{base}+{base}", "--base", "{base}"), "nothing to measure"),
    ],
)
def test_mistakes_get_one_message(arguments: tuple[str, ...], message: str, adapter: Path, base: Path) -> None:
    words = [word.replace("{adapter}", str(adapter)).replace("{base}", str(base)) for word in arguments]
    result = degen("delta", *words)
    assert result.code == 2
    assert message in result.message
    assert result.out == ""
