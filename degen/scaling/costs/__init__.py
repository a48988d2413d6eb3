"""Costs of models that need not exist yet: configurations, names on the hub, shapes of T5, and grids of them.

Imports metrics and what lies below it.
"""

from __future__ import annotations
