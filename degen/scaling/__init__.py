"""Scaling laws of losses in size, data and compute: their points, their fits, and how sure they are."""

from __future__ import annotations
