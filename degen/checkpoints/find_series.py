"""From what a user names to every series it stands for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from degen.errors import DegenError

from .adapter_series import are_paths, on_base, on_own_bases, split_adapter
from .hub_series import from_hub, is_hub_name
from .local import from_path
from .series import Grammar, Series
from .steps import replaced
from .suites import is_suite, suite_names, suites

AS_NAMED = Grammar()  # names of revisions are read as most people write them


def find_series(
    specs: Sequence[str],
    steps: str = "all",
    note: Callable[[str], None] = lambda _: None,
    grammar: Grammar = AS_NAMED,
    trust: bool = False,
) -> list[Series]:
    """Find every series the user named, thinned to the steps asked for.

    Args:
        specs: what CONTRACT calls SERIES, each perhaps with a `label=` in front.
        steps: the thinning, see `degen.checkpoints.steps.thin`.
        note: told of steps that do not exist, and of the nearest taken for them.
        grammar: how names of revisions are read.
        trust: whether Python code of a repository may run, and so is fetched.

    Raises:
        DegenError: nothing there, no checkpoint in it, two steps alike, or two series of one name.
    """
    named = [(spec, series) for spec in specs for series in _find(spec, grammar, trust)]
    for _, series in named:
        for asked, taken in replaced([c.step for c in series.checkpoints if c.step is not None], steps).items():
            note(f"{series.model}: there is no step {asked}; step {taken} is the nearest")
    seen: dict[str, str] = {}
    for spec, series in named:
        if series.model in seen:
            raise DegenError(
                f"{seen[series.model]} and {spec} would both be called {series.model!r} in the tables; "
                f"name one of them: other={spec}"
            )
        seen[series.model] = spec
    return [series.thinned(steps) for _, series in named]


def split_label(spec: str) -> tuple[str | None, str]:
    """Return the label in front of a spec (None without one) and the rest.

    An existing path has no label, nor has an existing base with an existing adapter.

    Raises:
        DegenError: a label without a name, or without a series.
    """
    label, equals, rest = spec.partition("=")
    if not equals or Path(spec).expanduser().exists() or are_paths(spec):
        return None, spec
    if not label or not rest:
        raise DegenError(f"{spec!r}: a label is written label=SERIES")
    return label, rest


def _find(spec: str, grammar: Grammar, trust: bool) -> list[Series]:
    """Return the series of a spec; a path wins over an adapter on its base, that over a suite, a suite over the hub."""
    label, name = split_label(spec)
    found = _find_unlabelled(name, grammar, trust)
    if label is None:
        return found
    if len(found) > 1:
        raise DegenError(f"{spec}: a label names one series, and {name} is {len(found)}")
    return [found[0].labelled(label)]


def _find_unlabelled(name: str, grammar: Grammar, trust: bool) -> list[Series]:
    find = partial(_find_plain, grammar=grammar, trust=trust)
    if Path(name).expanduser().exists():
        return [on_own_bases(series, find) for series in find(name)]
    if (pair := split_adapter(name)) is None:
        return find(name)
    return [on_base(*pair, find)]


def _find_plain(name: str, grammar: Grammar, trust: bool) -> list[Series]:
    """Return the series of a name that has no adapter in it."""
    path = Path(name).expanduser()
    if path.exists():
        return [from_path(path, grammar)]
    if is_suite(name):
        return from_suite(name, grammar, trust)
    if is_hub_name(name):
        return [from_hub(name, grammar, trust)]
    close = difflib.get_close_matches(name.partition(":")[0], suite_names(), n=1)
    raise DegenError(f"{name}: no such folder or file" + (f"; did you mean the suite {close[0]}?" if close else ""))


def from_suite(spec: str, grammar: Grammar, trust: bool = False) -> list[Series]:
    """Return the series of a suite, of all its models or of those named behind a colon.

    Raises:
        DegenError: the suite has no model of that name, or the hub cannot be asked.
    """
    name, colon, wanted = spec.partition(":")
    suite = suites()[name]
    chosen = wanted.split(",") if colon else list(suite.models)
    for model in chosen:
        if model not in suite.models:
            close = difflib.get_close_matches(model, suite.models, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(suite.models)}"
            raise DegenError(f"the suite {name} has no model {model!r}; {hint}")
    return [from_hub(f"{suite.models[model]}@{suite.revisions}", grammar, trust) for model in dict.fromkeys(chosen)]
