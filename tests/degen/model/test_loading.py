"""Loading checkpoints in a scan."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
from transformers import GPTNeoXForCausalLM

import degen


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
