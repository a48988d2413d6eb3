from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import make_checkpoint

from degen.checkpoints.local import LocalSource
from degen.delta.base_weights import open_by_ranges, stored_matrix
from degen.delta.full_difference import FullDifference
from degen.delta.measure import measure_updates
from degen.delta.sources import open_updates
from degen.errors import CheckpointError
from degen.weights.open_weights import SafeTensors

Change = Callable[[str, torch.Tensor], torch.Tensor]


def perturb(folder: Path, base: Path, change: Change) -> Path:
    """Write a copy of a checkpoint with each tensor changed."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes((base / "config.json").read_bytes())
    tensors = {name: change(name, t).contiguous() for name, t in load_file(base / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def difference(tuned: Path, base: Path) -> FullDifference:
    updates = open_updates(LocalSource(tuned), LocalSource(base))
    assert isinstance(updates, FullDifference)
    return updates


def noise(name: str, tensor: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    return tensor + 0.01 * torch.randn(tensor.shape, generator=generator).to(tensor.dtype)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def base(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("full") / "base", "gpt_neox", dtype=request.param)


def test_byte_ranges_give_what_the_library_reads(base: Path) -> None:
    ranges, mapped = open_by_ranges(LocalSource(base)), SafeTensors([base / "model.safetensors"])
    assert ranges.keys == mapped.keys
    for key in mapped.keys:
        rows = mapped.shape(key)[0]
        assert torch.equal(ranges.rows(key, 0, rows), mapped.rows(key, 0, rows))
        assert torch.equal(stored_matrix(ranges, key).whole().flatten(), mapped.rows(key, 0, rows).double().flatten())


def test_a_full_fine_tune_is_the_difference_of_every_tensor(base: Path, tmp_path: Path) -> None:
    tuned = perturb(tmp_path / "tuned", base, noise)
    updates = difference(tuned, base)
    before, after = load_file(base / "model.safetensors"), load_file(tuned / "model.safetensors")
    assert updates.kind == "full"
    assert set(updates.names) == set(before)
    assert updates.trained == updates.parameters == sum(t.numel() for t in before.values())
    for name in updates.names:
        matrix = updates.update(name).matrix
        assert matrix is not None
        assert torch.equal(matrix.whole().flatten(), (after[name].double() - before[name].double()).flatten())
    rows = measure_updates(updates).rows
    assert {row["taxonomy"] for row in rows} == {"full"}
    assert rows[0]["head_touched"]
    assert rows[0]["embedding_touched"]


@pytest.mark.parametrize("rank", [1, 3])
def test_a_planted_rank_is_found_in_spite_of_rounding(base: Path, tmp_path: Path, rank: int) -> None:
    def plant(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() != 2:
            return tensor
        generator = torch.Generator().manual_seed(1)
        left = torch.randn(len(tensor), rank, generator=generator)
        right = torch.randn(rank, tensor.shape[1], generator=generator)
        return (tensor.float() + 0.3 * tensor.float().std() * left @ right).to(tensor.dtype)

    updates = difference(perturb(tmp_path / "tuned", base, plant), base)
    assert updates.kind == "partial"
    rows = measure_updates(updates).rows
    assert {row["rank"] for row in rows} == {rank}
    assert max(row["effective_rank"] for row in rows) < rank + 2


def test_biases_alone_are_bitfit(base: Path, tmp_path: Path) -> None:
    def biases(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return noise(name, tensor) if name.endswith("dense.bias") else tensor

    updates = difference(perturb(tmp_path / "tuned", base, biases), base)
    rows = measure_updates(updates).rows
    assert {(row["kind"], row["taxonomy"], row["columns"]) for row in rows} == {("bias", "specification", 1)}
    assert {row["module"].rpartition(".")[2] for row in rows} == {"bias"}
    assert all(row["rank"] is None and 0 < row["relative_norm"] < 1 for row in rows)
    assert not rows[0]["head_touched"]


def test_a_touched_head_alone_is_found(base: Path, tmp_path: Path) -> None:
    def head(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return noise(name, tensor) if name in ("embed_out.weight", "lm_head.weight") else tensor

    (row,) = measure_updates(difference(perturb(tmp_path / "tuned", base, head), base)).rows
    assert (row["part"], row["head_touched"], row["embedding_touched"]) == ("head", True, False)


def test_equal_checkpoints_differ_in_nothing(base: Path, tmp_path: Path) -> None:
    updates = difference(perturb(tmp_path / "tuned", base, lambda name, tensor: tensor), base)
    assert list(updates.names) == []
    assert measure_updates(updates).rows == []


def test_nan_in_one_tensor_leaves_the_others(base: Path, tmp_path: Path) -> None:
    def spoil(name: str, tensor: torch.Tensor) -> torch.Tensor:
        changed = noise(name, tensor)
        if name.endswith("0.mlp.dense_h_to_4h.weight"):
            changed[0, 0] = float("nan")
        return changed

    rows = measure_updates(difference(perturb(tmp_path / "tuned", base, spoil), base)).rows
    (spoilt,) = [row for row in rows if row["reason"]]
    assert "NaN" in spoilt["reason"]
    assert spoilt["norm"] is None
    assert all(row["norm"] > 0 for row in rows if row is not spoilt)


def test_checkpoints_of_two_models_are_refused(base: Path, tmp_path: Path) -> None:
    wider = make_checkpoint(tmp_path / "wider", "gpt_neox", hidden_size=64)
    with pytest.raises(CheckpointError, match="are they of one model"):
        difference(wider, base)
    other = make_checkpoint(tmp_path / "other", "mamba")
    with pytest.raises(CheckpointError, match="no tensor in common"):
        difference(other, base)


def test_a_whole_checkpoint_needs_a_base(base: Path) -> None:
    with pytest.raises(CheckpointError, match="--base"):
        open_updates(LocalSource(base), None)
