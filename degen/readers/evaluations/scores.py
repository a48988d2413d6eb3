"""Collect the scores of all result files: one for each model, step, task, metric and setting, the newest of several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .content import Score
from .identity import Identity, identify, labels_of_runs
from .lighteval import AVERAGE
from .olmes import PROGRAM as OLMES
from .result_files import ResultFile


class ScoreKey(NamedTuple):
    """What tells a score from every other one.

    Attributes:
        model: label of the model.
        task: name of the task.
        metric: name of the metric.
        num_fewshot: its few-shot setting; None if unknown.
        limit: its limit on the number of questions; None for all of them.
        step: the step; None if unknown.
        file: the file, where the step is unknown.
    """

    model: str
    task: str
    metric: str
    num_fewshot: int | None
    limit: float | None
    step: int | None
    file: Path | None


@dataclass(frozen=True)
class Repeat:
    """A score that another file has, too, with another value: its key, the file left out and the one that counts."""

    key: ScoreKey
    older: Path
    newer: Path


@dataclass
class Scores:
    """The scores of all result files.

    Attributes:
        by_key: the scores.
        repeats: the scores left out for newer ones with other values.
        same_again: the scores left out for newer ones with the same value; those that a program writes into several
            files at once are not among them.
        stepless: the files whose step is unknown.
        averages: how many averages were left out because the files average over different tasks.
        origins: where model and step come from, as `(name of the file)`.
    """

    by_key: dict[ScoreKey, Score] = field(default_factory=dict)
    repeats: list[Repeat] = field(default_factory=list)
    same_again: list[ScoreKey] = field(default_factory=list)
    stepless: list[Path] = field(default_factory=list)
    averages: int = 0
    origins: dict[str, str] = field(default_factory=dict)


def collect_scores(files: Sequence[ResultFile]) -> Scores:
    """Return the scores of result files.

    Of a score in several files that of the newest file counts: by the time in its name, else the date in it, else its
    name; a file with a time is newer than one without.

    Args:
        files: the files.
    """
    identities = [identify(file.stem, file.folders, file.content) for file in files]
    labels = labels_of_runs(identities)
    suites, averaged = _suites(files), _tasks_of_averages(files, labels)
    known_shots = _known_shots(files, identities)
    times = [identity.time for identity in identities]
    order = sorted(range(len(files)), key=lambda i: (times[i] is not None, times[i] or 0, files[i].path.name, i))
    scores, found_in = Scores(), dict[ScoreKey, Path]()
    scores.origins = {
        "model": _sources(identity.model_from for identity in identities),
        "step": _sources(identity.step_from for identity in identities),
    }
    for i in order:
        identity, path = identities[i], files[i].path
        step = identity.step.step if identity.step is not None else None
        if step is None and path not in scores.stepless:
            scores.stepless.append(path)
        for score in files[i].content.scores:
            if score.task == AVERAGE and len(averaged[labels[i]]) > 1:
                scores.averages += 1
                continue
            task = f"{score.suite}|{score.task}" if len(suites[score.task]) > 1 and score.suite else score.task
            shots = _num_fewshot(score, identity, known_shots[score.task])
            key = ScoreKey(labels[i], task, score.metric, shots, score.limit, step, path if step is None else None)
            older = scores.by_key.get(key)
            if older is not None and not _equal(older.value, score.value):
                scores.repeats.append(Repeat(key, found_in[key], path))
            elif older is not None and (path.parent != found_in[key].parent or files[i].content.program != OLMES):
                scores.same_again.append(key)
            scores.by_key[key], found_in[key] = score, path
    return scores


def _sources(names: Iterable[str]) -> str:
    """Return the sources of a quantity in brackets, each once, as `(name of the file or what was evaluated)`."""
    return f"({' or '.join(dict.fromkeys(name for name in names if name))})"


def _num_fewshot(score: Score, identity: Identity, known: Collection[int]) -> int | None:
    """Return the few-shot setting of a score: its own, that in the file's name, or the only one of its task.

    Args:
        score: the score.
        identity: of its file.
        known: the settings of its task in any file.
    """
    if score.num_fewshot is not None:
        return score.num_fewshot
    if identity.num_fewshot is not None or len(known) != 1:
        return identity.num_fewshot
    return next(iter(known))


def _known_shots(files: Sequence[ResultFile], identities: Sequence[Identity]) -> dict[str, set[int]]:
    """Return the few-shot settings of each task that any file says."""
    known: dict[str, set[int]] = defaultdict(set)
    for file, identity in zip(files, identities, strict=True):
        for score in file.content.scores:
            shots = _num_fewshot(score, identity, ())
            known[score.task] |= set() if shots is None else {shots}
    return known


def _equal(one: float, other: float) -> bool:
    return one == other or (one != one and other != other)  # NaN is equal to NaN here


def _suites(files: Iterable[ResultFile]) -> dict[str, set[str]]:
    """Return the suites that each task was taken from; later versions of lighteval do not name any."""
    suites: dict[str, set[str]] = defaultdict(set)
    for file in files:
        for score in file.content.scores:
            suites[score.task] |= {score.suite} if score.suite else set()
    return suites


def _tasks_of_averages(files: Sequence[ResultFile], labels: Sequence[str]) -> dict[str, set[frozenset[str]]]:
    """Return for each model the different sets of tasks that its files average over."""
    tasks: dict[str, set[frozenset[str]]] = defaultdict(set)
    for file, label in zip(files, labels, strict=True):
        names = frozenset(score.task for score in file.content.scores)
        if AVERAGE in names:
            tasks[label].add(names)
    return tasks
