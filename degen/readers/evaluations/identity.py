"""The model and the step that a result file is about: from what was evaluated, and from names of files and folders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

from degen.checkpoints.steps import RevisionStep, parse_revision

from .content import ResultContent
from .name_parts import NameParts, split_name

FILE, FOLDER, EVALUATED, UNKNOWN = "name of the file", "name of a folder", "what was evaluated", ""
Named = tuple[str, NameParts]  # which of these a name is, and its parts
Origin = tuple[str, ...]  # the names of a path that can name a model, the outermost first, without steps and times


@dataclass(frozen=True)
class Identity:
    """The model and the step that a result file is about.

    Attributes:
        model: label of the model, perhaps that of another run, too; see `labels_of_runs`.
        step: its step; None if unknown.
        num_fewshot: the few-shot setting in the names of the file and its folders; None where they have none.
        time: when it was evaluated, in seconds since 1970; None if unknown.
        evaluated: path or repository that was evaluated; empty if unknown.
        folders: the folders around the file, and its own name.
        tasks: names of its tasks.
        model_from: where the label comes from, as `name of the file`; empty if unknown.
        step_from: where the step comes from; empty if unknown.
    """

    model: str
    step: RevisionStep | None
    num_fewshot: int | None
    time: float | None
    evaluated: Origin
    folders: Origin
    tasks: frozenset[str]
    model_from: str = UNKNOWN
    step_from: str = UNKNOWN


def identify(stem: str, folders: Sequence[str], content: ResultContent) -> Identity:
    """Return the model and the step of a result file.

    The step is read from the name of the file, the revision or checkpoint that was evaluated, or a folder around the
    file, in this order; the model from what was evaluated, the name of the file, or a folder around it.

    Args:
        stem: the name of the file without its ending.
        folders: the names of the folders around it, the outermost first; those further out are not looked at.
        content: its content.
    """
    own, evaluated = split_name(stem), _split_path(content.evaluated)
    around = [part for folder in folders for part in _split_path(folder.replace("__", "/"))]
    names = [(FILE, own), *((FOLDER, part) for part in reversed(around))]
    revision = [(EVALUATED, split_name(content.revision)), *((EVALUATED, part) for part in _checkpoint(evaluated))]
    steps = [(source, part.step) for source, part in (names[0], *revision, *names[1:]) if part.step is not None]
    step_from, step = steps[0] if steps else (UNKNOWN, None)
    if step is None and evaluated and evaluated[-1].model.isdecimal():
        step_from, step = EVALUATED, parse_revision(evaluated[-1].model)  # nanotron's names are steps alone
    tasks = frozenset(score.task for score in content.scores)
    model_from, model = _model([(EVALUATED, part) for part in reversed(evaluated)], names, tasks)
    times = [part.time for _, part in names if part.time is not None]
    return Identity(
        model=model or folders[0],
        step=step,
        num_fewshot=next((part.num_fewshot for _, part in names if part.num_fewshot is not None), None),
        time=times[0] if times else content.date,
        evaluated=_origin(evaluated),
        folders=_origin([*around, own]),
        tasks=tasks,
        model_from=model_from,
        step_from=step_from,
    )


def labels_of_runs(identities: Sequence[Identity]) -> list[str]:
    """Return the label of each file's model, so that no two runs have one label.

    Where different paths or repositories were evaluated under one label, the names around it stand in front: `a/sft`,
    `b/sft`. Where nothing says what was evaluated, the folders around the files decide likewise, unless each folder has
    tasks of its own. Several seeds and ingredients are models of their own, and so are stages, whose steps begin anew.

    Args:
        identities: of all files.
    """
    by_label: dict[str, list[Identity]] = defaultdict(list)
    for identity in identities:
        by_label[identity.model].append(identity)
    names = {label: _names_of_origins(files) for label, files in by_label.items()}
    stages = {label: {i.step.stage for i in files if i.step is not None} for label, files in by_label.items()}
    labels = []
    for identity in identities:
        parts = [names[identity.model].get(identity.evaluated or identity.folders, identity.model)]
        if identity.step is not None:
            parts += [identity.step.stage or ""] if len(stages[identity.model]) > 1 else []
            parts += [identity.step.run_name or ""]
        labels.append("/".join(part for part in parts if part))
    return labels


def _names_of_origins(files: Sequence[Identity]) -> dict[Origin, str]:
    """Return the names of several runs that have one label, by what was evaluated or by folder; empty for one run."""
    evaluated = {file.evaluated for file in files if file.evaluated}
    if evaluated:
        return _distinct_names(evaluated)
    tasks: dict[Origin, set[str]] = defaultdict(set)
    for file in files:
        tasks[file.folders] |= file.tasks
    overlap = any(one & other for one, other in combinations(tasks.values(), 2))
    return _distinct_names(set(tasks)) if overlap else {}


def _distinct_names(origins: Collection[Origin]) -> dict[Origin, str]:
    """Return for each origin as many of its last names as tell all apart, joined by `/`; empty where there is one.

    An origin that ends another one is the same, as `pythia-70m` and `EleutherAI/pythia-70m`.
    """
    longest: dict[Origin, Origin] = {}
    for origin in origins:
        longer = [other for other in origins if len(other) > len(origin) and other[-len(origin) :] == origin]
        same = max(longer, key=len, default=origin)
        longest[origin] = same if all(same[-len(other) :] == other for other in longer) else origin
    whole = set(longest.values())
    if len(whole) < 2:
        return {}
    count = next(n for n in range(1, 1 + max(map(len, whole))) if len({origin[-n:] for origin in whole}) == len(whole))
    return {origin: "/".join(same[-count:]) for origin, same in longest.items()}


def _split_path(path: str) -> list[NameParts]:
    """Return the parts of each name of a path or repository, the outermost first."""
    names = path.replace("\\", "/").split("/")
    return [split_name(name) for name in names if name not in ("", ".", "..", "~")]


def _checkpoint(evaluated: Sequence[NameParts]) -> list[NameParts]:
    """Return the last name of an evaluated path; where it only says how it is stored, as `hf`, the one before, too."""
    if len(evaluated) > 1 and evaluated[-1].step is None and evaluated[-1].is_storage:
        return [evaluated[-1], evaluated[-2]]
    return list(evaluated[-1:])


def _model(evaluated: Sequence[Named], names: Sequence[Named], tasks: Collection[str]) -> tuple[str, str]:
    """Return where the label of the model comes from, and the label; both empty where no name gives one.

    It is the first name that can name a model, else the first that is not empty.

    Args:
        evaluated: the names of the path that was evaluated, the innermost first.
        names: the name of the file and those of the folders around it, the innermost first.
        tasks: names of the file's tasks, after which users call files, too.
    """
    telling = [(source, part.model) for source, part in evaluated if part.is_telling]
    telling += [(source, part.model) for source, part in names if part.is_telling and part.model not in tasks]
    rest = [(source, part.model) for source, part in (*evaluated, *names[1:]) if not part.model.isdecimal()]
    return next((named for named in (*telling, *rest) if named[1]), (UNKNOWN, ""))


def _origin(parts: Sequence[NameParts]) -> Origin:
    return tuple(part.model for part in parts if part.is_telling)
