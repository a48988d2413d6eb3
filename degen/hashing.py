"""Hashes of JSON documents."""

from __future__ import annotations

import json
from typing import Any


def fingerprint(document: Any) -> str:
    """Return the SHA-256 of a JSON document with sorted keys, as 64 hexadecimal digits."""
    import hashlib  # loads OpenSSL, which would delay the help of a command

    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
