from __future__ import annotations

from pathlib import Path

import pytest

from degen import DegenError
from degen.checkpoints.find_series import find_series
from degen.checkpoints.local import LocalSource
from degen.checkpoints.series import Checkpoint
from degen.scanning.plan import make_plan
from degen.scanning.settings import Settings


def checkpoint(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    return path


def revisions(folder: Path | str, steps: str = "all") -> list[str]:
    (series,) = find_series([str(folder)], steps)
    return [c.revision for c in series.checkpoints]


def test_checkpoints_are_ordered_by_number_and_not_by_string(tmp_path: Path) -> None:
    for name in ("step1000", "step0", "checkpoint-30", "global_step9", "step143000", "step1-tokens2M"):
        checkpoint(tmp_path / "runs" / name)
    (series,) = find_series([str(tmp_path / "runs")])
    assert series.model == "runs"
    assert [c.revision for c in series.checkpoints] == [
        "step0", "step1-tokens2M", "global_step9", "checkpoint-30", "step1000", "step143000",
    ]  # fmt: skip
    assert [c.step for c in series.checkpoints] == [0, 1, 9, 30, 1000, 143000]
    assert [c.tokens_seen for c in series.checkpoints] == [None, 2_000_000, None, None, None, None]


def test_stages_come_before_steps_and_names_without_a_step_last(tmp_path: Path) -> None:
    for name in ("stage2-step10-tokens1B", "stage1-step900-tokens1B", "main", "stage1-step20-tokens1B", "step5"):
        checkpoint(tmp_path / "olmo" / name)
    assert revisions(tmp_path / "olmo") == [
        "step5", "stage1-step20-tokens1B", "stage1-step900-tokens1B", "stage2-step10-tokens1B", "main",
    ]  # fmt: skip


def test_other_files_and_folders_are_no_checkpoints(tmp_path: Path) -> None:
    checkpoint(tmp_path / "m" / "step1")
    (tmp_path / "m" / "logs").mkdir()
    (tmp_path / "m" / "tokenizer.json").write_text("{}")
    (tmp_path / "m" / "step2").write_text("a file of that name")
    (tmp_path / "m" / "step3").mkdir()  # a step folder without a config is a checkpoint that will fail, not nothing
    assert revisions(tmp_path / "m") == ["step1", "step3"]


def test_a_checkpoint_folder_is_a_series_of_one(tmp_path: Path) -> None:
    (series,) = find_series([str(checkpoint(tmp_path / "model"))])
    assert series.checkpoints == (Checkpoint("model", "main", None, None, LocalSource(tmp_path / "model")),)
    (series,) = find_series([str(checkpoint(tmp_path / "family" / "step12-tokens3K"))])
    assert series.checkpoints == (
        Checkpoint("family", "step12-tokens3K", 12, 3000, LocalSource(tmp_path / "family" / "step12-tokens3K")),
    )


def test_gguf_files_are_named_by_what_stands_before_the_ending(tmp_path: Path) -> None:
    folder = tmp_path / "quantized"
    folder.mkdir()
    for name in ("step20.gguf", "step3.gguf", "final-Q4_K.gguf"):
        (folder / name).write_bytes(b"GGUF")
    assert revisions(folder) == ["step3", "step20", "final-Q4_K"]
    (series,) = find_series([str(folder / "step20.gguf")])
    assert (series.model, series.root) == ("quantized", folder)
    assert [(c.revision, c.step) for c in series.checkpoints] == [("step20", 20)]
    (series,) = find_series([str(folder / "final-Q4_K.gguf")])
    assert (series.model, series.checkpoints[0].revision, series.checkpoints[0].step) == ("final-Q4_K", "main", None)


def test_two_folders_of_one_step_are_refused(tmp_path: Path) -> None:
    checkpoint(tmp_path / "m" / "step10")
    checkpoint(tmp_path / "m" / "checkpoint-10")
    with pytest.raises(DegenError, match="checkpoint-10 and step10 are both step 10"):
        find_series([str(tmp_path / "m")])


def test_the_same_step_of_two_stages_is_no_twin(tmp_path: Path) -> None:
    checkpoint(tmp_path / "m" / "stage1-step10-tokens1B")
    checkpoint(tmp_path / "m" / "stage2-step10-tokens1B")
    assert len(revisions(tmp_path / "m")) == 2


def test_a_label_names_the_model_everywhere(tmp_path: Path) -> None:
    checkpoint(tmp_path / "m" / "step1")
    (series,) = find_series([f"my model={tmp_path / 'm'}"])
    assert series.model == "my model"
    assert [str(c) for c in series.checkpoints] == ["my model@step1"]


def test_an_existing_path_wins_over_a_label(tmp_path: Path) -> None:
    checkpoint(tmp_path / "lr=3" / "step1")
    (series,) = find_series([str(tmp_path / "lr=3")])
    assert series.model == "lr=3"


@pytest.mark.parametrize("spec", ["=somewhere", "label="])
def test_a_label_without_name_or_path_is_refused(spec: str) -> None:
    with pytest.raises(DegenError, match="label=SERIES"):
        find_series([spec])


def test_two_series_of_one_name_are_refused_until_one_is_labelled(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "m", tmp_path / "b" / "m"
    checkpoint(first / "step1")
    checkpoint(second / "step1")
    with pytest.raises(DegenError, match="would both be called 'm'"):
        find_series([str(first), str(second)])
    assert [s.model for s in find_series([str(first), f"other={second}"])] == ["m", "other"]


def test_steps_select_among_checkpoints_with_a_step_and_keep_the_rest(tmp_path: Path) -> None:
    for name in ("step0", "step10", "step1000", "main"):
        checkpoint(tmp_path / "m" / name)
    assert revisions(tmp_path / "m", "9,999999") == ["step10", "step1000", "main"]


def test_an_empty_folder_a_missing_one_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DegenError, match="no checkpoint in it"):
        find_series([str(tmp_path / "empty")])
    with pytest.raises(DegenError, match="no such"):
        find_series([str(tmp_path / "nowhere")])
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(DegenError, match=r"a series is"):
        find_series([str(tmp_path / "model.safetensors")])


def test_a_series_may_be_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(tmp_path / "named" / "step7")
    monkeypatch.chdir(tmp_path / "named")
    (series,) = find_series(["."])
    assert (series.model, series.checkpoints[0].revision) == ("named", "step7")
    (series,) = find_series(["step7"])
    assert series.model == "named"


def test_the_demo_takes_tokens_of_a_step_as_any_series_does() -> None:
    seen = {c.step: c.tokens_seen for c in make_plan(Settings((), tokens_per_step=1024)).checkpoints}
    assert (seen[0], seen[1000]) == (0, 1_024_000)
    assert {c.tokens_seen for c in make_plan(Settings(())).checkpoints} == {None}
