"""Python code that a checkpoint brings runs where the user said so, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from faults.command import SMALL, degen
from tiny import make_series

from degen import read_run

CONFIGURATION = """
from pathlib import Path
from transformers import LlamaConfig
Path({witness!r}).write_text("ran")
class OwnConfig(LlamaConfig):
    model_type = "own_llama"
"""
MODELING = """
from transformers import LlamaForCausalLM
from .configuration_own import OwnConfig
class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def custom_code(tmp_path: Path, own_modules: Path) -> tuple[Path, Path]:
    """Make a series whose model type exists in its own code alone, and the file that the code writes when it runs."""
    witness = tmp_path / "witness"
    series = make_series(tmp_path / "own", family="llama")
    for folder in filter(Path.is_dir, series.iterdir()):
        file = folder / "config.json"
        config = json.loads(file.read_text()) | {"model_type": "own_llama", "architectures": ["OwnForCausalLM"]}
        config["auto_map"] = {
            "AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM",
        }  # fmt: skip
        file.write_text(json.dumps(config))
        (folder / "configuration_own.py").write_text(CONFIGURATION.format(witness=str(witness)))
        (folder / "modeling_own.py").write_text(MODELING)
    return series, witness


def test_code_of_a_checkpoint_is_not_run_by_default(
    custom_code: tuple[Path, Path], corpus: Path, tmp_path: Path
) -> None:
    series, witness = custom_code
    result = degen("scan", series, "--corpus", corpus, "-o", tmp_path / "run", *SMALL)
    assert result.code == 4
    assert not witness.exists()
    for row in read_run(tmp_path / "run").checkpoints():
        assert row["status"] == "failed"
        assert "--trust-remote-code" in row["reason"]


def test_code_runs_where_the_flag_says_so_and_the_danger_is_named(
    custom_code: tuple[Path, Path], corpus: Path, tmp_path: Path
) -> None:
    series, witness = custom_code
    plain = make_series(tmp_path / "plain", family="llama")
    result = degen("scan", series, "--trust-remote-code", "--corpus", corpus, "-o", tmp_path / "run", *SMALL)
    assert (result.code, witness.exists()) == (0, True)
    assert "runs on this machine with your permissions" in result.err
    assert degen("scan", plain, "--corpus", corpus, "-o", tmp_path / "same", *SMALL).code == 0
    figures = ("loss", "anisotropy", "singular_entropy", "parameters", "head_sha256")
    ours, theirs = (
        [[row[name] for name in figures] for row in read_run(tmp_path / name).checkpoints()] for name in ("run", "same")
    )
    assert ours == theirs


def test_the_help_of_the_flag_names_the_danger() -> None:
    help_text = " ".join(degen("scan", "--help").out.split())
    assert "--trust-remote-code DANGER: run Python code that a checkpoint brings" in help_text
