"""Secrets taken out of a report that is going to be pasted where everybody reads it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HIDDEN = "***"
SHORTEST = 6  # characters; a shorter value is no secret, and would be found in any text
_NAMES = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|AUTH", re.IGNORECASE)
_PATTERNS = (
    re.compile(r"\b(?:hf|api_org|ghp|gho|github_pat)_[A-Za-z0-9_]{8,}"),  # as the hub and GitHub make them
    re.compile(r"(?<=//)[^/\s@]+(?=@)"),  # user and password of an address
    re.compile(r"(?i)(?<=bearer )\S+"),
)


def redact(value: Any) -> Any:
    """Return a text, or a mapping or list of texts, without secrets and with `~` for the home folder.

    Secrets are the values of variables whose name says so, the token of the hub's client, what looks like a token, and
    user and password of an address.
    """
    return _redact(value, _secrets(), str(Path.home()) if os.environ.get("HOME") else "")


def _redact(value: Any, secrets: list[str], home: str) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
        for pattern in _PATTERNS:
            value = pattern.sub(HIDDEN, value)
        return re.sub(rf"(?<![\w/]){re.escape(home)}(?=/|\W|$)", "~", value) if len(home) > 1 else value
    if isinstance(value, Mapping):
        return {key: _redact(item, secrets, home) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redact(item, secrets, home) for item in value]
    return value


def _secrets() -> list[str]:
    """Return what must not be shown, the longest first, so that none is hidden in part."""
    values = {value for name, value in os.environ.items() if _NAMES.search(name)}
    try:
        from huggingface_hub import get_token

        values.add(get_token() or "")
    except Exception:  # a broken client has a check of its own
        pass
    stripped = {value.strip() for value in values}
    return sorted((v for v in stripped if len(v) >= SHORTEST and not v.startswith("/")), key=len, reverse=True)
