"""Shards: the checkpoints of a scan in parts that several processes measure into one run folder."""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from degen.checkpoint_formats.registry import find_format
from degen.checkpoints.adapter_source import AdapterSource
from degen.checkpoints.find_series import split_label
from degen.checkpoints.hub_client import is_offline
from degen.checkpoints.hub_series import is_hub_name
from degen.checkpoints.local import LocalSource
from degen.checkpoints.series import Checkpoint
from degen.checkpoints.suites import is_suite
from degen.errors import CheckpointError, DegenError
from degen.hashing import fingerprint
from degen.paths import path_of_spec

from .duplicates import published_digest

MAX_SHARDS = 1 << 20
MAX_STAGGER = 30.0  # seconds
BLOCKS, BLOCK = 16, 4096  # of each file of weights, read to tell it from others; bytes


@dataclass(frozen=True)
class Shard:
    """One of several parts of a scan.

    Attributes:
        index: which part, counted from 1.
        count: of how many.
    """

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def members(self, checkpoints: Iterable[Checkpoint], trust: bool) -> frozenset[Checkpoint]:
        """Return the checkpoints of this shard.

        Formula: SHA-256 of `identity` modulo the number of shards is the index, counted from 0. So a checkpoint stays
        in its shard when its series grows, and copies fall to one shard.

        Args:
            checkpoints: all of the scan.
            trust: whether Python code that a checkpoint brings may run.
        """
        return frozenset(c for c in checkpoints if self._index_of(identity(c, trust)) == self.index)

    def _index_of(self, text: str) -> int:
        return int(hashlib.sha256(text.encode()).hexdigest(), 16) % self.count + 1


def parse_shard(text: str) -> Shard:
    """Return the shard that a text such as `3/16` names.

    Raises:
        DegenError: it names none.
    """
    found = re.fullmatch(r"(\d{1,7})/(\d{1,7})", text.strip(), re.ASCII)
    index, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= index <= count <= MAX_SHARDS:
        raise DegenError(f"--shard {text:.40}: must be I/N with I from 1 to N, as in 3/16")
    return Shard(index, count)


def stagger(shard: Shard, series: Iterable[str]) -> None:
    """Wait a random time where series are on the hub and may be asked for: of all shards that begin at once few ask.

    Formula: at most half a second for each shard, and 30 s.
    """
    names = [name for spec in series if not path_of_spec(name := split_label(spec)[1]).exists()]
    if any(is_suite(name) or is_hub_name(name) for name in names) and not is_offline():
        time.sleep(random.uniform(0, min(MAX_STAGGER, 0.5 * (shard.count - 1))))


def identity(checkpoint: Checkpoint, trust: bool) -> str:
    """Return a text that is the same for copies of a checkpoint within its series, in every process.

    It is of the published hashes where there are some, of an adapter and its base, or of blocks of the files of weights
    at even distances; of the name of the revision where none of these can be had.
    """
    try:
        content = _content(checkpoint, trust)
    except (CheckpointError, OSError):
        content = None  # it fails in its own row
    return fingerprint([checkpoint.model, content or checkpoint.revision])


def _content(checkpoint: Checkpoint, trust: bool) -> str | None:
    source = checkpoint.source
    if (digest := published_digest(source, trust)) is not None:
        return digest
    if isinstance(source, AdapterSource) and source.twin is not None:
        return fingerprint([str(source.base), source.twin[1]])
    if isinstance(source, LocalSource) and (known := find_format(source.path)) is not None:
        return fingerprint([(file.name, _hash_blocks(file)) for file in sorted(known.files(source.path))])
    return None


def _hash_blocks(file: Path) -> str:
    """Return a hash of the size of a file, and of blocks of it at even distances, its first and last among them.

    Raises:
        OSError: it cannot be read.
    """
    size = file.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as opened:
        for block in range(BLOCKS):
            opened.seek(max(size - BLOCK, 0) * block // (BLOCKS - 1))
            digest.update(opened.read(BLOCK))
    return digest.hexdigest()
