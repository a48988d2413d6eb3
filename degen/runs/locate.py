"""From what a user names, a folder or a URL, to the folder of a run on this machine."""

from __future__ import annotations

import re
from pathlib import Path

from degen.errors import DegenError
from degen.paths import expand_user

_URL = re.compile(r"([a-z][a-z0-9+.\-]+):/{1,2}(?=[^/])(.*)", re.DOTALL)  # a Path makes one slash of two


def url_of(target: str | Path) -> str | None:
    """Return the URL that a target is, such as hf://datasets/org/name; None where it is a path, or there is one."""
    found = _URL.fullmatch(str(target))
    if found is None or Path(target).exists():
        return None
    return f"{found[1]}://{found[2]}"


def local_run(target: str | Path) -> Path:
    """Return the folder of a run on this machine: the one that was named, or where the run of a URL is downloaded to.

    Raises:
        DegenError: the run of a URL cannot be had, or there is no such kind of URL.
    """
    from .hub_run import PREFIX, download_run

    url = url_of(target)
    if url is None:
        return expand_user(target)
    if url.startswith("hf://"):
        return download_run(url)
    raise DegenError(f"{url}: not a URL of a run; write a folder, or {PREFIX}org/name")
