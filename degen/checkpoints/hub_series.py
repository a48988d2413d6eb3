"""Series on the hub: the branches and tags of a repository that a user named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from degen.errors import CheckpointError, DegenError
from degen.hints import did_you_mean, there_are

from . import hub_client as hub
from .hub_source import HubSource
from .series import Grammar, Series
from .suites import tokens_per_step, tokens_per_step_by_stage

_NAME = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_GLOB = re.compile(r"[*?\[]")
_MODEL_FILES = frozenset({"config.json", "adapter_config.json"})


def is_hub_name(spec: str) -> bool:
    """Return whether the text `spec` is `org/name`, or has revisions or folders behind; nothing is looked up."""
    return _NAME.fullmatch(spec.partition("@")[0]) is not None


def from_hub(spec: str, grammar: Grammar, trust: bool = False) -> Series:
    """Return the series of a repository's revisions.

    Args:
        spec: `org/name` (its main branch, or every name that the grammar's own pattern matches), or with revisions
            behind an `@`: names, commits and patterns such as `step*`, separated by commas; or with one revision and
            folders of it, `@main:checkpoint-*`.
        grammar: how names of revisions are read.
        trust: whether Python code of the repository may run.

    Raises:
        DegenError: there is no such repository or revision, two revisions have the same step, or the hub cannot be
            reached.
    """
    repo, at, names = spec.partition("@")
    names, colon, folders = names.partition(":")
    if at and not names:
        raise DegenError(f"{spec}: a revision must follow the @; write {repo}@step1000 or {repo}@step*")
    try:
        refs = hub.refs(repo)
        chosen = _choose(repo, names, refs, grammar)
    except CheckpointError as error:
        raise DegenError(f"{error}; a folder of that name does not exist here either") from error
    if colon:
        return _from_folders(repo, chosen, folders, grammar, trust)
    if grammar.tokens_per_step is None:
        grammar = Grammar(grammar.pattern, tokens_per_step(repo), tokens_per_step_by_stage(repo))
    members = [(name, HubSource(repo, name, commit, trust)) for name, commit in chosen.items()]
    return grammar.series(repo, repo.rpartition("/")[2], members, None, refs)


def find_revision(repo: str, revision: str, subfolder: str, grammar: Grammar, trust: bool) -> HubSource:
    """Return one revision of a repository as a source.

    Args:
        repo: `org/name`.
        revision: a branch, tag or commit.
        subfolder: path of the folder with the checkpoint; empty for the repository itself.
        grammar: how names of revisions are read, for the hint of an error.
        trust: whether Python code of the repository may run.

    Raises:
        DegenError: there is no such repository or revision, or the hub cannot be reached.
    """
    if _NAME.fullmatch(repo) is None:
        raise DegenError(f"{repo}: not the name of a repository; write org/name")
    names = _choose(repo, revision, hub.refs(repo), replace(grammar, pattern=None))
    if len(names) != 1:
        raise DegenError(f"{repo}: {revision} stands for {len(names)} revisions; name one")
    ((name, commit),) = names.items()
    return HubSource(repo, name, commit, trust, subfolder.strip("/"))


def _from_folders(repo: str, chosen: Mapping[str, str], folders: str, grammar: Grammar, trust: bool) -> Series:
    """Return the series of some folders of one revision, each of which holds a checkpoint.

    Args:
        repo: `org/name`.
        chosen: the revision -> its commit.
        folders: paths of folders and patterns such as `checkpoint-*`, separated by commas.
        grammar: how names of folders are read.
        trust: whether Python code of the repository may run.

    Raises:
        DegenError: there are several revisions, or no such folder with a model in it.
    """
    if len(chosen) != 1:
        raise DegenError(f"{repo}: folders are those of one revision; name one, as {repo}@main:{folders}")
    ((revision, commit),) = chosen.items()
    listed = hub.listing(repo, commit)
    models = sorted({path.rpartition("/")[0] for path in listed if path.rpartition("/")[2] in _MODEL_FILES} - {""})
    found: dict[str, None] = {}
    for pattern in folders.split(","):
        glob = pattern.strip("/")
        matches = [m for m in models if fnmatchcase(m, glob) and m.count("/") == glob.count("/")]
        if not matches:
            hint = did_you_mean(pattern, models)
            raise DegenError(f"{repo}@{revision} has no folder with a model in it that matches {pattern}; {hint}")
        found |= dict.fromkeys(matches)
    names = [folder.rpartition("/")[2] for folder in found]
    if len(set(names)) < len(names):
        names = list(found)
    sources = [HubSource(repo, revision, commit, trust, folder, listed) for folder in found]
    members = list(zip(names, sources, strict=True))
    return grammar.series(f"{repo}@{revision}", repo.rpartition("/")[2], members, None)


def _choose(repo: str, names: str, refs: Mapping[str, str], grammar: Grammar) -> dict[str, str]:
    """Return the revisions that a user named, as a dict: name -> commit.

    Args:
        repo: `org/name`.
        names: names, commits and patterns, separated by commas; empty for main, or for all names that the grammar's
            own pattern matches.
        refs: name of a branch or tag -> its commit, for the whole repository.
        grammar: how names of revisions are read.

    Raises:
        DegenError: a revision does not exist, or no revision matches a pattern.
    """
    if not names and grammar.pattern is not None:
        return _matching(repo, f"--revision-pattern {grammar.pattern}", refs, grammar, "*")
    chosen: dict[str, str] = {}
    for name in (names or "main").split(","):
        if name in refs:
            chosen[name] = refs[name]
        elif _GLOB.search(name):
            chosen |= _matching(repo, name, refs, grammar, name)
        elif _COMMIT.fullmatch(name):
            chosen[name] = hub.commit_of(repo, name)
        else:
            hint = _hint(name, refs, grammar)
            raise DegenError(f"{repo} has no revision {name!r}{hub.offline_note()}; {hint}")
    return chosen


def _hint(name: str, refs: Mapping[str, str], grammar: Grammar) -> str:
    """Return the hint for a revision `name` that does not exist: that of the nearest step, or a similar name."""
    target, parsed = grammar.parse(name), {ref: grammar.parse(ref) for ref in refs}
    steps = {ref: p for ref, p in parsed.items() if p is not None and p.step is not None}
    if target is None or target.step is None or not steps:
        return did_you_mean(name, refs)
    step = target.step
    nearest = min(steps, key=lambda ref: (steps[ref].stage != target.stage, abs((steps[ref].step or 0) - step)))
    return f"did you mean {nearest!r}?"


def _matching(repo: str, pattern: str, refs: Mapping[str, str], grammar: Grammar, glob: str) -> dict[str, str]:
    """Return the revisions whose names match `glob`, and the grammar's own pattern if it has one: name -> commit.

    Args:
        repo: `org/name`.
        pattern: the pattern as the user wrote it, for the error.
        refs: name of a branch or tag -> its commit.
        grammar: how names of revisions are read.
        glob: a pattern such as `step*`.

    Raises:
        DegenError: no revision matches.
    """
    matches = {
        name: commit for name, commit in refs.items()
        if fnmatchcase(name, glob) and (grammar.pattern is None or grammar.parse(name) is not None)
    }  # fmt: skip
    if not matches:
        raise DegenError(f"{repo} has no revision that matches {pattern}{hub.offline_note()}; {there_are(refs)}")
    return matches
