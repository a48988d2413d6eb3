"""Files that one of several processes writes."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from degen.paths import create_once


@pytest.mark.parametrize("with_links", [True, False])
def test_one_of_many_creates_a_file_and_all_find_it_whole(
    with_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "no hard links, as on exFAT")

    if not with_links:
        monkeypatch.setattr(os, "link", refuse)
    file, ready, created = tmp_path / "run.json", threading.Barrier(8), []

    def create(text: str) -> None:
        ready.wait()
        if create_once(file, text):
            created.append(text)

    threads = [threading.Thread(target=create, args=(str(i) * 5000,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert created == [file.read_text()]
    assert list(tmp_path.iterdir()) == [file]


def test_link_whose_confirmation_was_lost_counts_as_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def link_twice(*paths: Any) -> None:  # as an NFS client does that sends its request again
        link(*paths)
        link(*paths)

    monkeypatch.setattr(os, "link", link_twice)
    assert create_once(tmp_path / "run.json", "{}")
    monkeypatch.undo()
    assert not create_once(tmp_path / "run.json", "[]")
    assert (tmp_path / "run.json").read_text() == "{}"
