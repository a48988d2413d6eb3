"""Kinds of adapters that PEFT itself merges: what is read is what it makes of them."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import make_adapter, quiet
from deltas import LINEAR, TASK, merged_changes, open_adapter
from tiny import make_checkpoint

from degen.delta.measure import measure_updates
from degen.delta.merged_updates import MergedUpdates
from degen.delta.spectra import decompose
from degen.errors import CheckpointError

# What PEFT makes on a tiny model, with sizes that fit it.
MERGED: dict[str, dict[str, Any]] = {
    "BOFT": {"boft_block_size": 8}, "C3A": {"block_size": 8}, "DELORA": {}, "FOURIERFT": {"n_frequency": 20},
    "GRALORA": {}, "HIRA": {}, "HRA": {"r": 4}, "MISS": {"r": 8}, "RANDLORA": {}, "ROAD": {"group_size": 8},
    "SHIRA": {"r": 2}, "VBLORA": {"vector_length": 4, "num_vectors": 8}, "WAVEFT": {"n_frequency": 20}, "OSF": {},
    "DEFT": {}, "FROD": {}, "GLORA": {}, "PEANUT": {}, "PSOFT": {"r": 8}, "PVERA": {}, "SUPERTUNING": {},
    "TINYLORA": {}, "UNILORA": {}, "ADAMSS": {"r": 100},
}  # fmt: skip
# Their update is another one for every token, or for every task.
NO_MATRIX: dict[str, dict[str, Any]] = {"LILY": {}, "SHADOW": {}, "POLY": {"n_tasks": 2}}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("merged") / "base", "llama")


def make(folder: Path, base: Path, kind: str) -> Path:
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    if kind not in PEFT_TYPE_TO_CONFIG_MAPPING:
        pytest.skip(f"this version of peft has no {kind}")
    config = PEFT_TYPE_TO_CONFIG_MAPPING[kind]
    options = MERGED.get(kind, {}) | NO_MATRIX.get(kind, {})
    if "target_modules" in inspect.signature(config).parameters:
        options["target_modules"] = LINEAR
    with quiet():
        return make_adapter(folder, base, config(**TASK, **options))


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.extras] if kind == "ADAMSS" else []) for kind in MERGED]
)
def test_the_other_kinds_are_those_that_peft_merges(base: Path, tmp_path: Path, kind: str) -> None:
    adapter = make(tmp_path / "adapter", base, kind)
    with quiet():
        updates, changes = open_adapter(adapter, base), merged_changes(base, adapter)
    assert isinstance(updates, MergedUpdates)
    assert updates.kind == kind.lower()
    assert set(updates.names) == {name for name, change in changes.items() if change.any()}
    for name in updates.names:
        matrix = updates.update(name).matrix
        assert matrix is not None
        whole = matrix.whole()
        assert (whole - changes[name]).abs().max() <= 1e-6 * max(1.0, float(changes[name].abs().max()))
        values = torch.linalg.svdvals(whole)
        assert (values - torch.tensor(decompose(matrix).values)).abs().max() <= 1e-10 * float(values[0])
    rows = measure_updates(updates).rows
    assert all(row["reason"] is None and row["relative_norm"] > 0 for row in rows)
    if kind == "HRA":  # four reflections change no more than four directions
        assert max(row["rank"] for row in rows) <= 4


@pytest.mark.parametrize(
    ("kind", "why"), [("LILY", "there is no ΔW"), ("SHADOW", "there is no ΔW"), ("POLY", "an update for every task")]
)
def test_kinds_without_one_update_say_so(base: Path, tmp_path: Path, kind: str, why: str) -> None:
    adapter = make(tmp_path / "adapter", base, kind)
    with quiet(), pytest.raises(CheckpointError, match=why):
        open_adapter(adapter, base)


def test_they_need_their_base_on_this_machine(base: Path, tmp_path: Path) -> None:
    adapter = make(tmp_path / "adapter", base, "HRA")
    with pytest.raises(CheckpointError, match="computed by PEFT from the whole base"):
        open_adapter(adapter, None)
    moved = tmp_path / "moved"
    shutil.copytree(adapter, moved)
    with quiet():
        assert open_adapter(moved, base).names
