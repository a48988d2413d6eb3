"""From what a user names to every series it stands for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from degen.errors import DegenError
from degen.hints import closest, did_you_mean
from degen.paths import expand_user

from .adapter_series import are_paths, on_base, on_own_bases, split_adapter
from .hub_series import from_hub, is_hub_name
from .local import from_path
from .series import Grammar, Series
from .steps import nearest_steps
from .suites import is_suite, suites

USUAL_NAMES = Grammar()


def find_series(
    specs: Sequence[str],
    steps: str = "all",
    note: Callable[[str], None] = lambda _: None,
    grammar: Grammar = USUAL_NAMES,
    trust: bool = False,
) -> list[Series]:
    """Return every series that the user named, with the steps alone that were asked for.

    Args:
        specs: the names, each perhaps with a `label=` in front: a folder, a `.gguf` file, `base+adapter`, a suite, or
            `org/name@revisions` on the hub.
        steps: which steps to keep, see `degen.checkpoints.steps.select_steps`.
        note: called with a message for every step that does not exist and is replaced by its nearest.
        grammar: how names of revisions are read.
        trust: whether Python code of a repository may run, and so is fetched.

    Raises:
        DegenError: nothing of that name, no checkpoint in it, two revisions of one step, or two series of one name.
    """
    named = [(spec, series) for spec in specs for series in _find(spec, grammar, trust)]
    labels: dict[str, str] = {}
    for spec, series in named:
        existing = [c.step for c in series.checkpoints if c.step is not None]
        for missing, nearest in nearest_steps(existing, steps).items():
            note(f"{series.model}: there is no step {missing}; step {nearest} is the nearest")
        if series.model in labels:
            raise DegenError(
                f"{labels[series.model]} and {spec} would both be called {series.model!r} in the tables; "
                f"name one of them: other={spec}"
            )
        labels[series.model] = spec
    return [series.thinned(steps) for _, series in named]


def split_label(spec: str) -> tuple[str | None, str]:
    """Return the label in front of a spec (None without one) and the rest.

    An existing path has no label, nor has an existing base with an existing adapter.

    Raises:
        DegenError: a label without a name, or without a series.
    """
    label, equals, rest = spec.partition("=")
    if not equals or expand_user(spec).exists() or are_paths(spec):
        return None, spec
    if not label or not rest:
        raise DegenError(f"{spec!r}: a label is written label=SERIES")
    return label, rest


def _find(spec: str, grammar: Grammar, trust: bool) -> list[Series]:
    """Return the series of a spec: of a path if it is one, else of an adapter on its base, a suite, or the hub."""
    label, name = split_label(spec)
    find = partial(_find_without_adapter, grammar=grammar, trust=trust)
    if expand_user(name).exists():
        series = [on_own_bases(one, find) for one in find(name)]
    elif (pair := split_adapter(name)) is not None:
        series = [on_base(*pair, find)]
    else:
        series = find(name)
    if label is None:
        return series
    if len(series) > 1:
        raise DegenError(f"{spec}: a label names one series, and {name} is {len(series)}")
    return [series[0].labelled(label)]


def _find_without_adapter(name: str, grammar: Grammar, trust: bool) -> list[Series]:
    path = expand_user(name)
    if path.exists():
        return [from_path(path, grammar)]
    if is_suite(name):
        return from_suite(name, grammar, trust)
    if is_hub_name(name):
        return [from_hub(name, grammar, trust)]
    suite = closest(name.partition(":")[0], suites())
    hint = f"; did you mean the suite {suite!r}?" if suite is not None else ""
    raise DegenError(f"{name}: no such folder or file{hint}")


def from_suite(spec: str, grammar: Grammar, trust: bool = False) -> list[Series]:
    """Return the series of a suite, of all its models or of those named behind a colon.

    Raises:
        DegenError: the suite has no model of that name, or the hub cannot be reached.
    """
    name, colon, models = spec.partition(":")
    suite = suites()[name]
    chosen = models.split(",") if colon else list(suite.models)
    for model in chosen:
        if model not in suite.models:
            raise DegenError(f"the suite {name} has no model {model!r}; {did_you_mean(model, suite.models)}")
    return [from_hub(f"{suite.models[model]}@{suite.revisions}", grammar, trust) for model in dict.fromkeys(chosen)]
