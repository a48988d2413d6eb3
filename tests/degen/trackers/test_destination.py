"""What stands behind --track and --to, and what is refused before anything is measured."""

from __future__ import annotations

import pytest

from degen.errors import DegenError
from degen.trackers.destination import KINDS, Destination, is_destination, parse_destination
from degen.trackers.figure_names import figure_name, layer_figure_name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tensorboard:runs/tb", Destination("tensorboard", {"folder": "runs/tb"})),
        ("tensorboard:a,b=c/d", Destination("tensorboard", {"folder": "a,b=c/d"})),
        ("wandb:project=x,entity=me", Destination("wandb", {"project": "x", "entity": "me"})),
        ("wandb:x", Destination("wandb", {"project": "x"})),
        ("trackio:project=x", Destination("trackio", {"project": "x"})),
        (
            "mlflow:experiment=x,uri=http://127.0.0.1:5000",
            Destination("mlflow", {"experiment": "x", "uri": "http://127.0.0.1:5000"}),
        ),
    ],
)
def test_destinations_are_parsed(text: str, expected: Destination) -> None:
    assert is_destination(text)
    assert parse_destination("--to", text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("comet:project=x", "--track comet:project=x: names no tracker"),
        ("wandb", "names no project; write it as wandb:project=degeneration"),
        ("wandb:", "names no project"),
        ("tensorboard:", "names no folder"),
        ("wandb:project=x,team=y", "'team=y' is none of project=, entity=, dir="),
        ("mlflow:uri=x", "names no experiment"),
        ("trackio:project=", "'project=' is none of"),
    ],
)
def test_destinations_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(DegenError) as refused:
        parse_destination("--track", text)
    assert message in str(refused.value)


def test_files_are_no_destinations_and_examples_are() -> None:
    assert not any(map(is_destination, ("layers.csv", "a:b.csv", "runs/wandb:x.csv", "tensorboard.json")))
    assert all(parse_destination("--to", kind.example).tracker == name for name, kind in KINDS.items())


def test_names_are_those_of_the_callbacks() -> None:
    assert figure_name("loss") == "degen/loss"
    assert figure_name("loss", "mine/") == "mine/loss"
    assert layer_figure_name("anisotropy", 7, "block") == "degen/layer_07/anisotropy"
    assert layer_figure_name("anisotropy", 12, "head_input") == "degen/head_input/anisotropy"
    assert layer_figure_name("anisotropy", 0, "embedding") == "degen/embedding/anisotropy"
