"""Are the checkpoints of a series what they claim: `collect.audit` gathers facts, `verdicts.judge` judges them.

Imports scanning and what lies below it.
"""

from __future__ import annotations

from .collect import audit

__all__ = ["audit"]
