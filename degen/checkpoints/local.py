"""Series of the user's own files: a folder of checkpoints, a checkpoint folder, or a GGUF file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from degen.errors import CheckpointError, DegenError
from degen.paths import is_file
from degen.weights.checkpoint_files import WEIGHT_PATTERNS, CheckpointFiles, files_version
from degen.weights.peft_adapter import CONFIG as ADAPTER

from .series import Grammar, Series
from .source import Source

if TYPE_CHECKING:
    from degen.weights.stored_tensors import StoredTensors

    from .downloads import Downloads


def from_path(path: Path, grammar: Grammar) -> Series:
    """Return the series in a folder, or a single checkpoint as a series.

    Raises:
        DegenError: no checkpoint in it, or two of the same step.
    """
    if path.is_dir():
        return _from_folder(path, grammar)
    if path.suffix != ".gguf":
        raise DegenError(f"{path}: a series is a folder of checkpoints, a checkpoint folder or a .gguf file")
    return _single(path, path.stem, grammar)


def _from_folder(folder: Path, grammar: Grammar) -> Series:
    """Return the checkpoints in a folder as a series; without any, the folder itself as one checkpoint."""
    members = [m for m in (_member(p, grammar) for p in _listing(folder)) if m is not None]
    steps = [name for name, _ in members if grammar.parse(name) is not None]
    if not steps and _holds_model(folder):
        return _single(folder, folder.resolve().name, grammar)
    if not members:
        inner = [p for p in _listing(folder) if p.is_dir() and any(_member(q, grammar) for q in _listing(p))]
        hint = f"; {inner[0]} is a series: name it" if inner else ""
        raise DegenError(
            f"{folder}: no checkpoint in it; expected config.json, folders such as step1000 or checkpoint-1000, "
            f"or .gguf files{hint}"
        )
    sources = [(name, LocalSource(path)) for name, path in members]
    return grammar.series(str(folder), folder.resolve().name, sources, folder)


def _listing(folder: Path) -> Iterable[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DegenError(f"{folder}: cannot be read ({error.strerror})") from error


def _member(path: Path, grammar: Grammar) -> tuple[str, Path] | None:
    """Return name and path of a checkpoint: a step folder, a folder with a model, or a GGUF file; None for others."""
    if path.suffix == ".gguf" and path.is_file():
        return path.stem, path
    if path.is_dir() and (grammar.parse(path.name) is not None or _holds_model(path)):
        return path.name, path
    return None


def _holds_model(folder: Path) -> bool:
    try:
        return any(is_file(folder / name) for name in ("config.json", ADAPTER))
    except CheckpointError:
        return False  # where its name is a step it is a checkpoint, and fails as one


def _single(path: Path, name: str, grammar: Grammar) -> Series:
    """Return one checkpoint as a series. If its name is a step, it is the revision, and the parent names the model."""
    is_step = grammar.parse(name) is not None
    model = path.resolve().parent.name if is_step else name
    root = path if path.is_dir() else path.parent
    return Series(model, (grammar.checkpoint(model, name if is_step else "main", LocalSource(path)),), root)


@dataclass(frozen=True)
class LocalSource(Source):
    """A checkpoint folder or a `.gguf` file of the user's own."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def version(self) -> str | None:
        """Return a text of name, size and time of configuration and weights; None without weights."""
        if self.path.suffix == ".gguf":
            return files_version([self.path])
        weights = [file for pattern in WEIGHT_PATTERNS for file in self.path.glob(pattern)]
        return files_version([*weights, self.path / "config.json", *self.path.glob("*.py")]) if weights else None

    def config(self) -> Path:
        """Return the folder or file itself."""
        return self.path

    def tokenizer(self) -> Path | None:
        """Return the folder or file itself, if it has a tokenizer."""
        from degen.text.tokenizer import has_tokenizer

        return self.path if has_tokenizer(self.path) else None

    def tensors(self) -> StoredTensors:
        """Return the tensors of its files."""
        from degen.weights.open_weights import open_tensors

        return open_tensors(CheckpointFiles(self.path))

    def fetch(self, downloads: Downloads, whole: bool) -> CheckpointFiles:
        """Return the files where they are; nothing is downloaded."""
        return CheckpointFiles(self.path)
