"""Measure a model while it trains: what a scan of its checkpoints would say, without a trace left in the training.

from degen.callbacks import DegenerationCallback            # the Trainer of transformers
from degen.callbacks import LightningDegenerationCallback   # Lightning
from degen.callbacks import Monitor, Watch, measure_model   # a loop of your own

Imports gate and what lies below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .lightning import LightningDegenerationCallback
    from .monitor import Measurement, Monitor, measure_model
    from .step_report import StepReport, Undecided
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


def __getattr__(name: str) -> Any:
    """Load each on first use: neither library's callback needs the other library."""
    if name == "DegenerationCallback":
        from .trainer import DegenerationCallback

        return DegenerationCallback
    if name == "LightningDegenerationCallback":
        from .lightning import LightningDegenerationCallback

        return LightningDegenerationCallback
    if name in ("StepReport", "Undecided"):
        from . import step_report

        return getattr(step_report, name)
    if name == "Watch":
        from .watch import Watch

        return Watch
    if name in __all__:
        from . import monitor

        return getattr(monitor, name)
    raise AttributeError(f"module 'degen.callbacks' has no attribute {name!r}")
