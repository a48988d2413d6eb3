"""Threads of OpenMP sleep soon where there is no work, unless the user says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from degen.cli.idle_threads import CHOSEN_BY, TURNS, sleep_when_idle

SHOWN = """
import os
from degen.cli.idle_threads import sleep_when_idle
sleep_when_idle(os.environ)
import torch
"""


@pytest.mark.parametrize("name", CHOSEN_BY)
def test_what_the_user_chose_stays(name: str) -> None:
    environment = {name: "7"}
    sleep_when_idle(environment)
    assert environment == {name: "7"}


@pytest.mark.skipif(sys.platform != "linux", reason="torch has an OpenMP that shows its settings on Linux alone")
def test_the_openmp_of_torch_takes_it_in() -> None:
    usual = {k: v for k, v in os.environ.items() if k not in CHOSEN_BY} | {"OMP_DISPLAY_ENV": "verbose"}
    shown = subprocess.run([sys.executable, "-c", SHOWN], env=usual, capture_output=True, text=True, check=True).stderr
    assert f"GOMP_SPINCOUNT = '{TURNS}'" in shown
