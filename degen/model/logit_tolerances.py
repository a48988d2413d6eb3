"""The largest difference allowed between our logits and the model's own."""

from __future__ import annotations

# Largest |our logits − the model's own|, relative to the largest logit. Within one call the states are the same, and
# only the head and what follows it are compared. A call without hooks has another batch shape, and rounds differently.
# Logits of float64 are compared in float32.
SAME_CALL = {"float64": 1e-5, "float32": 1e-5, "float16": 2e-3, "bfloat16": 1e-2}
OTHER_CALL = {"float64": 1e-4, "float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
