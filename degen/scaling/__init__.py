"""Scaling laws of losses in size, data and compute: their points, their fits, and how sure they are.

Imports metrics and what lies below it.
"""

from __future__ import annotations
