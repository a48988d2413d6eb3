"""Model probes in a scan: one that fails costs no figure of the others, and memory that is out halves its calls."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from degen.probes.loss import Loss
from tiny import make_model

from degen.model.architecture import describe_module
from degen.model_probe import LoadedModel, ModelProbe
from degen.probe import Site
from degen.scanning.measure_model import measure_model
from degen.scanning.measure_spec import MeasureSpec
from degen.scanning.measure_stream import measure_stream
from degen.scanning.timing import Clock
from degen.states.moments import Moments
from degen.states.shared_states import StateProbe
from degen.tables import Column, Row, Rows, Tables
from degen.text.windows import Sample, Window


class Sizes(ModelProbe):
    measures = "the size of its calls"
    columns = {"checkpoints": (Column("calls_of", "int64", "tokens", "tokens of a call"),)}
    fits = 30

    def measure(self, model: LoadedModel) -> Rows:
        if model.batch_tokens > self.fits:
            raise torch.OutOfMemoryError("too large")
        return {"checkpoints": [{"calls_of": model.batch_tokens}]}


class Never(Sizes):
    fits = 0


class Broken(ModelProbe):
    measures = "nothing"
    columns = {"checkpoints": (Column("broken", "int64", "", "never there"),)}

    def measure(self, model: LoadedModel) -> Rows:
        raise ValueError("no such thing")


class Moment(StateProbe):
    measures = "nothing"
    accumulators = (Moments,)
    columns = {"layers": (Column("moment", "int64", "", "always 1"),)}
    made: ClassVar[list[weakref.ref[Any]]] = []

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample)
        self.made.append(weakref.ref(self))

    def layer_row(self, site: Site, domain: int | None = None) -> Row:
        self.made.append(weakref.ref(self.shared.get(Moments)))
        return {"moment": 1}


class Left(ModelProbe):
    measures = "what stream probes left in memory"
    columns = {"checkpoints": (Column("left", "int64", "", "objects"),)}

    def measure(self, model: LoadedModel) -> Rows:
        return {"checkpoints": [{"left": sum(ref() is not None for ref in Moment.made)}]}


def test_what_stream_probes_keep_is_freed_before_model_probes_begin() -> None:
    model, tokens = make_model("llama"), np.arange(20, dtype=np.int32)
    sample = Sample("t", (Window(0, 0, None, 0, 9, tokens),))
    probes: dict[str, Any] = {"moment": Moment, "left": Left}
    spec = MeasureSpec(probes, Tables({}), sample, None, torch.device("cpu"), torch.float32)
    rows = dict(measure_stream(model, describe_module(model), spec, sample, 100, Clock(), lambda _: None))
    assert len(rows["moment"]["layers"]) == len(Moment.made) - 1 > 1
    assert rows["left"] == {"checkpoints": [{"left": 0}]}


@pytest.mark.parametrize("probes", [{"broken": Broken, "never": Never, "sizes": Sizes}])
def test_a_probe_that_fails_leaves_a_reason_and_the_others_their_rows(probes: dict[str, Any]) -> None:
    model = make_model("llama")
    tokens = np.arange(20, dtype=np.int32)
    sample = Sample("t", (Window(0, 0, None, 0, 9, tokens), Window(1, 1, None, 0, 9, tokens)))
    spec = MeasureSpec(probes | {"loss": Loss}, Tables({}), sample, None, torch.device("cpu"), torch.float32)
    clock = Clock()
    rows = dict(measure_model(model, spec, sample, 100, clock))
    assert rows["sizes"] == {"checkpoints": [{"calls_of": 25}]}
    assert rows["broken"] == {
        "checkpoints": [{"reason": "broken not measured: probe broken: ValueError: no such thing"}]
    }
    (row,) = rows["never"]["checkpoints"]
    assert row["reason"].startswith("never not measured: out of memory with one window of 20 tokens")
    assert set(rows) == set(clock.seconds) == set(probes)
    assert spec.needs_all_tensors
    assert sorted(spec.text_probes) == ["broken", "loss", "never", "sizes"]
