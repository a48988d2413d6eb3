"""The parts of a name of a result file, a folder or a checkpoint: model, step, few-shot setting, time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from degen.checkpoints.steps import RevisionStep, parse_revision

from .time_stamps import split_time_stamp

_SEPARATORS = "-_. +@"
_SHOTS = re.compile(r"(?<![A-Za-z0-9])(\d{1,3})[-_]?shots?(?![A-Za-z0-9])", re.IGNORECASE)
# Words of a name that say how a checkpoint is stored, or that it was evaluated, and not which model it is of.
_STORED = frozenset(
    {"hf", "vllm", "converted", "conversion", "bf16", "fp16", "fp32", "fp8", "bfloat16", "float16", "float32"}
    | {"safetensors", "safetensor", "merged", "unsharded", "sharded", "consolidated", "pytorch", "torch"}
    | {"checkpoint", "ckpt", "model", "weights"}
)
_RESULTS = frozenset(
    {"result", "results", "eval", "evals", "evaluation", "evaluations", "evaluated", "lm", "harness", "lighteval"}
    | {"olmes", "metrics", "details", "output", "outputs", "aggregated", "scores", "log", "logs", "all"}
)
_FOLDERS = frozenset(
    {"checkpoints", "ckpts", "models", "step", "steps", "iter", "final", "latest", "last", "data", "mnt", "home"}
    | {"root", "tmp", "scratch", "workspace", "runs", "exp", "experiments"}
)
_NO_MODEL = _STORED | _RESULTS | _FOLDERS


@dataclass(frozen=True)
class NameParts:
    """The parts of a name.

    Attributes:
        model: what remains without step, time, few-shot setting and words such as `results` or `hf`; perhaps empty.
        step: the step in it; None where it has none.
        num_fewshot: the few-shot setting in it; None where it has none.
        time: the time stamp in it, in seconds since 1970; None where it has none.
        is_telling: whether `model` holds a word that can name a model, unlike `checkpoints` or `results`.
        is_storage: whether the name only says how a checkpoint is stored, as `hf` or `safetensors`.
    """

    model: str
    step: RevisionStep | None
    num_fewshot: int | None
    time: float | None
    is_telling: bool
    is_storage: bool


@lru_cache(maxsize=4096)
def split_name(name: str) -> NameParts:
    """Return the parts of the name of a file (without its ending), a folder, or a checkpoint."""
    bare, time = split_time_stamp(name)
    shots = _SHOTS.search(bare)
    if shots:
        bare = _joined(bare[: shots.start()], bare[shots.end() :])
    span = _step_span(bare)
    step, model = None, _without_results(bare)
    if span is not None:
        step, before, after = span
        model = _joined("" if _is_empty(before) else _without_results(before), _without_stored(after))
    return NameParts(
        model=model,
        step=step,
        num_fewshot=int(shots[1]) if shots else None,
        time=time,
        is_telling=not _is_empty(model),
        is_storage=bool(_words(bare)) and all(word in _STORED for word in _words(bare)),
    )


def _step_span(name: str) -> tuple[RevisionStep, str, str] | None:
    """Return the step in a name, and what stands before and after it; None where the name has no step.

    Where several parts of the name could be the step, the longest counts, and of equally long ones the last.
    """
    pieces = re.split(rf"([{re.escape(_SEPARATORS)}\s]+)", name)  # words, and what is between them
    spans = [(last - first, first, last) for first in range(0, len(pieces), 2) for last in range(first, len(pieces), 2)]
    for _, first, last in sorted(spans, reverse=True):
        mark = parse_revision("".join(pieces[first : last + 1]), whole_name=False)
        if mark is not None and mark.step is not None:
            return mark, "".join(pieces[:first]).strip(_SEPARATORS), "".join(pieces[last + 1 :]).strip(_SEPARATORS)
    return None


def _joined(before: str, after: str) -> str:
    return "-".join(part for part in (before.strip(_SEPARATORS), after.strip(_SEPARATORS)) if part)


def _words(name: str) -> list[str]:
    return [word for word in re.split(rf"[{re.escape(_SEPARATORS)}\s]+", name.lower()) if word]


def _is_empty(name: str) -> bool:
    """Return whether a name has no word that can name a model."""
    return all(word in _NO_MODEL or word.isdecimal() for word in _words(name))


def _without_results(before: str) -> str:
    """Return a name, or what stands before a step in it, without words such as `results` at its beginning."""
    pieces = re.split(rf"([{re.escape(_SEPARATORS)}\s]+)", before)
    while len(pieces) > 2 and pieces[0].lower() in _RESULTS:
        pieces = pieces[2:]
    return "".join(pieces)


def _without_stored(after: str) -> str:
    """Return what stands behind a step without words such as `hf` and `results` at either end."""
    pieces = re.split(rf"([{re.escape(_SEPARATORS)}\s]+)", after)
    while pieces and pieces[-1].lower() in _NO_MODEL | {""}:
        pieces = pieces[:-2]
    while pieces and pieces[0].lower() in _NO_MODEL | {""}:
        pieces = pieces[2:]
    return "".join(pieces)
