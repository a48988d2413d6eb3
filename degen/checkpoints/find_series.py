"""From what a user names to every series it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from degen.errors import DegenError
from degen.hints import closest, did_you_mean
from degen.paths import path_of_spec

from .adapter_series import are_paths, on_base, on_own_bases, split_adapter
from .hub_series import from_hub, is_hub_name
from .local_series import FINAL, Note, from_path, from_steps, is_step
from .manifest import from_manifest, is_manifest
from .model_config import find_model_config, with_model_config
from .series import Grammar, Series, has_order
from .steps import nearest_steps
from .suites import is_suite, suites

USUAL_NAMES = Grammar()


def find_series(
    specs: Sequence[str],
    steps: str = "all",
    note: Note = lambda _: None,
    grammar: Grammar = USUAL_NAMES,
    trust: bool = False,
    model_config: str | None = None,
) -> list[Series]:
    """Return every series that the user named, with the steps alone that were asked for.

    Each run of a model, as an ingredient or a seed, is a series of its own. Several checkpoints of one folder whose
    names are steps are one series, as a shell expands `runs/my-model/step*`.

    Args:
        specs: the names, each perhaps with a `label=` in front: a folder, a `.gguf` file, a manifest, `base+adapter`, a
            suite, or `org/name@revisions` on the hub.
        steps: which steps to keep, see `degen.checkpoints.steps.select_steps`.
        note: called with a message for every step that does not exist and is replaced by its nearest, for every folder
            that holds several series, and for every model beside its checkpoints.
        grammar: how names of revisions are read.
        trust: whether Python code of a repository may run, and so is fetched.
        model_config: a folder or a model on the hub with a configuration for weights that have none; None for none.

    Raises:
        DegenError: nothing of that name, no checkpoint in it, two revisions of one step, or two series of one name.
    """
    found = [pair for group in _expanded(specs, grammar) for pair in _find_group(group, grammar, trust, note)]
    if model_config is not None:
        found = with_model_config(found, find_model_config(model_config, trust))
    named = [(spec, run) for spec, series in found for run in series.runs()]
    labels: dict[str, str] = {}
    for spec, series in named:
        existing = [c.step for c in series.checkpoints if c.step is not None]
        for missing, nearest in nearest_steps(existing, steps).items():
            note(f"{series.model}: there is no step {missing}; step {nearest} is the nearest")
        _note_unordered(series, note)
        if series.model in labels:
            raise DegenError(
                f"{labels[series.model]} and {spec} would both be called {series.model!r} in the tables; "
                f"name one of them: other={spec}"
            )
        labels[series.model] = spec
    return [series.thinned(steps) for _, series in named]


def _note_unordered(series: Series, note: Note) -> None:
    """Say which checkpoints of a series give neither step nor tokens; a final model beside checkpoints was named."""
    unknown = [c.revision for c in series.checkpoints if not has_order(c) and c.revision != FINAL]
    if unknown and len(series.checkpoints) > 1:
        note(
            f"{series.model}: {', '.join(unknown)}: these names give no step and no tokens, so they come last, in "
            "alphabetical order, and no verdict uses them; --revision-pattern says how to read names"
        )


def split_label(spec: str) -> tuple[str | None, str]:
    """Return the label in front of a spec (None without one) and the rest.

    An existing path has no label, nor has an existing base with an existing adapter.

    Raises:
        DegenError: a label without a name, or without a series.
    """
    label, equals, rest = spec.partition("=")
    if not equals or path_of_spec(spec).exists() or are_paths(spec):
        return None, spec
    if not label or not rest:
        raise DegenError(f"{spec!r}: a label is written label=SERIES")
    return label, rest


def _expanded(specs: Sequence[str], grammar: Grammar) -> list[list[str]]:
    """Return the specs, those that are checkpoints of one folder, named by their steps, together."""
    groups: dict[tuple[str, int], list[str]] = {}
    for i, spec in enumerate(specs):
        path = path_of_spec(spec)
        key = (str(path.resolve().parent), -1) if is_step(path, grammar) else (spec, i)
        groups.setdefault(key, []).append(spec)
    return list(groups.values())


def _find_group(specs: Sequence[str], grammar: Grammar, trust: bool, note: Note) -> list[tuple[str, Series]]:
    """Return the series of a spec, or of several checkpoints of one folder, each beside what a user would write."""
    if len(specs) > 1:
        paths = list({path_of_spec(spec).resolve(): path_of_spec(spec) for spec in specs}.values())
        find = partial(find_without_adapter, grammar=grammar, trust=trust)
        return [(str(paths[0].parent), on_own_bases(from_steps(paths, grammar), find))]
    found = _find(specs[0], grammar, trust, note)
    return [(specs[0] if len(found) == 1 or s.root is None else str(s.root), s) for s in found]


def _find(spec: str, grammar: Grammar, trust: bool, note: Note) -> list[Series]:
    """Return the series of a spec: of a path if it is one, else of an adapter on its base, a suite, or the hub."""
    label, name = split_label(spec)
    find = partial(find_without_adapter, grammar=grammar, trust=trust)
    if path_of_spec(name).exists():
        series = [on_own_bases(one, find) for one in find(name, note=note)]
    elif (pair := split_adapter(name)) is not None:
        series = on_base(*pair, partial(find, note=note))
    else:
        series = find(name)
    if label is None:
        return series
    if len(series) > 1:
        hint = f"; name each by itself, as in {label}={series[0].root}" if series[0].root is not None else ""
        raise DegenError(f"{spec}: a label names one series, and {name} is {len(series)}{hint}")
    return [series[0].labelled(label)]


def find_without_adapter(name: str, grammar: Grammar, trust: bool, note: Note = lambda _: None) -> list[Series]:
    """Return the series that a spec without a label and without a base names; adapters in it stay without a base.

    Raises:
        DegenError: nothing of that name, or no checkpoint in it.
    """
    path = path_of_spec(name)
    if is_manifest(path):
        return from_manifest(path, grammar, trust)
    if path.exists():
        return from_path(path, grammar, note)
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
