"""Series on the hub: the branches and tags of a repository that a user named."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from degen.errors import CheckpointError, DegenError

from . import hub_client as hub
from .hub_source import HubSource
from .series import Grammar, Series

_NAME = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_GLOB = re.compile(r"[*?\[]")


def is_hub_name(spec: str) -> bool:
    """Return whether a spec has the form `org/name` or `org/name@revisions`."""
    return _NAME.fullmatch(spec.partition("@")[0]) is not None


def from_hub(spec: str, grammar: Grammar, trust: bool = False) -> Series:
    """Return the series of a repository's revisions.

    Args:
        spec: `org/name` (its main branch, or every name that the grammar's own pattern knows), or with revisions behind
            an `@`: names, commits and patterns such as `step*`, separated by commas.
        grammar: how names of revisions are read.
        trust: whether Python code of the repository may run.

    Raises:
        DegenError: no such repository or revision, two revisions of the same step, or the hub cannot be asked.
    """
    from .suites import tokens_per_step

    repo, at, wanted = spec.partition("@")
    if at and not wanted:
        raise DegenError(f"{spec}: no revision behind the @; write {repo}@step1000 or {repo}@step*")
    try:
        there = hub.refs(repo)
        chosen = _choose(repo, wanted, there, grammar)
    except CheckpointError as error:
        raise DegenError(f"{error}; and there is no such folder here") from error
    if grammar.tokens_per_step is None:
        grammar = Grammar(grammar.pattern, tokens_per_step(repo))
    members = [(name, HubSource(repo, name, commit, trust)) for name, commit in chosen.items()]
    return grammar.series(repo, repo.rpartition("/")[2], members, None)


def _choose(repo: str, wanted: str, there: Mapping[str, str], grammar: Grammar) -> dict[str, str]:
    """Return the revisions asked for and their commits, each once."""
    if not wanted and grammar.pattern is not None:
        return _matching(repo, f"--revision-pattern {grammar.pattern}", there, grammar, "*")
    chosen: dict[str, str] = {}
    for name in (wanted or "main").split(","):
        if name in there:
            chosen[name] = there[name]
        elif _GLOB.search(name):
            chosen |= _matching(repo, name, there, grammar, name)
        elif _COMMIT.fullmatch(name):
            chosen[name] = hub.commit_of(repo, name)
        else:
            close = _nearest(name, there, grammar)
            hint = f"did you mean {close}?" if close is not None else f"there are {_some(list(there))}"
            raise DegenError(f"{repo} has no revision {name!r}{hub.beyond_cache()}; {hint}")
    return chosen


def _nearest(name: str, there: Mapping[str, str], grammar: Grammar) -> str | None:
    """Return the revision of the nearest step, where the name is a step; else the one whose name is most like it."""
    wanted, marks = grammar.mark(name), {other: grammar.mark(other) for other in there}
    steps = {other: mark for other, mark in marks.items() if mark is not None}
    if wanted is not None and steps:
        return min(steps, key=lambda other: (steps[other].stage != wanted.stage, abs(steps[other].step - wanted.step)))
    return next(iter(difflib.get_close_matches(name, there, n=1)), None)


def _matching(repo: str, said: str, there: Mapping[str, str], grammar: Grammar, glob: str) -> dict[str, str]:
    """Return revisions of a glob; those alone that the grammar's own pattern knows, if it has one."""
    found = {name: commit for name, commit in there.items() if fnmatchcase(name, glob)}
    if grammar.pattern is not None:
        found = {name: commit for name, commit in found.items() if grammar.mark(name) is not None}
    if not found:
        what = f"{repo} has no revision that fits {said}{hub.beyond_cache()}"
        raise DegenError(f"{what}; there are {_some(list(there))}")
    return found


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "none"
