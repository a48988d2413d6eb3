"""What a user names to measure: adapters with their bases, fine-tunes with theirs, series of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from degen.checkpoints.adapter_files import AdapterFiles, HubAdapter, LocalAdapter
from degen.checkpoints.adapter_series import base_in_settings, find_base, is_adapter, split_adapter
from degen.checkpoints.adapter_source import AdapterSource
from degen.checkpoints.find_series import find_without_adapter, split_label
from degen.checkpoints.hub_source import HubSource
from degen.checkpoints.local import LocalSource
from degen.checkpoints.series import Checkpoint, Grammar, Series
from degen.checkpoints.source import Source
from degen.checkpoints.steps import select_steps
from degen.errors import CheckpointError, DegenError, one_line
from degen.model.configuration import check_json
from degen.paths import path_of_spec
from degen.weights.peft_adapter import CONFIG

from .adapter_updates import AdapterUpdates, is_read
from .base_weights import BaseWeights, open_by_ranges
from .full_difference import FullDifference
from .merged_updates import MergedUpdates
from .update import Updates

Note = Callable[[str], None]


@dataclass(frozen=True)
class DeltaSource:
    """An adapter or a fine-tune to be measured, and where its base is.

    Attributes:
        checkpoint: its model, revision and step.
        base: None where there is none.
        no_base: why; None where there is one, or where the user wants none.
    """

    checkpoint: Checkpoint
    base: Source | None = None
    no_base: str | None = None

    @property
    def adapter(self) -> AdapterFiles | None:
        """The files of the adapter; None for a fine-tune."""
        return adapter_of(self.checkpoint.source)

    def open(self) -> Updates:
        """Return the updates, its files open.

        Raises:
            CheckpointError: files are missing, damaged or do not fit each other, or a fine-tune has no base.
        """
        return open_updates(self.checkpoint.source, self.base)


def adapter_of(source: Source) -> AdapterFiles | None:
    """Return the files of the adapter that a source is; None for a whole checkpoint."""
    if isinstance(source, AdapterSource):
        return source.adapter
    if isinstance(source, LocalSource) and is_adapter(source):
        return LocalAdapter(source.path)
    return HubAdapter(source) if isinstance(source, HubSource) and CONFIG in source.files else None


def open_updates(source: Source, base: Source | None) -> Updates:
    """Return the updates of an adapter, or of a checkpoint against its base.

    Raises:
        CheckpointError: files are missing, damaged or do not fit each other, or a whole checkpoint has no base.
    """
    weights = open_base(base) if base is not None else None
    adapter = adapter_of(source)
    if adapter is None:
        if weights is None:
            raise CheckpointError(
                f"{source}: a whole checkpoint, and not an adapter; name what it began from with --base"
            )
        return FullDifference(open_by_ranges(source), weights, str(source))
    settings, stored = adapter.settings(), adapter.tensors()
    if is_read(settings, stored):
        return AdapterUpdates(settings, stored, weights)
    return MergedUpdates(adapter, settings, stored, base, weights)


def open_base(source: Source) -> BaseWeights:
    """Return the weights of a base.

    Raises:
        CheckpointError: there are none, or they cannot be read.
    """
    tied = False
    if not str(source).endswith(".gguf"):
        try:
            settings = check_json(source.config() / "config.json")
            text = settings.get("text_config")
            tied = any(part.get("tie_word_embeddings") is True for part in (settings, text) if isinstance(part, dict))
        except CheckpointError:
            pass  # the names of the tensors say whether they are tied
    return BaseWeights(open_by_ranges(source), str(source), tied)


def find_deltas(
    specs: Sequence[str],
    base: str | None = None,
    use_base: bool = True,
    steps: str = "all",
    note: Note = lambda _: None,
) -> list[list[DeltaSource]]:
    """Return what is to be measured, a list for each series.

    Args:
        specs: each an adapter, a folder of adapters, `base+adapter`, a checkpoint or a series of checkpoints, on this
            machine or on the hub; perhaps with `label=` in front.
        base: what all began from; None for what an adapter names, or for the first checkpoint of a series.
        use_base: whether adapters are put beside the weights that they change.
        steps: which steps to keep, see `degen.checkpoints.steps.select_steps`.
        note: called with remarks.

    Raises:
        DegenError: nothing of that name, two of one name, or a base that cannot be found.
    """
    find = partial(find_without_adapter, grammar=Grammar(), trust=False)
    common = find_base(base, specs[0], find)[0] if base is not None else None
    found: list[list[DeltaSource]] = []
    labels: dict[str, str] = {}
    for spec in specs:
        label, name = split_label(spec)
        pair = split_adapter(name) if not path_of_spec(name).exists() else None
        own = find_base(*pair, find)[0] if pair is not None and use_base else common
        for one in find(pair[1] if pair is not None else name, note=note):
            series = one.labelled(label) if label is not None else one
            if series.model in labels:
                raise DegenError(
                    f"{labels[series.model]} and {spec} would both be called {series.model!r}; name one of them: "
                    f"other={spec}"
                )
            labels[series.model] = spec
            found.append(_with_bases(series, steps, own, use_base, find))
    return found


def _with_bases(
    series: Series, steps: str, base: Source | None, use_base: bool, find: Callable[[str], list[Series]]
) -> list[DeltaSource]:
    """Return the checkpoints of a series, each with its base; whole checkpoints against their first one.

    Raises:
        DegenError: there is a single whole checkpoint, and no base.
    """
    checkpoints = series.checkpoints
    first = next((c.source for c in checkpoints if adapter_of(c.source) is None), None)
    if base is None and first is not None and len(checkpoints) == 1:
        raise DegenError(f"{first}: a whole checkpoint, and not an adapter; name what it began from with --base")
    chosen = set(select_steps([c.step for c in checkpoints if c.step is not None], steps))
    named: dict[str, tuple[Source | None, str | None]] = {}
    sources = []
    for checkpoint in checkpoints:
        if checkpoint.step is not None and checkpoint.step not in chosen:
            continue
        adapter = adapter_of(checkpoint.source)
        if adapter is None:
            against = base or first
            if against != checkpoint.source:
                sources.append(DeltaSource(checkpoint, against))
        elif not use_base or base is not None:
            sources.append(DeltaSource(checkpoint, base if use_base else None))
        else:
            sources.append(_on_named_base(checkpoint, adapter, named, find))
    return sources


def _on_named_base(
    checkpoint: Checkpoint,
    adapter: AdapterFiles,
    named: dict[str, tuple[Source | None, str | None]],
    find: Callable[[str], list[Series]],
) -> DeltaSource:
    """Return an adapter with the base that its configuration names, or with the reason why there is none."""
    source = DeltaSource(checkpoint)
    try:
        settings = adapter.settings()
    except CheckpointError:
        return source  # the error is met again, and reported, when the adapter is measured
    spec = base_in_settings(settings, adapter.path if isinstance(adapter, LocalAdapter) else None)
    if spec is None:
        return replace(source, no_base=f"{adapter}: its {CONFIG} names no base; name it with --base")
    if spec not in named:
        try:
            named[spec] = find_base(spec, str(adapter), find)[0], None
        except DegenError as error:
            named[spec] = (
                None,
                f"{adapter}: the base that it names cannot be found ({one_line(error)}); --base names another",
            )
    base, reason = named[spec]
    return replace(source, base=base, no_base=reason)
