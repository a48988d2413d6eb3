"""Series of the user's own files: a folder of checkpoints, or of such folders, a checkpoint folder, or a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from degen.checkpoint_formats.registry import find_format
from degen.checkpoint_formats.torch_file import TorchFile, is_torch_file
from degen.errors import CheckpointError, DegenError
from degen.paths import is_file
from degen.weights.peft_adapter import CONFIG as ADAPTER
from degen.weights.training_formats import format_hint

from .local import LocalSource
from .series import Checkpoint, Grammar, Series

FINAL = "final"  # revision of the model that training left beside its checkpoints
Note = Callable[[str], None]


def from_path(path: Path, grammar: Grammar, note: Note = lambda _: None) -> list[Series]:
    """Return the series in a folder, those in the folders of a folder, or a single checkpoint as a series.

    Args:
        path: a folder or a file that exists.
        grammar: how names of revisions are read.
        note: called with a message for every model beside its checkpoints.

    Raises:
        DegenError: no checkpoint in it, two of the same step, or checkpoints beside folders of checkpoints.
    """
    if path.is_dir():
        return _from_folder(path, grammar, note)
    if not _is_weight_file(path):
        raise DegenError(
            f"{path}: a series is a folder of checkpoints, a checkpoint folder, a .gguf, .ckpt, .pt or .pth file, or a "
            f"manifest, a table with a column path or repo{format_hint(path)}"
        )
    return [_single(path, path.stem, grammar)]


def from_steps(paths: Sequence[Path], grammar: Grammar) -> Series:
    """Return several checkpoints of one folder as a series; they are named one by one, as a shell expands `step*`.

    Raises:
        DegenError: two of the same step.
    """
    folder = paths[0].resolve().parent
    sources = [(_stem(path), LocalSource(_inner_model(path, grammar) or path)) for path in paths]
    return grammar.series(str(paths[0].parent), folder.name, sources, folder)


def is_step(path: Path, grammar: Grammar) -> bool:
    """Return whether a path is a checkpoint whose name gives its step, rather than a folder of checkpoints."""
    exists = path.is_dir() or _is_weight_file(path)
    if not exists or grammar.parse(_stem(path)) is None or _holds_steps(path, grammar):
        return False
    known = grammar.parse(_stem(path), whole_name=False) is not None
    return known or _holds_model(path) or _inner_model(path, grammar) is not None


def _from_folder(folder: Path, grammar: Grammar, note: Note) -> list[Series]:
    """Return the checkpoints in a folder as a series, or each folder of checkpoints in it; without any, the folder."""
    members = _members(folder, grammar, note)
    steps = [name for name, _ in members if grammar.parse(name) is not None]
    nested = [p for p in _listing(folder) if grammar.parse(p.name) is None and _holds_steps(p, grammar)]
    holds_model, name = _holds_model(folder), folder.resolve().name
    if holds_model and steps and all(is_torch_file(path) for _, path in members) and find_format(folder) is None:
        holds_model = False  # a configuration beside the files of a training
    if holds_model and (not steps or grammar.parse(name) is not None):
        if nested:
            note(f"{folder}: one checkpoint; series in it that are not read: {', '.join(map(str, nested))}")
        return [_single(folder, name, grammar)]  # in a checkpoint `global_step10` holds the optimiser's states
    inner_model = _inner_model(folder, grammar)
    if inner_model is not None and not steps and not nested:
        return [_single(folder, name, grammar, inner_model)]
    deeper = [path for name, path in members if path.name != name and path.is_dir()]
    if deeper:
        note(f"{folder}: the models lie one folder deeper, as {deeper[0]}")
    if nested and steps:
        raise DegenError(
            f"{folder}: holds checkpoints ({steps[0]}) beside folders of checkpoints ({nested[0].name}); name each "
            f"series by itself: {folder / steps[0]} and its like together, and {', '.join(map(str, nested))}"
        )
    if nested:
        others = [path for _, path in members if path not in nested]
        inner = sorted([*nested, *others])
        note(f"{folder}: {len(inner)} series in it: {', '.join(p.stem if p.is_file() else p.name for p in inner)}")
        return [series for path in inner for series in from_path(path, grammar, note)]
    if not members:
        raise DegenError(_no_checkpoint(folder, grammar))
    series = grammar.series(str(folder), name, [(name, LocalSource(path)) for name, path in members], folder)
    return [_with_final(series, folder, grammar, note) if holds_model else series]


def _no_checkpoint(folder: Path, grammar: Grammar) -> str:
    """Return the error for a folder without checkpoints; it names a series that lies deeper."""
    inner = [p for p in _listing(folder) if p.is_dir() and any(_member(q, grammar) for q in _listing(p))]
    hint = f"; {inner[0]} is a series: name it" if inner else format_hint(folder)
    return (
        f"{folder}: no checkpoint in it; expected config.json, folders such as step1000 or checkpoint-1000, "
        f"or .gguf, .ckpt or .pt files{hint}"
    )


def _with_final(series: Series, folder: Path, grammar: Grammar, note: Note) -> Series:
    """Return a series with the model that lies beside its checkpoints behind them, unless its step is among them.

    A Trainer saves its final model so, and its step in `trainer_state.json`. Where that is missing the step is unknown.
    """
    step = _final_step(folder)
    if step is not None and any(c.step is not None and c.step > step for c in series.checkpoints):
        step = None  # the file is of an earlier training
    same = next((c.revision for c in series.checkpoints if step is not None and c.step == step), None)
    if same is not None:
        note(
            f"{folder}: the model beside the checkpoints is left out: trainer_state.json says step {step}, as {same} is"
        )
        return series
    taken = {c.revision for c in series.checkpoints}
    revision = FINAL if FINAL not in taken else next(n for i in range(2, 99) if (n := f"{FINAL}-{i}") not in taken)
    known = (
        f"step {step} by its trainer_state.json"
        if step is not None
        else "without a step, as no trainer_state.json gives it (trainer.save_state() writes one)"
    )
    note(f"{folder}: the model beside the checkpoints is measured as revision {revision}, {known}")
    per_step = grammar.tokens_per_step
    seen = step * per_step if step is not None and per_step is not None else None
    final = Checkpoint(series.model, revision, step, seen, LocalSource(folder))
    return replace(series, checkpoints=(*series.checkpoints, final))


def _final_step(folder: Path) -> int | None:
    """Return the step at which a Trainer ended, from its `trainer_state.json`; None where that does not say it."""
    try:
        state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    step = state.get("global_step") if isinstance(state, dict) else None
    return step if isinstance(step, int) and not isinstance(step, bool) and step >= 0 else None


def _listing(folder: Path) -> Iterable[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DegenError(f"{folder}: cannot be read ({error.strerror})") from error


def _members(folder: Path, grammar: Grammar, note: Note) -> list[tuple[str, Path]]:
    """Return name and path of every checkpoint in a folder.

    Of files of torch those count whose names give steps; others, as Lightning's `last.ckpt`, where there is nothing
    else.
    """
    members = [m for m in (_member(p, grammar) for p in _listing(folder)) if m is not None]
    without_step = [m for m in members if is_torch_file(m[1]) and grammar.parse(m[0]) is None]
    if not without_step or len(without_step) == len(members):
        return [] if without_step and _holds_model(folder) else members
    names = ", ".join(path.name for _, path in without_step)
    note(f"{folder}: left out, as its name gives no step: {names}; a file is scanned by itself if it is named")
    return [m for m in members if m not in without_step]


def _is_weight_file(path: Path) -> bool:
    """Return whether a path is a file that is a checkpoint, by its name."""
    return (path.suffix == ".gguf" and path.is_file()) or is_torch_file(path)


def _member(path: Path, grammar: Grammar) -> tuple[str, Path] | None:
    """Return name and path of a checkpoint: a step folder, a folder with a model, or a file; None for others."""
    if _is_weight_file(path):
        return path.stem, path
    is_step = grammar.parse(path.name, whole_name=False) is not None  # a folder `2024` need not be a checkpoint
    if (inner := _inner_model(path, grammar)) is not None:
        return path.name, inner
    if path.is_dir() and (is_step or _holds_model(path)):
        return path.name, path
    return None


def _holds_steps(path: Path, grammar: Grammar) -> bool:
    """Return whether a folder holds checkpoints with a model in them whose names give their steps."""
    if not path.is_dir():
        return False
    try:
        inner = list(path.iterdir())
    except OSError:
        return False  # of no concern, unless the user names it
    steps = (p for p in inner if grammar.parse(_stem(p)) is not None)
    return any(_is_weight_file(p) or _holds_model(p) or _inner_model(p, grammar) for p in steps)


def _inner_model(path: Path, grammar: Grammar) -> Path | None:
    """Return the one folder with a model in a folder whose name is a step and that holds none, as `step_500/hf`.

    None where there is no such folder, or several, or where it is a checkpoint of its own.
    """
    if not path.is_dir() or grammar.parse(path.resolve().name) is None or _holds_model(path):
        return None
    try:
        inner = [p for p in path.iterdir() if p.is_dir() and _holds_model(p)]
    except OSError:
        return None
    return inner[0] if len(inner) == 1 and grammar.parse(inner[0].name) is None else None


def _holds_model(folder: Path) -> bool:
    try:
        if any(is_file(folder / name) for name in ("config.json", ADAPTER)):
            return True
        return folder.is_dir() and _holds_weights(folder)
    except CheckpointError:
        return False  # where its name is a step it is a checkpoint, and fails as one


def _holds_weights(folder: Path) -> bool:
    """Return whether a folder is a checkpoint by its weights alone; a file of torch in it is one by itself."""
    known = find_format(folder)
    return known is not None and not isinstance(known, TorchFile)


def _stem(path: Path) -> str:
    """Return the name of a checkpoint: of its folder, or of its file without the ending."""
    return path.stem if _is_weight_file(path) else path.name


def _single(path: Path, name: str, grammar: Grammar, files: Path | None = None) -> Series:
    """Return one checkpoint as a series. If its name is a step, it is the revision, and the parent names the model.

    Args:
        path: its folder or file.
        name: its name.
        grammar: how names of revisions are read.
        files: the folder within it that holds the model; None for its own.
    """
    is_step = grammar.parse(name) is not None
    model = path.resolve().parent.name if is_step else name
    root = path if path.is_dir() else path.parent
    return Series(model, (grammar.checkpoint(model, name if is_step else "main", LocalSource(files or path)),), root)
