"""The input embedding beside the head: its figures are those that the probes of the head give of the same matrix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.embedding import Embedding
from degen.probes.head_frequency import HeadFrequency
from degen.probes.head_spectra import HeadSpectra
from degen.probes.head_tail import HeadTail
from degen.probes.isotropy import Isotropy
from head_matrices import checkpoint_row, head_of, measured
from hub_scans import Scans
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file as save_torch
from tiny import make_checkpoint, make_series

import degen
from degen.checkpoints.hub_tensors import HubTensors
from degen.checkpoints.local import LocalSource
from degen.errors import CheckpointError
from degen.weights.open_weights import find_weights

NAME = "gpt_neox.embed_in.weight"


def rows_of(folder: Path, **given: Any) -> list[dict[str, Any]]:
    probe, source = Embedding(), LocalSource(folder)
    probe.ids, probe.counts_of = given.get("ids"), given.get("counts_of")
    return probe.measure(source, source)["embedding"]


def test_figures_are_those_of_numpy_and_of_the_probes_of_the_head(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "m")
    stored = load_file(folder / "model.safetensors")
    ids = frozenset(range(390))
    W = stored[NAME].astype(np.float64)[:390]
    counts = np.random.default_rng(1).zipf(1.5, size=len(stored[NAME])).clip(max=10**6)
    raw, centred = rows_of(folder, ids=ids, counts_of=lambda rows: counts[:rows])
    assert (raw["variant"], centred["variant"], raw["tensor"]) == ("raw", "centred", NAME)
    for row, matrix in ((raw, W), (centred, W - W.mean(axis=0))):
        s = np.linalg.svd(matrix, compute_uv=False)
        assert row["stable_rank"] == pytest.approx((s**2).sum() / s[0] ** 2, rel=1e-8)
        assert row["spectral_gap"] == pytest.approx(1 - s[1] / s[0], rel=1e-8)
        assert row["k90"] == int(np.searchsorted(np.cumsum(s**2) / (s**2).sum(), 0.9)) + 1
    exponentials = np.exp(W @ np.linalg.svd(W)[2].T)
    sums = np.concatenate([exponentials.sum(axis=0), (1 / exponentials).sum(axis=0)])
    assert raw["isotropy"] == pytest.approx(sums.min() / sums.max(), rel=1e-8)
    assert raw["mean_row_frequency_r"] == pytest.approx(
        float(np.corrcoef(W @ W.mean(axis=0), np.log(counts[:390]))[0, 1]), abs=1e-8
    )
    head = head_of(W)
    of_head = {}
    for probe in (HeadTail, HeadFrequency, Isotropy):
        of_head |= checkpoint_row(probe, head, counts[:390])
    for name, value in of_head.items():
        if not name.endswith("reason"):
            assert raw[name.removeprefix("head_")] == pytest.approx(value, rel=1e-8), name
    spectra = measured(HeadSpectra, head)["head_spectra"]
    for name in set(spectra[0]) - {"variant", "reason"}:
        assert (raw[name], centred[name]) == pytest.approx((spectra[0][name], spectra[1][name]), rel=1e-8), name


@pytest.mark.parametrize("stored_twice", [False, True])
def test_a_tied_embedding_is_said_and_not_doubled(stored_twice: bool, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "m", tie_word_embeddings=True)
    if stored_twice:
        file = folder / "model.safetensors"
        tensors = load_file(file)
        save_file(tensors | {"embed_out.weight": tensors[NAME].copy()}, file, metadata={"format": "pt"})
    (row,) = rows_of(folder)
    assert (row["variant"], row["tensor"]) == ("raw", NAME)
    assert row["reason"] == "the input embedding is the LM head (tied): the probes of the head have its figures"
    assert "stable_rank" not in row


def test_a_head_of_its_own_makes_a_tied_configuration_untied(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "m", tie_word_embeddings=True)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    save_file(tensors | {"embed_out.weight": 2 * tensors[NAME]}, file, metadata={"format": "pt"})
    assert rows_of(folder)[0]["stable_rank"] > 1


def test_an_embedding_that_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "m")
    file = folder / "model.safetensors"
    tensors = load_file(file)
    save_file({k.replace("embed_in", "other"): v for k, v in tensors.items()}, file, metadata={"format": "pt"})
    assert rows_of(folder)[0]["reason"] == "no tensor of a known name is an input embedding"
    save_file(tensors | {NAME: tensors[NAME].astype(np.int8)}, file, metadata={"format": "pt"})
    reason = rows_of(folder)[0]["reason"]
    assert reason.startswith(f"the input embedding ({NAME}) is stored as int8, and no scales are beside it")


@pytest.mark.parametrize(
    "name",
    ["tok_embeddings.weight", "model.tok_embeddings.weight", "language_model.model.embed_tokens.weight",
     "_orig_mod.language_model.model.embed_tokens.weight"],
)  # fmt: skip
def test_names_of_other_libraries_are_known(name: str, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "m")
    expected, file = rows_of(folder), folder / "model.safetensors"
    save_file({name if k == NAME else k: v for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
    assert rows_of(folder) == [row | {"tensor": name} for row in expected]


@pytest.mark.parametrize("kind", ["without scales", "tensor", "row", "block"])
def test_an_embedding_of_eight_bit_floats_is_multiplied_by_its_scales(kind: str, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "m")
    settings = json.loads((folder / "config.json").read_text())
    quantised = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 16]}}
    (folder / "config.json").write_text(json.dumps(settings | quantised))
    file, draw = folder / "model.safetensors", torch.Generator().manual_seed(0)
    tensors = load_torch(file)
    rows, width = tensors[NAME].shape
    tensors[NAME] = (20 * tensors[NAME]).to(torch.float8_e4m3fn)
    scales = {
        "tensor": torch.tensor(0.02), "row": 0.01 + torch.rand(rows, 1, generator=draw),
        "block": 0.01 + torch.rand(-(-rows // 128), width // 16, generator=draw),
    }  # fmt: skip
    whole = {"tensor": torch.full((rows, width), 0.02), "without scales": torch.ones(rows, width)}
    if kind == "row":
        whole["row"] = scales["row"].expand(rows, width)
    if kind == "block":
        whole["block"] = scales["block"].repeat_interleave(128, 0)[:rows].repeat_interleave(16, 1)
    added = {f"{NAME}_scale_inv": scales[kind]} if kind in scales else {}
    save_torch(tensors | added, file, {"format": "pt"})
    ids = frozenset(range(rows - 26))
    raw, centred = rows_of(folder, ids=ids)
    W = (tensors[NAME].double() * whole[kind].double())[: rows - 26].numpy()
    for row, matrix in ((raw, W), (centred, W - W.mean(axis=0))):
        s = np.linalg.svd(matrix, compute_uv=False)
        assert row["stable_rank"] == pytest.approx((s**2).sum() / s[0] ** 2, rel=1e-6)


def test_scales_that_fit_no_block_leave_a_reason(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "m")
    file = folder / "model.safetensors"
    tensors = load_torch(file)
    tensors |= {NAME: tensors[NAME].to(torch.float8_e4m3fn), f"{NAME}_scale_inv": torch.ones(5)}
    save_torch(tensors, file, {"format": "pt"})
    (row,) = rows_of(folder)
    assert row["reason"].startswith(f"the input embedding ({NAME}) has {NAME}_scale_inv beside it: scales")


class CutOff(LocalSource):
    """A checkpoint whose headers arrive, and no value of its tensors."""

    def tensors(self) -> HubTensors:
        file = self.path / "model.safetensors"
        data = file.read_bytes()
        header = 8 + int.from_bytes(data[:8], "little")

        def read(shard: str, first: int, last: int) -> bytes:
            if last > header:
                raise CheckpointError("the connection was lost")
            return data[first:last]

        layout = find_weights("m", lambda name: name == file.name, lambda name: "")
        return HubTensors("m", layout, {file.name: len(data)}, read)


def test_an_embedding_that_does_not_arrive_is_no_figure_that_cannot_be_measured(tmp_path: Path) -> None:
    """A reason would stand in the run for good; a checkpoint that failed is measured anew."""
    source = CutOff(make_checkpoint(tmp_path / "m"))
    probe = Embedding()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("degen.probes.embedding.open_by_ranges", lambda source: source.tensors())  # as of the hub
        with pytest.raises(CheckpointError, match="the connection was lost"):
            probe.measure(source, source)


def test_a_scan_from_the_hub_reads_head_and_embedding_alone(scans: Scans, tmp_path: Path, corpus: Path) -> None:
    folder = make_series(tmp_path / "series", steps=(1,), intermediate_size=8192)
    files = {path.name: path.read_bytes() for path in (*folder.glob("*.json"), *(folder / "step1").iterdir())
             if path.is_file()}  # fmt: skip
    scans.add("org/wide", {"step1": files})
    run: degen.Run = scans.heads("org/wide@step1", probes=("spectrum", "embedding"), corpus=corpus, tokens=400)
    row, _ = run.table("embedding").to_pylist()
    assert row["stable_rank"] > 1
    assert -1 <= row["mean_row_frequency_r"] <= 1
    (checkpoint,) = run.checkpoints()
    assert checkpoint["stable_rank"] != row["stable_rank"]
    size = load_file(folder / "step1" / "model.safetensors")[NAME].nbytes
    assert scans.hub.served(r"\.safetensors") < 2 * size + 300_000 < len(files["model.safetensors"])
