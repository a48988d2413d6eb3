"""Two logit transforms, for heads that are made by hand."""

from __future__ import annotations

from degen.model.logit_transform import LogitTransform

PLAIN = LogitTransform()
CAPPED = LogitTransform(scale=0.5, cap=3.0)
