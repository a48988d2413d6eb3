"""Measure a model while it trains: the figures that a scan of its checkpoints would give; training is left unchanged.

from degen.callbacks import DegenerationCallback            # the Trainer of transformers
from degen.callbacks import LightningDegenerationCallback   # Lightning
from degen.callbacks import Monitor, Watch, measure_model   # a loop of your own

Imports gate and what lies below it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .lightning import LightningDegenerationCallback
    from .monitor import Measurement, Monitor, measure_model
    from .step_rules import StepReport, Undecided
    from .trainer import DegenerationCallback
    from .watch import Watch

__all__ = [
    "DegenerationCallback",
    "LightningDegenerationCallback",
    "Measurement",
    "Monitor",
    "StepReport",
    "Undecided",
    "Watch",
    "measure_model",
]


_MODULES = {
    "DegenerationCallback": "trainer",
    "LightningDegenerationCallback": "lightning",
    "StepReport": "step_rules",
    "Undecided": "step_rules",
    "Watch": "watch",
}


def __dir__() -> list[str]:
    """List what is loaded on first use as well, for `dir(degen.callbacks)` and completion."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Return the callback or class called `name`, imported on first use, so that no library is needed but its own."""
    if name not in __all__:
        raise AttributeError(f"module 'degen.callbacks' has no attribute {name!r}")
    return getattr(import_module(f"degen.callbacks.{_MODULES.get(name, 'monitor')}"), name)
