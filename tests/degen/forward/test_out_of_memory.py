"""Out of memory: the batch is halved; also for real, where the operating system refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import make_corpus, make_series, pile

import degen
from degen.device import OutOfMemoryError, memory_errors
from degen.errors import CheckpointError
from degen.forward.out_of_memory import halve_batch
from degen.probe import probe_errors

LIMITED = """
import gc
gc.disable()  # it would walk over torch and transformers again and again while they load
import json, resource, sys
import torch
from degen.scanning.progress import Progress
from degen.scanning.scan import scan
from transformers import AutoModelForCausalLM

torch.set_num_threads(1)
series, corpus, out, room = sys.argv[1:5]
AutoModelForCausalLM.from_pretrained(series + "/step1")(torch.zeros(1, 8, dtype=torch.int64))
gc.freeze()
gc.enable()

class Limit(Progress):
    limited = False

    def start_checkpoint(self, checkpoint, tokens):  # libraries are loaded and windows drawn: only the model is to come
        if not self.limited:
            with open("/proc/self/status") as status:
                size = next(int(line.split()[1]) for line in status if line.startswith("VmSize:")) * 1024
            resource.setrlimit(resource.RLIMIT_AS, (size + int(room), -1))
            self.limited = True

    def finish_checkpoint(self, checkpoint, status, summary):
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))

run = scan(series, corpus=corpus, tokens=1024, context=256, out=out, progress=Limit())
print(json.dumps([run.info["batch_tokens"], run.checkpoints()[0]]))
"""


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a model whose feed-forward layer wants 64 kB a token, and a corpus of whole windows for it."""
    root = tmp_path_factory.mktemp("wide")
    series = make_series(root / "wide", steps=(1,), family="llama", intermediate_size=16_384, num_hidden_layers=1)
    return series, make_corpus(root / "c.jsonl", pile(40, 2000))


def scan_with_limit(wide: tuple[Path, Path], out: Path, limit: int) -> tuple[dict[str, int], dict[str, Any]]:
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, wide), str(out), str(limit)],
        env=os.environ | {"MALLOC_ARENA_MAX": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    batch_tokens, row = json.loads(result.stdout.splitlines()[-1])
    return batch_tokens, row


def test_a_batch_that_the_system_refuses_memory_for_is_halved(wide: tuple[Path, Path], tmp_path: Path) -> None:
    free = degen.scan(wide[0], corpus=wide[1], tokens=1024, context=256, out=tmp_path / "free")
    (whole,) = free.info["batch_tokens"].values()
    assert whole >= 1024  # all in one batch: 3 × 64 MB in the feed-forward layer
    batch_tokens, row = scan_with_limit(wide, tmp_path / "run", 160 * 2**20)
    assert row["status"] == "ok", row["reason"]
    assert 256 <= batch_tokens["wide@step1"] <= 512 < whole
    expected = free.checkpoints()[0]
    for name in ("loss", "anisotropy"):
        assert row[name] == pytest.approx(expected[name], abs=1e-6)


def test_a_checkpoint_whose_single_window_does_not_fit_memory_fails_with_that_reason(
    wide: tuple[Path, Path], tmp_path: Path
) -> None:
    _, row = scan_with_limit(wide, tmp_path / "run", 60 * 2**20)
    assert row["status"] == "failed"
    assert "out of memory" in row["reason"], row["reason"]


def test_the_size_of_halved_batches_is_stored_in_the_run(
    series: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXForCausalLM

    forward, most, seen = GPTNeoXForCausalLM.forward, 128, []

    def small(self: Any, input_ids: torch.Tensor, **kwargs: Any) -> Any:
        seen.append(input_ids.numel())
        if input_ids.numel() > most:
            raise torch.OutOfMemoryError(f"{input_ids.numel()} tokens")
        return forward(self, input_ids=input_ids, **kwargs)

    monkeypatch.setattr(GPTNeoXForCausalLM, "forward", small)
    options: dict[str, Any] = {
        "corpus": corpus,
        "tokens": 1024,
        "context": 32,
        "batch_size": 32,
        "out": tmp_path / "run",
    }
    run = degen.scan(series, **options)
    assert [row["status"] for row in run.checkpoints()] == ["ok"] * 3
    assert run.info["batch_tokens"] == {"tiny@step0": 128}
    assert seen.count(max(seen)) == 1  # the second checkpoint begins with what the first has learnt
    plan = json.loads((run.path / "run.json").read_text())["batch_tokens"]
    (run.path / "checkpoints" / "tiny" / "step1000.parquet").unlink()
    before = [row["loss"] for row in run.checkpoints()[:2]]
    seen.clear()
    again = degen.scan(series, **options)
    assert max(seen) <= most
    assert json.loads((run.path / "run.json").read_text())["batch_tokens"] == plan
    assert [row["loss"] for row in again.checkpoints()[:2]] == before


def fits(most: int, tried: list[int]) -> Callable[[int], int]:
    """Return a measurement for which batches of up to so many tokens fit."""

    def measure(batch_tokens: int) -> int:
        tried.append(batch_tokens)
        if batch_tokens > most:
            raise OutOfMemoryError("no room")
        return batch_tokens

    return measure


@pytest.mark.parametrize(
    ("most", "sizes"), [(100, [100]), (99, [100, 50]), (24, [100, 50, 25, 20]), (20, [100, 50, 25, 20])]
)
def test_batch_sizes_are_halved_down_to_the_longest_window(most: int, sizes: list[int]) -> None:
    tried: list[int] = []
    halved: list[int] = []
    assert halve_batch(fits(most, tried), 100, 20, "--context", halved.append) == sizes[-1]
    assert tried == sizes
    assert halved == sizes[1:]


def test_one_window_that_does_not_fit_is_an_error_that_names_the_setting() -> None:
    tried: list[int] = []
    with pytest.raises(
        CheckpointError, match=r"one window of 20 tokens; lower the context \(OutOfMemoryError: no room\)"
    ):
        halve_batch(fits(19, tried), 40, 20, "the context", lambda _: None)
    assert tried == [40, 20]


@pytest.mark.parametrize("error", [MemoryError("no room"), torch.OutOfMemoryError("no room")])
def test_memory_that_is_out_in_a_probe_is_no_fault_of_the_probe(error: Exception) -> None:
    """Either way round: a training is watched for memory within what names the probe."""
    with pytest.raises(OutOfMemoryError, match="no room"), probe_errors("rank"), memory_errors():
        raise error
    with pytest.raises(OutOfMemoryError, match="no room"), memory_errors(), probe_errors("rank"):
        raise error
