"""Checkpoints that are another one's copy: head and body bytes equal, under the same configuration."""

from __future__ import annotations

import hashlib

from .measure import Opened


def same_weights(one: Opened, other: Opened) -> bool:
    """Whether every stored tensor and the configuration are the same, to the byte. Heads are compared by the caller."""
    if one.config.to_json_string() != other.config.to_json_string() or one.tensors.keys != other.tensors.keys:
        return False
    return _body_sha256(one) == _body_sha256(other)


def _body_sha256(opened: Opened) -> str:
    digest = hashlib.sha256()
    for key in sorted(opened.tensors.keys):
        digest.update(f"{key}{opened.tensors.shape(key)}".encode())
        for piece in opened.tensors.raw(key):
            digest.update(piece)
    return digest.hexdigest()
