"""Scaling laws of losses in size, data and compute: their points, their fits, and how sure they are.

Imports metrics, laws and below.
"""

from __future__ import annotations
