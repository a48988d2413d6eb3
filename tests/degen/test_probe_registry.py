"""Installed probes are looked for once, and anew where a package came or went."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from degen.probe_registry import installed


def test_a_package_that_comes_or_goes_meanwhile_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = installed()
    assert before == installed()
    info = tmp_path / "made-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[degen.probes]\nmade = made:Made\n")
    assert set(installed()) == {*before, "made"}
    assert list(installed()) == sorted(installed())
    shutil.rmtree(info)
    assert installed() == before


def test_a_caller_may_change_what_it_is_given() -> None:
    before = installed()
    installed().clear()
    assert installed() == before
