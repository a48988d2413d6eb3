"""Series of the user's own files: a folder of checkpoints, a checkpoint folder, or a GGUF file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from degen.errors import DegenError
from degen.weights.checkpoint_files import WEIGHT_PATTERNS, Files
from degen.weights.peft_adapter import CONFIG as ADAPTER

from .series import Grammar, Series
from .source import Source

if TYPE_CHECKING:
    from degen.weights.stored_tensors import StoredTensors

    from .downloads import Downloads


def from_path(path: Path, grammar: Grammar) -> Series:
    """Return the series that a folder or file is.

    Raises:
        DegenError: no checkpoint in it, or two of the same step.
    """
    if path.is_dir():
        return _from_folder(path, grammar)
    if path.suffix != ".gguf":
        raise DegenError(f"{path}: a series is a folder of checkpoints, a checkpoint folder or a .gguf file")
    return _single(path, path.stem, grammar)


def _from_folder(folder: Path, grammar: Grammar) -> Series:
    """Return a folder that holds step folders is a series; one that holds a model itself is a checkpoint."""
    members = [m for m in (_member(p, grammar) for p in _listing(folder)) if m is not None]
    marked = [name for name, _ in members if grammar.mark(name) is not None]
    if not marked and _holds_model(folder):
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
    """Return name and path of a checkpoint of a series: a step folder, a folder with a model, or a GGUF file."""
    if path.suffix == ".gguf" and path.is_file():
        return path.stem, path
    if path.is_dir() and (grammar.mark(path.name) is not None or _holds_model(path)):
        return path.name, path
    return None


def _holds_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.json", ADAPTER))


def _single(path: Path, name: str, grammar: Grammar) -> Series:
    """Return one checkpoint as a series: a step's name belongs to the revision, its parent's to the model."""
    marked = grammar.mark(name) is not None
    model = path.resolve().parent.name if marked else name
    root = path if path.is_dir() else path.parent
    return Series(model, (grammar.checkpoint(model, name if marked else "main", LocalSource(path)),), root)


@dataclass(frozen=True)
class LocalSource(Source):
    """A checkpoint folder or a `.gguf` file of the user's own."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def version(self) -> str | None:
        """Return the newest modification time of configuration and weights, in ns."""
        path = self.path
        try:
            weights = [path] if path.suffix == ".gguf" else [f for p in WEIGHT_PATTERNS for f in path.glob(p)]
            files = weights if path.suffix == ".gguf" else [*weights, path / "config.json"]
            return f"modified {max(f.stat().st_mtime_ns for f in files if f.is_file())}" if weights else None
        except (OSError, ValueError):
            return None

    def config(self) -> Path:
        """Return the folder or file itself."""
        return self.path

    def tokenizer(self) -> Path | None:
        """Return the folder or file itself, if it brings one."""
        from degen.text.tokenizer import has_tokenizer

        return self.path if has_tokenizer(self.path) else None

    def tensors(self) -> StoredTensors:
        """Return the tensors of its files."""
        from degen.weights.open_weights import open_tensors

        return open_tensors(Files(self.path))

    def fetch(self, downloads: Downloads, whole: bool) -> Files:
        """Nothing to fetch."""
        return Files(self.path)
