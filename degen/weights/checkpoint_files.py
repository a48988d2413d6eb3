"""The files of a checkpoint on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from degen.hashing import fingerprint

WEIGHT_PATTERNS = ("*.safetensors", "*.bin", "*.safetensors.index.json", "*.bin.index.json")


@dataclass(frozen=True)
class CheckpointFiles:
    """A checkpoint's files on this machine.

    Attributes:
        path: a folder with weights, or a file of them, as `.gguf` and `.ckpt` are.
        adapter: a folder with an adapter for those weights; None for most.
        whole: whether every tensor is there, or the head alone.
        config: a folder with their `config.json`; None where the configuration is in `path`.
    """

    path: Path
    adapter: Path | None = None
    whole: bool = True
    config: Path | None = None

    @property
    def config_path(self) -> Path:
        """The folder or file with the configuration."""
        return self.config if self.config is not None else self.path

    @property
    def is_gguf(self) -> bool:
        """Whether they are one GGUF file."""
        return self.path.suffix == ".gguf"


def files_version(files: Iterable[Path]) -> str | None:
    """Return what tells some files from others put in their place: the newest time, and a hash of all.

    A file may be replaced by one with an older time (`cp -p`, `rsync -a`, `tar`), so that the hash is of every file's
    name, size and time.

    Returns:
        `modified N, files HASH`, N in ns; None where no file exists.
    """
    try:
        states = [(f.name, s.st_size, s.st_mtime_ns) for f in files if f.is_file() and (s := f.stat())]
        return f"modified {max(time for *_, time in states)}, files {fingerprint(sorted(states))[:16]}"
    except (OSError, ValueError):
        return None
