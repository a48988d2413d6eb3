"""The folder for what is downloaded: links into the user's cache, and nothing else of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from degen import DegenError
from degen.checkpoints.downloads import Downloads, own_downloads
from degen.checkpoints.hub_source import HubSource

SOURCES = [HubSource("org/m", name, commit * 40) for name, commit in (("a", "1"), ("a", "2"), ("b", "1"))]


def test_every_revision_of_every_commit_has_a_folder_of_its_own(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path / "downloads")
    assert len({downloads.folder(source.key) for source in SOURCES}) == 3
    assert downloads.folder(SOURCES[0].key) == Downloads(tmp_path / "downloads").folder(SOURCES[0].key)
    downloads.release(SOURCES[0].key)
    assert len(list(downloads.path.iterdir())) == 2


def test_links_are_deleted_and_the_files_they_lead_to_are_not(tmp_path: Path) -> None:
    cached = tmp_path / "cache" / "blob"
    cached.parent.mkdir()
    cached.write_text("mine")
    (tmp_path / "cache" / "pointer").symlink_to("blob")
    downloads = Downloads(tmp_path / "downloads")
    for end in (lambda: downloads.release(SOURCES[0].key), downloads.clear):
        folder = downloads.folder(SOURCES[0].key)
        for _ in range(2):  # what an earlier try linked is linked anew
            downloads.link(tmp_path / "cache" / "pointer", folder / "sub" / "model.safetensors")
        downloads.link(cached.parent, folder / "all")
        assert (folder / "sub" / "model.safetensors").readlink() == cached.resolve()
        end()
        assert not folder.exists()
    assert cached.read_text() == "mine"


def test_a_download_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    cached = tmp_path / "cache" / "model.safetensors"
    cached.parent.mkdir()
    cached.write_text("mine")
    (tmp_path / "downloads").symlink_to(cached.parent)
    Downloads(tmp_path / "downloads").clear()
    assert cached.read_text() == "mine"


def test_an_unknown_value_of_keep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DegenError, match="--keep some: must be one of none, all"):
        Downloads(tmp_path, "some")


def test_processes_keep_their_downloads_apart_and_clear_those_of_dead_ones(tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    with own_downloads(folder, "none") as one:
        kept = one.folder(SOURCES[0].key)
        dead = one.path.with_name(f"{one.path.name.rpartition('-')[0]}-00000000")
        elsewhere = folder / "process-89abcdef-00000000"  # of another machine, whose locks may not be seen here
        for left in (dead, elsewhere):
            (left / "0123456789abcdef").mkdir(parents=True)
        with own_downloads(folder, "none") as other:
            assert other.path != one.path
            assert kept.is_dir()
            assert elsewhere.is_dir()
            assert not dead.exists()
    assert list(folder.iterdir()) == [elsewhere]
    Downloads(folder).clear()  # of a scan that has the folder alone
    assert not folder.exists()
