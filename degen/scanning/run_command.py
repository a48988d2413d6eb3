"""The command that makes a run again, from its run.json."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from degen.printable import printable

from .settings import Settings

# entries of `asked` that are written in another way
NOT_OPTIONS = {"series", "options", "trust_remote_code"}


def run_command(info: Mapping[str, Any], out: str) -> str:
    """Return the command that makes a run again, for a POSIX shell.

    Args:
        info: its run.json.
        out: the run folder that the command names.
    """
    asked = info.get("asked", {})
    defaults = {name: getattr(Settings, name, None) for name in asked}
    words = ["degen", "scan", *map(str, asked.get("series") or [])]
    for name, value in asked.items():
        if name in NOT_OPTIONS or value is None or value == defaults[name]:
            continue
        if isinstance(value, Mapping):  # as of target_se
            value = [f"{key}={number}" for key, number in value.items()]
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        words += [f"--{name.replace('_', '-')}", text]
    for probe, options in asked.get("options", {}).items():
        for name, value in options.items():
            if value is None:
                continue
            words += ["--probe-option", f"{probe}.{name}={_option_text(value)}"]
    if asked.get("trust_remote_code"):
        words.append("--trust-remote-code")
    return printable(shlex.join([*words, "-o", out]))


def _option_text(value: Any) -> str:
    """Return the value of an option of a probe as `--probe-option` takes it; a list of one ends in a comma."""
    if isinstance(value, list):
        return ",".join(map(_option_text, value)) + "," * (len(value) < 2)
    return str(value).lower() if isinstance(value, bool) else str(value)
