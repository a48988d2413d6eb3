"""The head alone of a checkpoint on the hub, with all that may change what it means: as that of a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hub_scans import Scans
from safetensors.torch import load_file, save_file
from tiny import make_checkpoint, make_tokenizer

HEAD, WEIGHTS = "lm_head.weight", "model.safetensors"
PROBES = ["spectrum", "head_spectra", "isotropy"]
FP8 = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 16]}}


def stored(folder: Path, family: str, added: dict[str, torch.Tensor], config: dict[str, object]) -> Path:
    """A tiny checkpoint with further tensors, some in the place of its own, and other settings in config.json."""
    make_tokenizer(make_checkpoint(folder, family, tie_word_embeddings=False))
    save_file(load_file(folder / WEIGHTS) | added, folder / WEIGHTS, {"format": "pt"})
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | config))
    return folder


@pytest.mark.parametrize(
    ("family", "added", "config", "reason"),
    [
        ("llama", {}, {}, None),
        ("phi", {}, {}, None),  # its head has a bias
        ("llama", {}, {"tie_word_embeddings": True}, None),  # not tied, by the files
        ("llama", {HEAD: torch.ones(416, 32).mul_(0.3).to(torch.float8_e4m3fn),
                   f"{HEAD}_scale_inv": torch.arange(1, 417.0)[:, None]}, FP8, None),
        ("llama", {"lm_head.lora_B.weight": torch.ones(416, 2)}, {}, "an adapter that was not merged"),
        ("llama", {"lm_head.weight_scale": torch.ones(5)}, {}, "scales or packed values"),
        ("llama", {"lm_head.bias": torch.ones(416)}, {}, "a bias of the LM head"),
    ],
)  # fmt: skip
def test_the_head_alone_of_the_hub_is_measured_as_that_of_a_folder(
    scans: Scans, tmp_path: Path, corpus: Path, family: str, added: dict[str, torch.Tensor],
    config: dict[str, object], reason: str | None,
) -> None:  # fmt: skip
    folder = stored(tmp_path / "step1", family, added, config)
    scans.add("org/m", {"step1": {f.name: f.read_bytes() for f in folder.iterdir()}})
    whole = scans.scan(folder, corpus=corpus, probes=PROBES, out="local")
    run = scans.scan("org/m@step1", corpus=corpus, probes=PROBES)
    (row,), (expected,) = run.checkpoints(), whole.checkpoints()
    same = set(row) - {"model", "series", "revision", "source", "version", "step", "commit"}
    assert {k: row[k] for k in same if k != "reason"} == {k: expected[k] for k in same if k != "reason"}
    assert row["status"] == ("ok" if reason is None else "failed")
    assert (reason or "") in (row["reason"] or "")
    for table in ("spectrum", "head_spectra"):
        names = [name for name in whole.table(table).column_names if name not in ("model", "revision", "step")]
        assert run.table(table).select(names).equals(whole.table(table).select(names))


def test_what_failed_goes_by_its_name_on_the_hub_and_not_by_a_folder_of_downloads(
    scans: Scans, tmp_path: Path, corpus: Path
) -> None:
    folder = stored(tmp_path / "step1", "llama", {}, {})
    kept = {key: value for key, value in load_file(folder / WEIGHTS).items() if key != HEAD}
    save_file(kept, folder / WEIGHTS, {"format": "pt"})
    scans.add("org/m", {"step1": {f.name: f.read_bytes() for f in folder.iterdir()}})
    for probes in (None, ["spectrum"]):
        (row,) = scans.scan("org/m@step1", corpus=corpus, probes=probes, out=f"run-{len(probes or ())}").checkpoints()
        assert row["status"] == "failed"
        assert row["reason"].startswith("org/m@step1: the files do not hold lm_head.weight"), row["reason"]
        assert ".downloads" not in row["reason"]
