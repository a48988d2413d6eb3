"""Collect facts about every revision of a series, with as few bytes as they need, and have them judged.

Three rounds, each over all revisions: which files there are and what hashes are published of them; the header and some
values of every file whose hash no other has; then the judgement, see `degen.audit.verdicts`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from degen.checkpoint_formats.hugging_face import HuggingFaceFolder
from degen.checkpoint_formats.registry import format_of
from degen.checkpoints.find_series import find_series
from degen.checkpoints.series import Checkpoint, Grammar, Series
from degen.checkpoints.steps import parse_steps
from degen.errors import CheckpointError, DegenError, MissingFileError, one_line
from degen.model.configuration import check_json, has_config
from degen.scanning.progress import Progress
from degen.tables import Row
from degen.weights.tensor_kinds import explain, is_adapter_part, is_head_bias, is_quantised_part, name_some

from .evidence import Facts
from .initialisation import is_initial
from .verdicts import judge

if TYPE_CHECKING:
    from .shard_sample import ShardSample

T = TypeVar("T")
ONE_FILE = "the file"
THREADS = 8  # requests at a time: the hub's answers are short, and the wait for them long


def audit(specs: Sequence[str], steps: str, grammar: Grammar, values: int | None, progress: Progress) -> list[Row]:
    """Judge every revision of every series: read what is needed of its files, and compare it with the others.

    Args:
        specs: the series, as `degen scan` takes them.
        steps: which steps to audit, as `degen scan` takes them; each step of a list that no revision has is `missing`.
        grammar: how names of revisions are read.
        values: how many values (tensor elements) of each checkpoint to read; None for all of them, 0 for none.
        progress: shows notes and the progress of the audit.

    Returns:
        A row for each revision, missing ones among them: `model`, `revision`, `step`, `verdict` (`ok` or the fault),
        `reason`, `note`.

    Raises:
        DegenError: a series cannot be found.
    """
    rows: list[Row] = []
    for series in find_series(specs, steps, progress.note, grammar):
        listings = _list_revisions(series.checkpoints, progress)
        samples = _read_shards(listings, values, progress)
        facts = _under_one_name([_gather_facts(listing, samples) for listing in listings])
        readable = next((i for i, listing in enumerate(listings) if listing.fault is None), None)
        if readable is not None and (padding := _padding_note(series, listings[readable])) is not None:
            facts[readable] = replace(facts[readable], notes=(*facts[readable].notes, padding))
        verdicts = judge(facts, _expected_steps(series, steps), _final_facts(series))
        rows += [{"model": series.model, **asdict(verdict)} for verdict in verdicts]
    return rows


@dataclass(frozen=True)
class Listing:
    """The weight files of a revision, and what is known of them before any is read.

    Attributes:
        checkpoint: the revision.
        hashes: name of each weight file -> its published hash; where none is published, a text that is unlike that of
            any other file.
        published: whether the hashes are published, so that equal hashes mean equal files.
        fault: verdict and reason where the files cannot be listed; None where they can.
    """

    checkpoint: Checkpoint
    hashes: dict[str, str] = field(default_factory=dict)
    published: bool = False
    fault: tuple[str, str] | None = None


def _list_revisions(checkpoints: Sequence[Checkpoint], progress: Progress) -> list[Listing]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(progress.track(pool.map(_list_files, checkpoints), len(checkpoints), "revisions listed"))


def _list_files(checkpoint: Checkpoint) -> Listing:
    source = checkpoint.source
    try:
        config = source.config()
        if config.is_dir() and (has_config(config) or isinstance(format_of(config), HuggingFaceFolder)):
            check_json(config / "config.json")  # other formats have none
        published = source.hashes()
        if published is not None:
            return Listing(checkpoint, published, published=True)
        return Listing(checkpoint, {name: f"{source}/{name}" for name in source.shards()})
    except MissingFileError as error:
        return Listing(checkpoint, fault=("missing_file", one_line(error)))
    except CheckpointError as error:
        return Listing(checkpoint, fault=("unreadable", one_line(error)))


def _read_shards(listings: Iterable[Listing], values: int | None, progress: Progress) -> dict[str, ShardSample]:
    """Return a dict: hash of a weight file -> some of its values; of files with equal hashes only one is read.

    Args:
        listings: of all revisions.
        values: how many values of each revision to read, over all its files; None for all of them.
        progress: shows how many files are read.
    """
    from .shard_sample import read_shard

    if values == 0:
        return {}
    different = {hash: (listing, name) for listing in listings for name, hash in listing.hashes.items()}

    def read(file: tuple[Listing, str]) -> ShardSample:
        listing, name = file
        share = values // len(listing.hashes) if values is not None else None
        return read_shard(listing.checkpoint.source, name, share, hashed=not listing.published)

    with ThreadPoolExecutor(THREADS) as pool:
        samples = pool.map(read, different.values())
        return dict(zip(different, progress.track(samples, len(different), "files read"), strict=True))


def _gather_facts(listing: Listing, samples: dict[str, ShardSample]) -> Facts:
    """Return the facts about the revision of a listing.

    Args:
        listing: its files.
        samples: hash of a weight file -> its values, of all revisions.
    """
    checkpoint = listing.checkpoint
    read = {name: samples[hash] for name, hash in listing.hashes.items() if hash in samples}
    fault = listing.fault or next((r.fault for r in read.values() if r.fault is not None), None)
    shapes = {key: shape for r in read.values() for key, shape in r.shapes.items()}
    return Facts(
        revision=checkpoint.revision,
        step=checkpoint.step,
        stage=checkpoint.stage,
        hashes={name: read[name].hash or hash if name in read else hash for name, hash in listing.hashes.items()},
        shapes=shapes or None,
        samples={name: r.values for name, r in read.items()},
        not_finite=next((r.not_finite for r in read.values() if r.not_finite is not None), None),
        fault=fault,
        notes=tuple(dict.fromkeys(r.note for r in read.values() if r.note is not None)),
        initial=_is_initial(checkpoint, list(read.values())) if fault is None else False,
        unused=_unused(checkpoint, shapes) if fault is None else None,
    )


def _under_one_name(facts: Sequence[Facts]) -> list[Facts]:
    """Return facts in which checkpoints of one file each, whose names say the step, have it under one name.

    Weights are compared with those of the files of the same name. Where hashes are published, those of files of two
    formats are never equal, and names are left as they are.
    """
    files = {name for f in facts for name in f.hashes}
    listed = [f for f in facts if f.hashes]
    read = all(len(f.hashes) == 1 and f.samples for f in listed)
    if len(files) < 2 or not read or len({Path(name).suffix for name in files}) > 1:
        return list(facts)
    return [replace(f, hashes=_of_one(f.hashes), samples=_of_one(f.samples)) for f in facts]


def _of_one(by_file: Mapping[str, T]) -> dict[str, T]:
    """Return what belongs to the one file of a revision, or to none, under the name that all have in common."""
    return dict(zip((ONE_FILE,), by_file.values(), strict=False))


def _is_initial(checkpoint: Checkpoint, read: Sequence[ShardSample]) -> bool:
    """Return whether what was read of a checkpoint looks as before training."""
    from degen.model.architecture import text_config
    from degen.model.configuration import read_config

    constant = [r.constant for r in read if r.constant is not None]
    if not constant or not all(constant):
        return False  # before the configuration is read, for which transformers is imported
    try:
        spread = getattr(text_config(read_config(checkpoint.source.config())), "initializer_range", None)
    except CheckpointError:
        return False
    spreads = {key: value for r in read for key, value in r.spreads.items()}
    return is_initial(True, spreads, spread)


def _unused(checkpoint: Checkpoint, keys: Collection[str]) -> str | None:
    """Return which tensors no model takes, told by their names; None where there are none, and for an adapter."""
    from degen.checkpoints.adapter_source import AdapterSource
    from degen.model.architecture import describe
    from degen.model.configuration import read_config

    if isinstance(checkpoint.source, AdapterSource):
        return None

    config = checkpoint.source.config()
    fields = check_json(config / "config.json") if has_config(config) else {}
    strange = [key for key in keys if is_adapter_part(key)]
    if "quantization_config" not in fields:
        strange += [key for key in keys if is_quantised_part(key)]
    if not strange and has_config(config) and (biases := [key for key in keys if is_head_bias(key)]):
        try:
            strange = [] if describe(read_config(config)).head_bias else biases
        except CheckpointError:
            return None  # a scan says what is wrong with its configuration
    return f"holds {name_some(strange)}: {explain(strange[0])}" if strange else None


def _padding_note(series: Series, listing: Listing) -> str | None:
    """Return a note where the head has rows that no token uses; None where it has none or no tokenizer is known."""
    from degen.checkpoints.series_tokenizer import tokenizer_of
    from degen.model.lm_head import used_rows
    from degen.model.loading import silence_transformers

    config = listing.checkpoint.source.config()
    if not has_config(config):
        return None
    fields = check_json(config / "config.json")
    text = fields.get("text_config")
    rows = fields.get("vocab_size") or (text.get("vocab_size") if isinstance(text, dict) else None)
    silence_transformers()
    try:
        tokenizer = tokenizer_of(series)
    except DegenError:
        return None
    if tokenizer is None or not isinstance(rows, int) or (used := used_rows(tokenizer.ids, rows)) is None:
        return None
    return f"padded vocabulary: the head has {rows:,} rows, and tokens use {len(used):,} of them"


def _expected_steps(series: Series, steps: str) -> Sequence[int] | None:
    """Return the steps that the series should have: those that `steps` lists, or for `all` those of its suite.

    None where neither says which.
    """
    from degen.checkpoints.hub_source import HubSource
    from degen.checkpoints.suites import expected_steps

    if steps != "all":
        return None if steps.startswith("log:") else parse_steps(steps)
    repos = {c.source.repo for c in series.checkpoints if isinstance(c.source, HubSource)}
    return expected_steps(repos.pop()) if len(repos) == 1 and len(series.checkpoints) > 1 else None


def _final_facts(series: Series) -> Facts | None:
    """Return the facts of a repository's main branch, which holds the final weights; None for other series."""
    from degen.checkpoints import hub_client as hub
    from degen.checkpoints.hub_source import HubSource

    source = series.checkpoints[-1].source
    repos = {c.source.repo if isinstance(c.source, HubSource) else None for c in series.checkpoints}
    if not isinstance(source, HubSource) or len(repos) > 1:  # of a repository for each checkpoint, none is final
        return None
    try:
        commit = hub.refs(source.repo).get("main")
        return Facts("main", None, hashes=HubSource(source.repo, "main", commit).hashes()) if commit else None
    except CheckpointError:
        return None  # without it the last step is the final one
