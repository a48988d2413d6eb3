"""Probes of the head and of what is stored that fail: what is measured on request leaves a reason, others an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.spectrum import Spectrum
from head_matrices import head_of, normal
from tiny import make_checkpoint

from degen.checkpoints.local import LocalSource
from degen.checkpoints.source import Source
from degen.errors import CheckpointError, NotFiniteError
from degen.model.lm_head import Head
from degen.probe import HeadProbe, SourceProbe
from degen.scanning.measure_head import measure_head, measure_sources
from degen.scanning.measure_spec import MeasureSpec
from degen.scanning.timing import Clock
from degen.tables import Column, Rows, Tables

COLUMNS = {"checkpoints": (Column("figure", "float64", "", "a figure"),)}


class OfHead(HeadProbe):
    measures = "nothing"
    columns = COLUMNS
    error: type[Exception] = np.linalg.LinAlgError

    def measure(self, head: Head) -> Rows:
        raise self.error("no convergence")


class OfFiles(SourceProbe):
    measures = "nothing"
    columns = COLUMNS
    error: type[Exception] = np.linalg.LinAlgError

    def measure(self, source: Source, first: Source) -> Rows:
        raise self.error("no convergence")


class Shape(SourceProbe):
    measures = "rows of the embedding"
    columns = COLUMNS

    def measure(self, source: Source, first: Source) -> Rows:
        return {"checkpoints": [{"figure": 1.0}]}


def spec_of(probes: dict[str, Any]) -> MeasureSpec:
    return MeasureSpec(probes, Tables({"any": COLUMNS}), None, None, torch.device("cpu"), torch.float32)


def variant(probe: type, **attributes: Any) -> type:
    return type("Variant", (probe,), attributes)


@pytest.mark.parametrize("error", [np.linalg.LinAlgError, RuntimeError, NotFiniteError])
def test_a_probe_on_request_leaves_a_reason_and_the_others_their_rows(error: type[Exception], tmp_path: Path) -> None:
    of_head, of_files = variant(OfHead, error=error), variant(OfFiles, error=error)
    spec, clock = spec_of({"a": of_head, "spectrum": Spectrum, "b": of_files, "shape": Shape}), Clock()
    failures: list[CheckpointError] = []
    rows = dict(measure_head(head_of(normal((30, 4), 0)), spec, clock, failures))
    source = LocalSource(make_checkpoint(tmp_path / "m"))
    rows |= dict(measure_sources(source, spec, clock, failures))
    assert set(rows) == set(clock.seconds) == {"a", "spectrum", "b", "shape"}
    for name in ("a", "b"):
        ((table, (row,)),) = rows[name].items()
        assert (table, set(row)) == ("checkpoints", {"reason"})
        assert row["reason"].startswith(f"{name} not measured: ")
        assert row["reason"].endswith("no convergence")
    assert rows["spectrum"]["checkpoints"][0]["effective_rank"] > 1
    assert rows["shape"] == {"checkpoints": [{"figure": 1.0}]}
    assert [str(failure)[-14:] for failure in failures] == ["no convergence"] * 2


@pytest.mark.parametrize(
    "attributes", [{"default": True}, {"error": CheckpointError}], ids=["a default probe", "files that cannot be read"]
)
def test_a_default_probe_and_files_that_cannot_be_read_fail_the_checkpoint(
    attributes: dict[str, Any], tmp_path: Path
) -> None:
    head, source = head_of(normal((30, 4), 0)), LocalSource(make_checkpoint(tmp_path / "m"))
    failures: list[CheckpointError] = []
    with pytest.raises(CheckpointError, match="no convergence"):
        measure_head(head, spec_of({"a": variant(OfHead, **attributes)}), Clock(), failures)
    with pytest.raises(CheckpointError, match="no convergence"):
        measure_sources(source, spec_of({"b": variant(OfFiles, **attributes)}), Clock(), failures)
    assert failures == []
    assert head.shared == {}


class Text(HeadProbe):
    measures = "a text where a number belongs"
    columns = COLUMNS

    def measure(self, head: Head) -> Rows:
        return {"checkpoints": [{"figure": "many"}]}


class TextOfFiles(SourceProbe):
    measures = "a text where a number belongs"
    columns = COLUMNS

    def measure(self, source: Source, first: Source) -> Rows:
        return {"checkpoints": [{"figure": "many"}]}


def test_a_text_where_a_number_belongs_is_a_failure_of_its_probe(tmp_path: Path) -> None:
    head, source = head_of(normal((30, 4), 0)), LocalSource(make_checkpoint(tmp_path / "m"))
    failures: list[CheckpointError] = []
    problem = "probe a: column checkpoints.figure is of float64, not 'many'"
    for measured in (
        measure_head(head, spec_of({"a": Text}), Clock(), failures),
        measure_sources(source, spec_of({"a": TextOfFiles}), Clock(), failures),
    ):
        assert measured == [("a", {"checkpoints": [{"reason": f"a not measured: {problem}"}]})]
    assert [str(failure) for failure in failures] == [problem] * 2
    with pytest.raises(CheckpointError, match=problem):
        measure_head(head, spec_of({"a": variant(Text, default=True)}), Clock(), failures)
