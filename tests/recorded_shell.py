"""What a real shell makes of a script: its commands are written down, with their words expanded, instead of run.

Variables, pipes, redirections, loops and `xargs` are the shell's own; a program of `PROGRAMS` is a line in a log, and
ends with exit code 0.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("degen", "make", "pip", "python", "hf")
UNIT, RECORD = "\x1f", "\x1e"
NOTE = f"""#!/bin/sh
printf '%s{UNIT}' "${{0##*/}}" "${{HF_HUB_OFFLINE-}}" "$@" '{RECORD}' >>"$CALLS"
"""  # one write, which keeps whole what runs side by side


@dataclass(frozen=True)
class Call:
    """A command as the shell would start it.

    Attributes:
        program: one of `PROGRAMS`.
        words: its arguments.
        offline: whether HF_HUB_OFFLINE is set for it.
    """

    program: str
    words: tuple[str, ...]
    offline: bool = False

    def __str__(self) -> str:
        return shlex.join([self.program, *self.words])


def record(script: str, folder: Path, **variables: str) -> list[Call]:
    """Return the commands of a script, in the order in which a shell starts them.

    Args:
        script: lines for `sh`.
        folder: an empty folder to run it in; `.venv` there is the environment of this process.
        variables: of the shell.

    Raises:
        AssertionError: the shell reports an error, or starts a program that is not among those written down.
    """
    programs, log = folder / "programs", folder / "calls"
    programs.mkdir(parents=True)
    log.touch()
    for name in PROGRAMS:
        (programs / name).write_text(NOTE)
        (programs / name).chmod(0o755)
    (folder / ".venv").symlink_to(sys.prefix)
    environment = {"PATH": f"{programs}{os.pathsep}{os.defpath}", "CALLS": str(log), **variables}
    done = subprocess.run(
        [shutil.which("sh") or "sh", "-e", "-c", script], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, ""), f"{done.stderr}in: {script}"
    calls = log.read_text(encoding="utf-8").split(f"{RECORD}{UNIT}")[:-1]
    return [_call(*call.split(UNIT)[:-1]) for call in calls]


def _call(program: str, offline: str, *words: str) -> Call:
    return Call(program, words, offline not in ("", "0"))
