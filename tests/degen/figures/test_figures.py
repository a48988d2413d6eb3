"""Figures: models told apart, numbers that JSON can bear, files written whole, the same every time."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import altair
import pytest

from degen.errors import DegenError
from degen.figures.export import check_figure, save_figure
from degen.figures.figure import Figure
from degen.figures.style import COLOURS, DASHES, SHAPES, by_model, colours_of, dashes_of, shapes_of
from degen.figures.training_curves import training_curves


def curves(models: list[str], among: list[str] | None = None) -> Figure:
    rows = [
        {"model": model, "revision": f"step{i}", "step": i, "tokens": None, "value": 1.0 + i, "low": None, "high": None}
        for model, i in product(models, range(3))
    ]
    return training_curves("loss", "Loss", "loss", rows, [], models, "A loss that rises.", among=among or ())


def test_42_models_look_different() -> None:
    models = [str(i) for i in range(len(COLOURS) * len(DASHES))]
    assert len(models) == 42
    for other in (dashes_of(models), shapes_of(models)):
        assert len({(colour, str(look)) for colour, look in zip(colours_of(models), other, strict=True)}) == 42
    assert len(DASHES) == len(SHAPES)


def test_a_model_looks_the_same_beside_fewer_others() -> None:
    every = ["a", "b", "c"]
    alone = by_model(["c"], among=every)["color"].to_dict()
    together = by_model(every)["color"].to_dict()
    assert alone["scale"] == together["scale"]
    assert alone["legend"]["values"] == ["c"]


def test_numbers_that_json_lacks_are_null() -> None:
    figure = curves(["a"])
    figure.tables["values"][0]["value"] = math.nan
    figure.tables["values"][1]["value"] = math.inf
    assert [row["value"] for row in figure.with_data()["datasets"]["values"]] == [None, None, 3.0]


def test_a_specification_is_valid_and_the_same_every_time() -> None:
    first = curves(["a", "b"])
    altair.Chart.from_dict(first.with_data() | {"width": 100}, validate=True)
    assert first.spec == curves(["a", "b"]).spec


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_a_figure_that_cannot_be_written_leaves_nothing(ending: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / f"f.{ending}").mkdir()
    with pytest.raises(DegenError, match="cannot be written"):
        save_figure(curves(["a"]), tmp_path / "folder" / f"f.{ending}")
    assert [file.name for file in (tmp_path / "folder").iterdir()] == [f"f.{ending}"]


@pytest.mark.parametrize(
    ("name", "message"), [("f.gif", "svg, pdf, png"), ("f", "svg, pdf, png"), ("no/f.svg", "no such folder")]
)
def test_a_file_is_refused_before_the_work_begins(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DegenError, match=message):
        check_figure(tmp_path / name)


def test_text_of_others_is_text_in_svg(tmp_path: Path) -> None:
    figure = curves(["<script>alert(1)</script>", "\"&'"])
    save_figure(figure, tmp_path / "f.svg")
    text = (tmp_path / "f.svg").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
