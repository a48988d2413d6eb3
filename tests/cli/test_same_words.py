"""The same words for the same options in all commands; former names go on working."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.command import degen
from tiny import make_checkpoint, make_tokenizer


def test_files_go_out_by_o_and_former_names_go_on_working(run_copy: Path, tmp_path: Path) -> None:
    for number, flag in enumerate(("-o", "--out", "--to")):
        file = tmp_path / f"{number}.csv"
        exported = degen("export", run_copy, "--table", "checkpoints", flag, file)
        assert (exported.code, exported.out) == (0, f"{file}: 3 rows of checkpoints\n")
        verdicts = tmp_path / f"verdicts{number}.csv"
        assert f"{verdicts}: 3 rows of saturation" in degen("saturation", run_copy, flag, verdicts).err
        assert file.read_bytes() == (tmp_path / "0.csv").read_bytes()
        assert verdicts.read_bytes() == (tmp_path / "verdicts0.csv").read_bytes()
    assert "of which table?" in degen("export", run_copy, "-o", tmp_path / "a.csv").message
    assert "nothing to write to" in degen("export", run_copy, "--table", "checkpoints").message


@pytest.mark.parametrize("flag", ["--at", "--by"])
def test_what_checkpoints_have_in_common_goes_by_both_names(flag: str, run_copy: Path) -> None:
    assert degen("compare", run_copy, run_copy, flag, "step").code == 0
    assert "--at hours: not one of step, tokens" in degen("compare", run_copy, run_copy, flag, "hours").message


def test_an_unknown_metric_is_better_lower_everywhere_with_the_same_warning(tmp_path: Path) -> None:
    rows = "".join(f"m{k},{10**k},{2 * 10**k},100,{5 - k / 10},{k / 10}\n" for k in range(6, 10))
    (tmp_path / "t.csv").write_text("model,parameters,tokens,step,loss,brier\n" + rows, encoding="utf-8")
    warning = (
        "brier: the name does not tell whether lower or higher is better; lower is assumed, use --better brier=max"
    )
    table = tmp_path / "t.csv"
    commands: list[tuple[object, ...]] = [
        ("saturation", table, "--metric", "brier"),
        ("scaling", "slopes", table, "--downstream", "brier"),
        ("scaling", "pareto", table, "--downstream", "brier"),
    ]
    for command in commands:
        assert warning in degen(*command).err
        for said in ("max", "brier=max"):
            assert "the name does not tell" not in degen(*command, "--better", said).err
        assert "not one of min, max" in degen(*command, "--better", "brier=up").message
        assert "briar" in degen(*command, "--better", "briar=max").message
        assert "twice" in degen(*command, "--better", "max", "--better", "min").message
    by_former_name = degen(*commands[2], "--direction", "brier=max", "--json")
    assert by_former_name.json() == degen(*commands[2], "--better", "brier=max", "--json").json()


def test_a_model_of_few_learned_positions_is_scanned_at_those_and_told_so(tmp_path: Path) -> None:
    make_tokenizer(tmp_path / "short")
    make_checkpoint(tmp_path / "short" / "step1", "gpt2", n_positions=128)
    result = degen("scan", tmp_path / "short", "--tokens", 300, "--threads", 1, "-o", tmp_path / "run")
    assert result.code == 0
    assert "short@step1 has 128 learned positions: windows of up to 128 tokens, not 512" in result.err
