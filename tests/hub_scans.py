"""Scans of the stand-in hub in this process: the real client sent there, with nothing to wait for between attempts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hub import Hub, Repo, hub
from hub_client import online
from huggingface_hub import constants

import degen
from degen.checkpoints import hub_client as product_client
from degen.checkpoints import hub_source
from degen.checkpoints.find_series import find_series
from degen.checkpoints.series import Grammar, Series

SMALL: dict[str, Any] = {"tokens": 128, "context": 32, "threads": 1}
HEADS: dict[str, Any] = {"probes": ["spectrum"], "threads": 1}
WEIGHTS = (".safetensors", ".bin")

Files = dict[str, bytes]


def packed(*folders: Path) -> Files:
    """Return the files of folders, as a revision of a repository holds them."""
    return {str(f.relative_to(folder)): f.read_bytes() for folder in folders for f in _files(folder)}


def marked(mark: object) -> Files:
    """Make a revision with a configuration of its own, and nothing else."""
    return {"config.json": json.dumps({"mark": mark}).encode()}


def add_odd(scans: Scans) -> Scans:
    """Serve `org/m`, a repository with branches and tags of all sorts."""
    branches = ("main", "step0", "step1000", "step512", "step2000-tokens4B", "draft/step7")
    tags = {"v1": marked("v1"), "step64": marked("step64")}
    scans.add("org/m", {name: marked(name) for name in branches}, tags=tags)
    return scans


def _files(folder: Path) -> list[Path]:
    return [f for f in sorted(folder.rglob("*")) if f.is_file()]


def file_states(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file below a folder, links included: the time of its last change, and its content."""
    return {
        str(f.relative_to(folder)): (f.lstat().st_mtime_ns, f.read_bytes()) for f in folder.rglob("*") if f.is_file()
    }


def revisions(series: Path) -> dict[str, Files]:
    """Return a series on disk as branches: every checkpoint with the tokenizer that lies beside them."""
    beside = {f.name: f.read_bytes() for f in series.iterdir() if f.is_file()}
    return {f.name: beside | packed(f) for f in sorted(series.iterdir()) if f.is_dir()}


def sharded(folder: Path, shards: int = 3, legacy: bool = False) -> Path:
    """Spread the weights of a checkpoint over so many files, 1 for one; safetensors, or legacy PyTorch files."""
    import torch
    from safetensors.torch import load_file, save_file

    whole = folder / "model.safetensors"
    tensors = load_file(whole)
    whole.unlink()
    stem, suffix = ("pytorch_model", "bin") if legacy else ("model", "safetensors")
    names = (
        [f"{stem}-{i + 1:05d}-of-{shards:05d}.{suffix}" for i in range(shards)] if shards > 1 else [f"{stem}.{suffix}"]
    )
    file_of = {key: names[i % shards] for i, key in enumerate(sorted(tensors))}
    for name in names:
        part = {key: tensor for key, tensor in tensors.items() if file_of[key] == name}
        if legacy:
            torch.save(part, folder / name)
        else:
            save_file(part, folder / name, metadata={"format": "pt"})
    if shards > 1:
        (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": file_of}))
    return folder


class Scans:
    """A hub, a user's cache, and scans of the one into the other's neighbourhood.

    Attributes:
        hub: what is served; repositories may be added.
        cache: what stands for ~/.cache/huggingface/hub.
        folder: where runs go.
    """

    def __init__(self, server: Hub, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.hub = server
        self.folder = folder
        self.cache = folder / "cache"
        self._patch = patch

    def add(self, name: str, branches: Mapping[str, Files], **more: Any) -> Repo:
        """Serve a repository."""
        repo = self.hub.repos[name] = Repo(dict(branches), **more)
        return repo

    def find(self, spec: str, steps: str = "all", pattern: str | None = None, per_step: int | None = None) -> Series:
        """Return the one series of a name."""
        (series,) = find_series([spec], steps, grammar=Grammar(pattern, per_step))
        return series

    def scan(self, *series: str | Path, out: str = "run", **options: Any) -> degen.Run:
        """Scan into a run folder of that name, with few tokens unless others are asked for."""
        return degen.scan(series, out=self.folder / out, **SMALL | options)

    def heads(self, *series: str | Path, out: str = "run", **options: Any) -> degen.Run:
        """Scan heads alone."""
        return degen.scan(series, out=self.folder / out, **HEADS | options)

    def offline(self) -> None:
        """From here on HF_HUB_OFFLINE holds."""
        self._patch.setattr(constants, "HF_HUB_OFFLINE", True)

    def token(self, token: str) -> None:
        """From here on HF_TOKEN holds."""
        self._patch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
        self._patch.setenv("HF_TOKEN", token)

    def forget(self) -> None:
        """Forget what an earlier scan of this process knew, as a new process would, and what the hub was asked."""
        hub_source._folders.clear()
        self.hub.requests.clear()

    def weights(self, *folders: Path) -> list[Path]:
        """Return files as large as weights, of whatever name, in the cache and the run folders, or in other folders."""
        files = (f for folder in folders or (self.folder,) for f in _files(folder))
        return [f for f in files if f.name.endswith(WEIGHTS) or f.stat().st_size > 200_000]


@contextmanager
def scanned_hub(folder: Path) -> Iterator[Scans]:
    """Yield an empty hub that this process is sent to, until the end of the block."""
    with hub({}) as server, online(folder / "cache"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", server.endpoint)
        patch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        patch.setattr(product_client, "FIRST_WAIT", 0)
        patch.setattr(hub_source, "_folders", {})
        yield Scans(server, folder, patch)
