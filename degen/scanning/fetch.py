"""Bring all that a scan reads from the hub into the user's cache, for scans on machines without network."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from degen.checkpoints import hub_client as hub
from degen.checkpoints import hub_records as records
from degen.checkpoints.adapter_files import HubAdapter
from degen.checkpoints.adapter_source import AdapterSource
from degen.checkpoints.downloads import Downloads
from degen.checkpoints.hub_source import HubSource
from degen.checkpoints.series import Checkpoint, Series
from degen.checkpoints.source import Source
from degen.errors import CheckpointError, DegenError, one_line
from degen.model.architecture import describe
from degen.model.configuration import read_config
from degen.model.lm_head import head_tensors
from degen.probe import SourceProbe
from degen.probe_registry import needs_text, sends_text
from degen.tables import Row

from .duplicates import published_digest
from .plan import Plan, make_plan
from .progress import Progress
from .sampling import load_tokenizer
from .settings import Settings

RESERVE = 1.02  # of the bytes to fetch, what must be free on the disk

FETCH, CACHED, COPY, LOCAL, FAILED = "to fetch", "cached", "copy", "local", "failed"


@dataclass(frozen=True)
class FetchItem:
    """One checkpoint that is to be fetched.

    Attributes:
        checkpoint: which one.
        whole: whether all of its tensors are needed, or the head alone.
        bytes: of weights that are to be downloaded.
        status: `to fetch`, `cached`, `copy` of one before it in its series, `local`, or `failed`.
        reason: why it failed; None where it did not.
    """

    checkpoint: Checkpoint
    whole: bool
    bytes: int
    status: str
    reason: str | None = None

    def row(self) -> Row:
        """Return it as a row of the result."""
        c = self.checkpoint
        return {"model": c.model, "revision": c.revision, "step": c.step, "bytes": self.bytes, "status": self.status,
                "reason": self.reason}  # fmt: skip


def plan_fetch(settings: Settings, progress: Progress) -> list[FetchItem]:
    """Return what a scan with these settings would read of the hub, checkpoint by checkpoint.

    Names of revisions, lists of files, configurations and tokenizers are in the cache then.

    Args:
        settings: of the scan.
        progress: gets notes, and how far the listing is.

    Raises:
        DegenError: series, probes or a tokenizer cannot be found; HF_HUB_OFFLINE is set; or the disk is too full.
    """
    if hub.is_offline():
        raise DegenError("HF_HUB_OFFLINE is set, and fetching asks the hub; unset it on the machine with network")
    progress.start_phase("finding checkpoints")
    plan = make_plan(settings, progress.note)
    named: set[str] = set()
    items = [item for series in plan.series for item in _plan_series(series, plan, settings, named, progress)]
    needed, free = sum(item.bytes for item in items), free_space()
    if needed * RESERVE > free:
        raise DegenError(
            f"{cache_folder()}: {needed / 1e9:.3g} GB are to be fetched, and {free / 1e9:.3g} GB are free; thin the "
            "series with --steps, or set HF_HOME to a folder on a larger disk"
        )
    return items


def _plan_series(
    series: Series, plan: Plan, settings: Settings, named: set[str], progress: Progress
) -> Iterator[FetchItem]:
    """Yield the checkpoints of one series; its tokenizer is in the cache then.

    Args:
        series: the series.
        plan: of the scan.
        settings: of the scan.
        named: the repositories whose names of revisions are in the cache, to which those of this series are added.
        progress: gets how far the listing is.
    """
    tokenizer = load_tokenizer(settings, series) if needs_text(plan.probes.values()) else None
    streams = tokenizer is not None and sends_text(plan.probes.values())
    whole = streams or any(issubclass(probe, SourceProbe) for probe in plan.probes.values())
    digests: set[str] = set()
    counted: set[str] = set()  # hashes of files, which several checkpoints may share
    head = 0
    for checkpoint in progress.track(series.checkpoints, len(series.checkpoints), f"checkpoints of {series.model}"):
        sources = list(hub_sources(checkpoint.source))
        try:
            for source in sources:
                _record(source, named)
            digest = published_digest(checkpoint.source, settings.trust_remote_code)
            if digest in digests:
                yield FetchItem(checkpoint, whole, 0, COPY)
                continue
            digests |= {digest} if digest is not None else set()
            if whole or isinstance(checkpoint.source, AdapterSource):
                size = _missing_bytes(checkpoint.source, counted)
            else:
                head = head or sum(_head_bytes(source, settings.trust_remote_code) for source in sources)
                size = 0 if all(map(_has_head, sources)) else head
            status = FETCH if size else CACHED if sources else LOCAL
            yield FetchItem(checkpoint, whole, size, status)
        except CheckpointError as error:
            yield FetchItem(checkpoint, whole, 0, FAILED, one_line(error))


def _record(source: HubSource, named: set[str]) -> None:
    """Keep in the cache what a scan without network asks of a revision: its files, and once the names of all others."""
    if source.repo not in named:
        records.record_refs(source.repo, records.recorded_refs(source.repo) | hub.refs(source.repo))
        named.add(source.repo)
    source.record()


def hub_sources(source: Source) -> Iterator[HubSource]:
    """Yield the revisions of the hub that a checkpoint is made of; none for local files."""
    if isinstance(source, HubSource):
        yield source
    elif isinstance(source, AdapterSource):
        yield from hub_sources(source.base)
        if isinstance(source.adapter, HubAdapter):
            yield source.adapter.source


def _weights(source: Source) -> Iterator[tuple[str, hub.HubFile]]:
    """Yield the files of weights that a checkpoint has on the hub, each with its repository."""
    if isinstance(source, HubSource):
        yield from ((source.repo, source.files[name]) for name in source.layout.shards)
    elif isinstance(source, AdapterSource):
        yield from _weights(source.base)
        if isinstance(source.adapter, HubAdapter):
            on_hub = source.adapter.source
            yield on_hub.repo, on_hub.files[source.adapter.weights]


def _missing_bytes(source: Source, counted: set[str]) -> int:
    """Return the bytes of weights that neither the cache has nor `counted`, to which their hashes are added."""
    new = {file.hash: file.size for repo, file in _weights(source) if not hub.blob_is_cached(repo, file.hash)}
    missing = sum(size for hash, size in new.items() if hash not in counted)
    counted |= new.keys()
    return missing


def _has_head(source: HubSource) -> bool:
    whole = all(hub.blob_is_cached(repo, file.hash) for repo, file in _weights(source))
    return whole or records.head_file(source.repo, source.commit, source.subfolder).is_file()


def _head_bytes(source: HubSource, trust: bool) -> int:
    """Return the bytes that are read for the head of a revision: of its tensors, or of the files that may hold them."""
    if source.layout.kind != "safetensors":
        return source.size()
    tensors = source.tensors()
    keys = head_tensors(tensors, describe(read_config(source.config(), trust), trust))
    return sum(tensors.size(key) for key in keys) or source.size()


def fetch(items: list[FetchItem], progress: Progress) -> list[FetchItem]:
    """Fetch what is planned, one checkpoint after another, and return what came of each.

    Args:
        items: from `plan_fetch`.
        progress: gets how far it is.
    """
    fetched = (FETCH, CACHED, COPY)
    todo = [item for item in items if item.status in fetched]
    progress.start_scan([item.checkpoint for item in todo], 0)
    done = []
    with tempfile.TemporaryDirectory() as folder:
        for item in items:
            if item.status in fetched:
                progress.start_checkpoint(item.checkpoint, 0)
                progress.start_phase("fetch")
                item = _fetch_item(item, Downloads(Path(folder), "all"))
                size = f"{item.bytes / 1e6:,.1f} MB" if item.bytes else ""
                progress.finish_checkpoint(item.checkpoint, item.status, item.reason or size)
            done.append(item)
    return done


def _fetch_item(item: FetchItem, downloads: Downloads) -> FetchItem:
    """Fetch one checkpoint: links to it lie in `downloads` for a moment, its files in the user's cache."""
    source = item.checkpoint.source
    try:
        if item.status == COPY:
            for one in hub_sources(source):
                one.keep_beside()
            source.cache_alias()
            return item
        source.fetch(downloads, item.whole)
        return FetchItem(item.checkpoint, item.whole, item.bytes, "fetched" if item.bytes else CACHED)
    except (CheckpointError, OSError) as error:
        return FetchItem(item.checkpoint, item.whole, 0, FAILED, one_line(error))
    finally:
        downloads.release(source.key)


def cache_folder() -> Path:
    """Return the folder of the user's cache of the hub."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def free_space() -> int:
    """Return the free bytes of the disk on which the cache is."""
    folder = cache_folder().absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
