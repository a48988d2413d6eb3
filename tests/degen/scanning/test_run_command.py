"""The command that makes a run again."""

from __future__ import annotations

import shlex
from itertools import pairwise
from typing import Any

from degen.cli.parsing import parse_probe_options

from degen.scanning.run_command import run_command
from degen.scanning.settings import make_settings


def test_the_options_of_probes_are_read_back_as_they_were() -> None:
    options: dict[str, Any] = {
        "two_nn": {"positions": 4000},
        "fragility": {"shares": [0.01], "tokens": 100},
        "unargmaxable": {"exact": True},
        "rank": {"ranks": [8, 16]},
    }
    asked = make_settings("m", probes=list(options), options=options, target_se={"loss": 0.01}).to_json()
    words = shlex.split(run_command({"asked": asked}, "my-run"))
    given = [text for flag, text in pairwise(words) if flag == "--probe-option"]
    assert parse_probe_options("--probe-option", given) == options
    assert words[words.index("--target-se") + 1] == "loss=0.01"
    assert words[-2:] == ["-o", "my-run"]
