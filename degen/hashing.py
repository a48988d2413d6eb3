"""Hashes of what JSON can say."""

from __future__ import annotations

import json
from typing import Any


def fingerprint(of: Any) -> str:
    """Return the SHA-256 of anything JSON can say, keys sorted, as 64 hexadecimal digits."""
    import hashlib  # it loads OpenSSL, for which the help of a command should not wait

    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
