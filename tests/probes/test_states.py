from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.states import States

from degen.errors import DegenError
from degen.forward.batches import without_first
from degen.forward.run_pass import run_pass
from degen.model.architecture import describe_module
from degen.model.logit_transform import LogitTransform
from degen.probe import Batch, OutputHead, Site
from degen.text.windows import Sample, Window


def a_sample(count: int = 6, length: int = 12) -> Sample:
    windows = (Window(i + 10, i, None, 0, 9, np.arange(length, dtype=np.int32)) for i in range(count))
    return Sample("t", tuple(windows))


def kept(model: Any, sample: Sample, skip_first: int) -> dict[tuple[Any, ...], Any]:
    probe = States(sample, positions=60)
    run_pass(model, sample, {"states": probe}, 60, torch.device("cpu"), lambda _: None, skip_first=skip_first)
    return {tuple(row[k] for k in ("layer", "site", "window", "token")): row["state"]
            for row in probe.finish()["states"]}  # fmt: skip


def test_positions_that_are_left_out_are_not_kept_and_the_others_are_the_same_ones() -> None:
    from tiny import make_model

    draw = np.random.default_rng(1)
    windows = (Window(i, i, None, 0, 9, draw.integers(400, size=n, dtype=np.int32)) for i, n in enumerate((24, 17, 9)))
    model, sample = make_model("llama"), Sample("t", tuple(windows))
    every, later = kept(model, sample, 0), kept(model, sample, 4)
    assert later.keys() == {key for key in every if key[-1] >= 4}
    for key, state in later.items():
        assert np.array_equal(state, every[key]), key


def fed(states: torch.Tensor, rows: list[int], positions: int = 20) -> States:
    sample = a_sample()
    probe, index = States(sample, positions), np.asarray(rows)
    probe.begin(OutputHead(torch.arange(200.0).view(50, 4), None, LogitTransform()))
    ids = torch.zeros(len(rows), states.shape[1], dtype=torch.int64)
    probe.update_states(Batch(ids, None, index, sample.document_slots[index]), Site(1, "block"), states[rows])
    return probe


def test_left_out_positions_are_not_kept_and_the_others_are_as_they_came() -> None:
    states = torch.randn(6, 12, 3, generator=torch.Generator().manual_seed(1))
    sample, index = a_sample(), np.arange(6)
    probe = States(sample, 20)
    whole = Batch(torch.zeros(6, 12, dtype=torch.int64), None, index, sample.document_slots[index])
    later = without_first(whole, 5)
    assert later is not None
    probe.update_states(later, Site(1, "block"), states[:, 5:])
    rows = probe.finish()
    of_all = [(row["window"], row["token"]) for row in fed(states, [0, 1, 2, 3, 4, 5]).finish()["states"]]
    assert [(row["window"], row["token"]) for row in rows["states"]] == [at for at in of_all if at[1] >= 5]
    assert 0 < rows["checkpoints"][0]["kept_positions"] == len(rows["states"]) < 20
    for row in rows["states"]:
        assert np.array_equal(row["state"], states[row["window"] - 10, row["token"]].numpy())


def plain(rows: dict[str, Any]) -> dict[str, Any]:
    return {t: [{k: np.asarray(v).tolist() for k, v in row.items()} for row in own] for t, own in rows.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_halves_merged_are_the_whole_and_states_are_as_they_came(dtype: torch.dtype) -> None:
    states = torch.randn(6, 12, 3, generator=torch.Generator().manual_seed(1)).to(dtype)
    whole = fed(states, [0, 1, 2, 3, 4, 5]).finish()
    half = fed(states, [4, 0, 2])
    half.merge(fed(states, [5, 3, 1]))
    assert plain(half.finish()) == plain(whole)
    assert len(whole["states"]) == 20 == whole["checkpoints"][0]["kept_positions"]
    for row in whole["states"]:
        assert np.array_equal(row["state"], states[row["window"] - 10, row["token"]].float().numpy())
    for row in whole["head_rows"]:
        assert row["state"].tolist() == [4.0 * row["token_id"] + k for k in range(4)]


def test_the_bytes_of_a_dry_run_are_those_of_the_states() -> None:
    from tiny import make_model

    shape = describe_module(make_model("opt-350m"))
    # 3 sites of 32, the head's input of 16, and rows of the head of 16
    assert States.stored_bytes(shape, positions=40) == 4 * 40 * (3 * 32 + 16 + 16)
    assert States.stored_bytes(shape) == 4 * 512 * (3 * 32 + 16 + 16)


@pytest.mark.parametrize("options", [{"positions": 0}, {"positions": "many"}, {"rows": 3}])
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DegenError, match="positions"):
        States.check(options)
