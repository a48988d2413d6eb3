"""Whether the checkpoints of a series are what they claim: facts are gathered, and judged.

Imports scanning and what lies below it.
"""

from __future__ import annotations

from .collect import AuditOptions, audit

__all__ = ["AuditOptions", "audit"]
