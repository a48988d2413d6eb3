"""Checkpoints that are another one's copy: head and body bytes equal, under the same configuration."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from .architecture import config_sha256
from .measure import Opened
from .series import Checkpoint


@dataclass
class Measured:
    """The checkpoints of a series measured so far, found again by their bytes.

    Only where two heads are equal are bodies read, and each body once.
    """

    _by_head: dict[str, list[Checkpoint]] = field(default_factory=dict)
    _bodies: dict[Checkpoint, str] = field(default_factory=dict)

    def add(self, head_sha256: str, checkpoint: Checkpoint) -> None:
        """Remember a checkpoint."""
        self._by_head.setdefault(head_sha256, []).append(checkpoint)

    def alike(self, head_sha256: str) -> list[Checkpoint]:
        """Those whose head is the same."""
        return self._by_head.get(head_sha256, [])

    def same(self, one: Opened, other: Opened) -> bool:
        """Whether configuration and every stored tensor of two checkpoints are the same, to the byte."""
        return self._body(one) == self._body(other)

    def _body(self, opened: Opened) -> str:
        if opened.checkpoint not in self._bodies:
            digest = hashlib.sha256(config_sha256(opened.config).encode())
            for key in sorted(opened.tensors.keys):
                digest.update(f"{key}{opened.tensors.shape(key)}".encode())
                for piece in opened.tensors.raw(key):
                    digest.update(piece)
            self._bodies[opened.checkpoint] = digest.hexdigest()
        return self._bodies[opened.checkpoint]
