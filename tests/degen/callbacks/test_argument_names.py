"""Messages for callers from Python: a model that is none, and arguments in place of options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import make_model
from trainings import load_tokenizer, make_trainer

import degen
from degen import DegenError
from degen.callbacks import DegenerationCallback, Monitor, Watch, measure_model
from degen.callbacks.argument_names import with_arguments

SETTINGS: dict[str, Any] = {"tokens": 256, "context": 32, "probes": "loss"}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("--batch-size 0: must be at least 1", "batch_size=0: must be at least 1"),
        ("has 40 learned positions; use --context 40", "has 40 learned positions; use context=40"),
        ("name one with --tokenizer, please", "name one with `tokenizer`, please"),
        ("choose another --out, or --fresh", "choose another `out`, or `fresh`"),
        ("--dtype fancy: not one of", "`dtype` fancy: not one of"),
        ("a range -- of steps -- and 1--2", "a range -- of steps -- and 1--2"),
    ],
)
def test_options_become_arguments(message: str, expected: str) -> None:
    assert with_arguments(message) == expected


def test_a_plain_module_says_what_is_needed(series: Path, corpus: Path, tmp_path: Path) -> None:
    import torch

    tokenizer = load_tokenizer(series)
    for model, name in (
        (torch.nn.Linear(2, 2), "Linear"),
        (None, "NoneType"),
        (torch.compile(torch.nn.ReLU()), "ReLU"),
    ):
        for call in (
            lambda m: measure_model(m, tokenizer, corpus=corpus, **SETTINGS),
            lambda m: Watch(Monitor(tokenizer, corpus=corpus, **SETTINGS)).begin(m),
        ):
            with pytest.raises(DegenError, match=rf"^{name} is no causal LM of transformers; give the model itself"):
                call(model)


def test_settings_are_refused_by_their_names_in_python(series: Path, corpus: Path) -> None:
    tokenizer = load_tokenizer(series)
    with pytest.raises(DegenError, match=r"^tokens=3: must be at least 16"):
        Monitor(tokenizer, corpus=corpus, tokens=3)
    monitor = Monitor(tokenizer, corpus=corpus, tokens=256, context=48, probes="loss")
    with pytest.raises(DegenError, match=r"has 40 learned positions; use context=40$"):
        monitor.check(make_model("gpt2", n_positions=40))


def test_a_trainer_is_told_of_arguments(series: Path, corpus: Path, tmp_path: Path) -> None:
    callback = DegenerationCallback(corpus=corpus, every=1, tokens=3)
    with pytest.raises(DegenError) as error:
        make_trainer(load_tokenizer(series), tmp_path, [callback], max_steps=1).train()
    assert "--" not in str(error.value)
    assert "tokens=3" in str(error.value)


def test_the_package_lists_what_it_loads_on_first_use() -> None:
    assert {"scan", "read_run", "Run"} <= set(dir(degen))
    assert {"DegenerationCallback", "Watch", "measure_model"} <= set(dir(degen.callbacks))
