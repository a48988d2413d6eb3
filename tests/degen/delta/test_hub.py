"""Adapters, bases and fine-tunes on the hub: the rows of the same files in folders, by byte ranges."""

from __future__ import annotations

from pathlib import Path

import pytest
from adapters import make_adapter
from hub_scans import Scans, packed
from tiny import make_checkpoint, make_series

from degen.delta import measure_deltas


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Make a base, two adapters on it, and a series of whole checkpoints."""
    folder = tmp_path_factory.mktemp("served")
    base = make_checkpoint(folder / "base", "llama")
    for step in (1, 2):
        make_adapter(folder / "lora" / f"step{step}", base, seed=step)
    return base, folder / "lora", make_series(folder / "whole", steps=(0, 5, 9))


@pytest.fixture
def served(scans: Scans, folders: tuple[Path, Path, Path]) -> Scans:
    base, lora, whole = folders
    scans.add("org/base", {"main": packed(base)})
    for name, folder in (("lora", lora), ("whole", whole)):
        steps = sorted(path for path in folder.iterdir() if path.is_dir())
        scans.add(f"org/{name}", {"main": {}} | {step.name: packed(step) for step in steps})
    return scans


def test_adapters_and_their_base_are_read_by_ranges(served: Scans, folders: tuple[Path, Path, Path]) -> None:
    base, lora, _ = folders
    rows = measure_deltas(["org/base+org/lora@step*"]).rows()
    assert rows == measure_deltas([f"{base}+{lora}"]).rows()
    assert all(row["relative_norm"] is not None for row in rows)
    commit = served.hub.repos["org/base"].commit("main")
    assert served.hub.served(f"{commit}/model.safetensors") < (base / "model.safetensors").stat().st_size


def test_whole_checkpoints_are_read_by_ranges(served: Scans, folders: tuple[Path, Path, Path]) -> None:
    result, local = measure_deltas(["org/whole@step*"]), measure_deltas([str(folders[2])])
    assert result.rows() == local.rows()
    assert {row["step"] for row in result.rows()} == {5, 9}
    assert result.trajectories["whole"].participation_ratio == local.trajectories["whole"].participation_ratio


def test_without_a_network_the_adapter_is_measured_alone(
    served: Scans, folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    import json
    import shutil

    adapter = Path(shutil.copytree(folders[1] / "step1", tmp_path / "mine"))
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": "org/elsewhere"}))
    served.offline()
    notes: list[str] = []
    rows = measure_deltas([str(adapter)], note=notes.append).rows()
    assert all(row["rank"] == 8 and row["relative_norm"] is None for row in rows)
    assert "the base that it names cannot be found" in notes[0]
