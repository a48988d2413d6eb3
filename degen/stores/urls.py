"""URLs among the names that users give."""

from __future__ import annotations

import re
from pathlib import Path

HUB = "hf://"
_URL = re.compile(r"([a-z][a-z0-9+.\-]+):/+(.*)", re.DOTALL)


def url_of(target: str | Path) -> str | None:
    """Return the URL that a target is, such as s3://bucket/run; None where it is a path, or there is one.

    Of the two slashes behind the scheme one may be lost, as in a `Path`.
    """
    text = str(target)
    found = _URL.fullmatch(text)
    if found is None or Path(text).exists():
        return None
    root = "/" if found[1] in ("file", "local") else ""
    return f"{found[1]}://{root}{found[2]}"
