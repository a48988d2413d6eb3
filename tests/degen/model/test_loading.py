"""Loading checkpoints in a scan."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPTNeoXForCausalLM

import degen
from degen.model.loading import choose_dtype


def test_the_dtype_is_float32_on_a_cpu_and_the_checkpoints_own_on_an_accelerator() -> None:
    assert choose_dtype("auto", torch.device("cpu")) is torch.float32
    assert choose_dtype("auto", torch.device("cuda")) == "auto"  # as transformers names it
    assert choose_dtype("bfloat16", torch.device("cuda")) is torch.bfloat16


def test_a_scan_holds_one_model_at_a_time(
    series: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    held, forward = [], GPTNeoXForCausalLM.forward

    def watched(model: Any, *args: Any, **options: Any) -> Any:
        alive.add(model)
        held.append(len(alive))
        return forward(model, *args, **options)

    monkeypatch.setattr(GPTNeoXForCausalLM, "forward", watched)
    run = degen.scan([series, f"again={series}"], corpus=corpus, out=tmp_path, tokens=200, context=32, threads=1)
    assert not run.failed
    assert set(held) == {1}
