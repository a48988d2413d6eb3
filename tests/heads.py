"""Configurations reduced to what a logit transform asks of them."""

from __future__ import annotations

from typing import Any


class Plain:
    """Says nothing of scales or caps."""

    def get_text_config(self, decoder: bool) -> Any:
        return self


class Capped(Plain):
    """Scales logits by half, and caps them at 3."""

    final_logit_softcapping = 3.0
    logit_scale = 0.5
