from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faults.command import degen, python_process
from safetensors.torch import load_file
from tiny import make_checkpoint, make_model, make_series, make_tokenizer

from degen import Run, read_run
from degen.scanning.dry_run import estimate_costs, total_cost
from degen.scanning.settings import Settings

pytestmark = pytest.mark.usefixtures("own_folder")


def test_a_dry_run_loads_no_model_and_counts_all_tokens_and_bytes(
    series: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", loaded)
    rows = estimate_costs(Settings((str(series),), tokens=1000, context=64))
    assert [row["revision"] for row in rows] == ["step0", "step100", "step1000"]
    tensors = load_file(series / "step0" / "model.safetensors")
    model = make_model("gpt_neox")
    total = model.num_parameters()
    body = total - 2 * 416 * 32
    for row in rows:
        assert row["reason"] is None
        assert row["parameters"] == total
        assert row["bytes"] == sum(t.numel() * t.element_size() for t in tensors.values())
        assert row["memory"] > 4 * total
        assert row["flops"] == 1000 * (2 * (body + 416 * 32) + 2 * 4 * 32 * (64 + 1) / 2)


def test_a_dry_run_counts_what_probes_send_hold_and_keep_beside_the_pass(series: Path) -> None:
    def cost(*probes: str, **options: Any) -> dict[str, Any]:
        return estimate_costs(Settings((str(series),), tokens=1000, context=64, probes=probes, options=options))[0]

    plain = cost("loss")
    assert "kept" not in plain
    a_token = plain["flops"] / 1000
    assert cost("sinks")["flops"] == 6400 * a_token
    assert cost("loss", "sinks", sinks={"sequences": 10})["flops"] == 1640 * a_token
    fragile = cost("fragility", fragility={"tokens": 100, "draws": 2, "shares": [0.1, 0.2]})
    assert fragile["flops"] == 500 * a_token
    assert fragile["memory"] - plain["memory"] >= 4 * plain["parameters"]
    kept = cost("states", states={"positions": 10})
    assert kept["kept"] == 10 * 4 * 32 * 5  # three sites, the head's input, and rows of the head
    assert kept["flops"] == plain["flops"]
    assert cost("weights")["bytes"] == plain["bytes"]
    shown = degen("scan", series, "--probes", "states", "--dry-run")
    assert "kept" in shown.out
    assert "0.3 MB" in shown.out


def test_windows_longer_than_the_learned_positions_are_the_reason_of_a_checkpoint(tmp_path: Path) -> None:
    folder = make_series(tmp_path / "gpt2", steps=(1,), family="gpt2", n_positions=24)
    (row,) = estimate_costs(Settings((str(folder),), context=25))
    assert row["flops"] is None
    assert row["reason"] == "windows of 25 tokens, and the model has 24 learned positions; use --context 24"
    (row,) = estimate_costs(Settings((str(folder),), context=24))
    assert row["reason"] is None


def test_a_dry_run_of_weight_probes_counts_the_head_and_its_norm_alone(series: Path) -> None:
    rows = estimate_costs(Settings((str(series),), probes=("spectrum",)))
    assert {row["bytes"] for row in rows} == {(416 + 1) * 32 * 4}
    assert {row["flops"] for row in rows} == {0.0}


def test_a_checkpoint_that_cannot_be_measured_has_its_reason_in_a_dry_run(series: Path, tmp_path: Path) -> None:
    (tmp_path / "m" / "step5").mkdir(parents=True)
    (row,) = estimate_costs(Settings((str(tmp_path / "m"),)))
    assert row["bytes"] is row["flops"] is row["memory"] is None
    assert "no config.json" in row["reason"]


def test_the_total_leaves_out_checkpoints_that_cannot_be_measured() -> None:
    costs = [{"bytes": 3, "flops": 10.0}, {"bytes": None, "flops": None}, {"bytes": 4, "flops": 5.0}]
    assert total_cost(costs) == (7, 15.0)


BOTH = """
import sys
from degen.cli.start import main
for more in (["--dry-run", "--json"], ["-o", OUT]):
    sys.argv = ["degen", *sys.argv[1:WORDS], *more]
    try:
        main()
    except SystemExit as end:
        assert not end.code
    sys.stdout = sys.stderr
"""


def peak_of_a_scan(out: Path, *words: object) -> tuple[int, int]:
    """Return the memory that a dry run gives for a scan, and the peak of the scan, both in a process of their own."""
    code = BOTH.replace("OUT", repr(str(out))).replace("WORDS", str(2 + len(words)))
    result = python_process(code, "scan", *words)
    assert result.code == 0, result.err
    estimated = result.json()["rows"]
    measured = read_run(out).table("timing")["peak_rss"].to_pylist()
    return max(row["memory"] for row in estimated), max(measured)


@pytest.mark.parametrize("probes", ["loss,anisotropy,spectrum", "spectrum"])
def test_the_memory_of_a_dry_run_is_that_of_the_scan(tmp_path: Path, probes: str) -> None:
    words = ("--steps", "3000", "--tokens", "10000", "--threads", "1", "--device", "cpu", "--probes", probes)
    estimated, measured = peak_of_a_scan(tmp_path / "demo", *words)
    assert estimated == pytest.approx(measured, rel=0.25)


def test_the_memory_of_a_larger_model_is_that_of_the_scan(tmp_path: Path) -> None:
    make_tokenizer(tmp_path / "large")
    make_checkpoint(
        tmp_path / "large" / "step1", hidden_size=1024, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=4096, vocab_size=8_000,
    )  # fmt: skip
    words = (tmp_path / "large", "--tokens", "600", "--context", "64", "--threads", "1", "--device", "cpu")
    estimated, measured = peak_of_a_scan(tmp_path / "run", *words, "--probes", "loss")
    assert estimated == pytest.approx(measured, rel=0.25)


def test_a_dry_run_refuses_what_the_scan_refuses(run: Run, series: Path, corpus: Path, tmp_path: Path) -> None:
    same = ("--corpus", corpus, "--tokens", "512", "--context", "32", "--threads", "1")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    cases: dict[str, tuple[object, ...]] = {
        "--device nowhere: not available here": ("--device", "nowhere"),
        "was scanned with other settings: seed 0 (now 1)": ("--seed", "1", "-o", run.path),
        "holds files and is no run folder": ("-o", tmp_path / "other"),
        "none.jsonl: no such file or folder": ("--corpus", tmp_path / "none.jsonl"),
    }
    for message, words in cases.items():
        messages = [degen("scan", series, *same, *words, *dry).message for dry in (["--dry-run"], [])]
        assert messages[0] == messages[1]
        assert message in messages[0]
    assert degen("scan", series, *same, "-o", run.path, "--dry-run").code == 0
    assert degen("scan", series, *same, "--seed", "1", "-o", run.path, "--fresh", "--dry-run").code == 0
