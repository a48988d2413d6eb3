"""Checkpoints that are another one's copy: head and body bytes equal, of the same types, and the same configuration."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from degen.checkpoints.adapter_source import AdapterSource
from degen.checkpoints.series import Checkpoint
from degen.checkpoints.source import Source
from degen.hashing import fingerprint
from degen.model.configuration import config_sha256, read_config

from .open_checkpoint import OpenCheckpoint


def published_digest(source: Source, trust: bool) -> str | None:
    """Return a hash that tells a checkpoint from all others before a tensor is read; None where none is published.

    Raises:
        CheckpointError: they cannot be had.
    """
    hashes = source.hashes()
    if hashes is None:
        return None
    return fingerprint([sorted(hashes.items()), config_sha256(read_config(source.config(), trust))])


def source_hash(opened: OpenCheckpoint, head_sha256: str) -> str:
    """Return the source hash that the parts of a checkpoint keep, where no hashes are published."""
    source = opened.checkpoint.source
    adapter = [source.adapter.sha256] if isinstance(source, AdapterSource) else []
    return fingerprint([head_sha256, config_sha256(opened.config), *adapter])


@dataclass
class MeasuredCheckpoints:
    """The checkpoints of a series measured so far, by their bytes.

    Where hashes are published they decide. Elsewhere bodies are read where two heads are equal, and each body once; of
    adapters on one base, which have one head, the adapters alone.
    """

    _by_digest: dict[str, Checkpoint] = field(default_factory=dict)
    _by_head: dict[str, list[Checkpoint]] = field(default_factory=dict)
    _by_adapter: dict[tuple[Source, str], Checkpoint] = field(default_factory=dict)
    _bodies: dict[Checkpoint, str] = field(default_factory=dict)

    def add(self, checkpoint: Checkpoint, head_sha256: str, digest: str | None) -> None:
        """Add a checkpoint that was measured."""
        if digest is not None:
            self._by_digest.setdefault(digest, checkpoint)
        source = checkpoint.source
        if not isinstance(source, AdapterSource):
            self._by_head.setdefault(head_sha256, []).append(checkpoint)
        elif source.twin is not None:
            self._by_adapter.setdefault(source.twin, checkpoint)

    def find_by_digest(self, source: Source, digest: str | None) -> Checkpoint | None:
        """Return the one that is the same by its published hashes, or by its adapter and its base; None without."""
        if digest is not None:
            return self._by_digest.get(digest)
        twin = source.twin if isinstance(source, AdapterSource) else None
        return self._by_adapter.get(twin) if twin is not None else None

    def same_head(self, head_sha256: str) -> list[Checkpoint]:
        """Return those whose head is the same."""
        return self._by_head.get(head_sha256, [])

    def same_bytes(self, one: OpenCheckpoint, other: OpenCheckpoint) -> bool:
        """Return whether configuration and every stored tensor of two checkpoints are the same: name, type, bytes."""
        return self._body(one) == self._body(other)

    def _body(self, opened: OpenCheckpoint) -> str:
        if opened.checkpoint not in self._bodies:
            digest = hashlib.sha256(config_sha256(opened.config).encode())
            for key in sorted(opened.tensors.keys):
                digest.update(f"{key} {opened.tensors.shape(key)} {opened.tensors.dtype(key)}\n".encode())
                for piece in opened.tensors.raw(key):
                    digest.update(piece)
            self._bodies[opened.checkpoint] = digest.hexdigest()
        return self._bodies[opened.checkpoint]
