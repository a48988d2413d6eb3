"""Hashes of what JSON can say."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def fingerprint(of: Any) -> str:
    """SHA-256 of anything JSON can say, keys sorted."""
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
