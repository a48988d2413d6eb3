"""From what a user names to a series: the ordered checkpoints of one model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .errors import DegenError
from .steps import Mark, place_in_training, read_mark, replaced, thin

WEIGHT_PATTERNS = ("*.safetensors", "*.bin", "*.safetensors.index.json", "*.bin.index.json")


@dataclass(frozen=True)
class Checkpoint:
    """One state of one model.

    Attributes:
        model: the series' label in the tables.
        revision: the folder's name, or `main` where the name says nothing of a step.
        step: optimiser steps so far, None if unknown.
        tokens_seen: training tokens so far, None if unknown.
        path: a folder with `config.json` and weights, or a `.gguf` file.
    """

    model: str
    revision: str
    step: int | None
    tokens_seen: int | None
    path: Path

    @property
    def is_gguf(self) -> bool:
        """Whether the checkpoint is one GGUF file."""
        return self.path.suffix == ".gguf"

    def __str__(self) -> str:
        return f"{self.model}@{self.revision}"


@dataclass(frozen=True)
class Series:
    """The checkpoints of one model in the order of training, and where its tokenizer may lie.

    Attributes:
        model: the label in the tables.
        checkpoints: ordered by stage and step, those without a step last.
        root: the folder that was named; a tokenizer may lie there, beside the checkpoints.
    """

    model: str
    checkpoints: tuple[Checkpoint, ...]
    root: Path

    def thinned(self, expression: str) -> Series:
        """The series with the chosen steps only; checkpoints without a step stay."""
        chosen = set(thin([c.step for c in self.checkpoints if c.step is not None], expression))
        kept = tuple(c for c in self.checkpoints if c.step is None or c.step in chosen)
        return replace(self, checkpoints=kept)


def find_series(specs: Sequence[str], steps: str = "all", note: Callable[[str], None] = lambda _: None) -> list[Series]:
    """Find every series the user named, thinned to the steps asked for.

    Args:
        specs: what CONTRACT calls SERIES, each perhaps with a `label=` in front.
        steps: the thinning, see `degen.steps.thin`.
        note: told of steps that do not exist, and of the nearest taken for them.

    Raises:
        DegenError: nothing there, no checkpoint in it, two steps alike, or two series of one name.
    """
    whole = [_find(spec) for spec in specs]
    for series in whole:
        for asked, taken in replaced([c.step for c in series.checkpoints if c.step is not None], steps).items():
            note(f"{series.model}: there is no step {asked}; step {taken} is the nearest")
    found = [series.thinned(steps) for series in whole]
    seen: dict[str, str] = {}
    for spec, series in zip(specs, found, strict=True):
        if series.model in seen:
            raise DegenError(
                f"{seen[series.model]} and {spec} would both be called {series.model!r} in the tables; "
                f"name one of them: other={spec}"
            )
        seen[series.model] = spec
    return found


def _find(spec: str) -> Series:
    label, path = _split_label(spec)
    if path.is_dir():
        series = _from_folder(path)
    elif path.is_file():
        if path.suffix != ".gguf":
            raise DegenError(f"{path}: a series is a folder of checkpoints, a checkpoint folder or a .gguf file")
        series = _single(path, path.stem)
    else:
        raise DegenError(f"{path}: no such folder or file")
    if label is None:
        return series
    return replace(series, model=label, checkpoints=tuple(replace(c, model=label) for c in series.checkpoints))


def _split_label(spec: str) -> tuple[str | None, Path]:
    label, equals, rest = spec.partition("=")
    if not equals or Path(spec).expanduser().exists():
        return None, Path(spec).expanduser()
    if not label or not rest:
        raise DegenError(f"{spec!r}: a label is written label=SERIES")
    return label, Path(rest).expanduser()


def _from_folder(folder: Path) -> Series:
    """A folder that holds step folders is a series; one that holds a model itself is a checkpoint."""
    members = [m for m in map(_member, _listing(folder)) if m is not None]
    marked = [m for m in members if m[1] is not None]
    if not marked and (folder / "config.json").is_file():
        return _single(folder, folder.resolve().name)
    if not members:
        inner = [p for p in _listing(folder) if p.is_dir() and any(map(_member, _listing(p)))]
        hint = f"; {inner[0]} is a series: name it" if inner else ""
        raise DegenError(
            f"{folder}: no checkpoint in it; expected config.json, folders such as step1000 or checkpoint-1000, "
            f"or .gguf files{hint}"
        )
    model = folder.resolve().name
    checkpoints = [_checkpoint(model, name, mark, path) for name, mark, path in members]
    _refuse_twins(folder, members)
    return Series(model, tuple(sorted(checkpoints, key=lambda c: place_in_training(c.revision))), folder)


def _listing(folder: Path) -> Iterable[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DegenError(f"{folder}: cannot be read ({error.strerror})") from error


def _member(path: Path) -> tuple[str, Mark | None, Path] | None:
    """A checkpoint of a series folder: a step folder (whole or not), a folder with a config, a GGUF file."""
    if path.suffix == ".gguf" and path.is_file():
        return path.stem, read_mark(path.stem), path
    if path.is_dir():
        mark = read_mark(path.name)
        if mark is not None or (path / "config.json").is_file():
            return path.name, mark, path
    return None


def _refuse_twins(folder: Path, members: Iterable[tuple[str, Mark | None, Path]]) -> None:
    first: dict[tuple[int, int], Path] = {}
    for _, mark, path in members:
        if mark is None:
            continue
        twin = first.setdefault((mark.stage, mark.step), path)
        if twin is not path:
            raise DegenError(
                f"{folder}: {twin.name} and {path.name} are both step {mark.step}; move one of them elsewhere"
            )


def _single(path: Path, name: str) -> Series:
    """One checkpoint as a series: a step's name belongs to the revision, its parent's to the model."""
    mark = read_mark(name)
    model = path.resolve().parent.name if mark else name
    checkpoint = _checkpoint(model, name if mark else "main", mark, path)
    return Series(model, (checkpoint,), path if path.is_dir() else path.parent)


def _checkpoint(model: str, revision: str, mark: Mark | None, path: Path) -> Checkpoint:
    return Checkpoint(model, revision, mark.step if mark else None, mark.tokens_seen if mark else None, path)
