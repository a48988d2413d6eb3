"""From what a user names, a folder or a URL, to the folder of a run on this machine."""

from __future__ import annotations

from pathlib import Path

from degen.paths import expand_user
from degen.stores.urls import HUB, url_of


def local_run(target: str | Path) -> Path:
    """Return the folder of a run on this machine: the one that was named, or where the run of a URL is downloaded to.

    Raises:
        DegenError: the run of a URL cannot be had, or there is no such kind of URL.
    """
    from .hub_run import download_run
    from .stored_run import fetch_run

    url = url_of(target)
    if url is None:
        return expand_user(target)
    if url.startswith(HUB):
        return download_run(url)
    return fetch_run(url)
