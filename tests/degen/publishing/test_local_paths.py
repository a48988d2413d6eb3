"""Folders of this machine in texts: cut where they are paths, left where they only look like it."""

from __future__ import annotations

import pytest

from degen.publishing.local_paths import CUT, PathCutter, folders_in


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("/home/alice/models/step0", "…/step0"),
        ("x=/home/alice/models", "x=…/models"),
        ("/data/base+/data/adapter", "…/base+…/adapter"),
        ("(see '/var/log/a.txt', line 3)", "(see '…/a.txt', line 3)"),
        ("file:///home/alice/a.jsonl", "…/a.jsonl"),
        (r"C:\Users\alice\a.jsonl: damaged", "…/a.jsonl: damaged"),
        ("https://bob:secret@host/a/b?sig=1&x=2 failed", "https://host/a/b failed"),
        ("s3://bucket/a/b.jsonl.zst", "s3://bucket/a/b.jsonl.zst"),
        ("hf://datasets/org/name@v2", "hf://datasets/org/name@v2"),
        ("org/model@step*", "org/model@step*"),
        ("runs/a/b", "runs/a/b"),
        ("../runs/a", "../runs/a"),
        ("loss / tokens, and/or 1/2 m/s", "loss / tokens, and/or 1/2 m/s"),
    ],
)
def test_texts(text: str, cut: str) -> None:
    cutter = PathCutter()
    assert cutter.cut(text) == cut
    assert cutter.cut(cut) == cut


def test_folders_of_run_json_may_have_spaces() -> None:
    info = {"asked": {"series": ["m=/home/a lice/x"], "corpus": "demo"}, "sample": {"corpus": "/my texts/val.jsonl"}}
    cutter = PathCutter(folders_in(info))
    assert cutter.cut_all(info) == {
        "asked": {"series": [f"m={CUT}x"], "corpus": "demo"}, "sample": {"corpus": f"{CUT}val.jsonl"},
    }  # fmt: skip
