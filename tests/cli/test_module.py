"""`python -m degen` is the command `degen`."""

from __future__ import annotations

import subprocess
import sys


def test_the_package_runs_as_a_module() -> None:
    words = [sys.executable, "-m", "degen"]
    version = subprocess.run([*words, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("degen ")
    wrong = subprocess.run([*words, "scam"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: No such command 'scam'")
    assert "degen --help" in wrong.stderr
