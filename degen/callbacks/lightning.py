"""The callback for Lightning, under either of its names: `lightning` and `pytorch_lightning`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Unpack

from degen.errors import DegenError
from degen.scanning.settings import MeasureKeywords, list_settings

from .callback_core import CallbackCore, OnViolation
from .processes import are_several

NAMES = ("lightning.pytorch", "pytorch_lightning")
NO_VALIDATION = "this training has no validation", "give fit data for it, or set every to a number of steps"


def _bases() -> tuple[type, ...]:
    """Return the base class of callbacks from each installed Lightning; the Trainer of each accepts only its own.

    Raises:
        DegenError: neither `lightning` nor `pytorch_lightning` is installed.
    """
    installed = [name for name in NAMES if find_spec(name.partition(".")[0]) is not None]
    if not installed:
        raise DegenError("the callback for Lightning needs Lightning, which is not installed; pip install lightning")
    return tuple(import_module(name).Callback for name in installed)


def _model_of(module: Any) -> Any:
    """Return the transformers model of a LightningModule: its attribute `model`.

    Raises:
        DegenError: that attribute is missing, or is no model of transformers.
    """
    model = getattr(module, "model", None)
    if not hasattr(model, "get_output_embeddings"):
        raise DegenError(
            f"{type(module).__name__}.model must be a model of transformers, and is not; say where that is: "
            "LightningDegenerationCallback(model_of=lambda module: module.…)"
        )
    return model


def _last_step(trainer: Any, module: Any) -> float | None:
    """Return the optimiser step at which training ends; None where it is unknown, or where this is a `fast_dev_run`."""
    if trainer.fast_dev_run:
        return None
    # with several optimisers a batch is several steps
    steps = trainer.estimated_stepping_batches if module.automatic_optimization else trainer.max_steps
    return float(steps) if 0 < steps < math.inf else None


@list_settings(MeasureKeywords, corpus=None)
class LightningDegenerationCallback(*_bases()):  # type: ignore[misc]
    """Measures the model while Lightning trains it, and stops a training that degenerates.

    The figures go to every logger of the Trainer as `degen/loss` and so on, exact, at the optimiser's step. Training
    itself is what it would be without: weights, optimiser and random states are not touched. In a distributed training
    the main process measures and the others wait; under `ModelParallelStrategy` with `fully_shard`, where each holds a
    part of the model, all of them measure together.

    Args:
        every: `validation`, to measure whenever that has ended, or a number of optimiser steps. Rules that would never
            be judged so, as without data for validation, are refused when training begins.
        rules: conditions on the figures, in the syntax of `degen gate`. What `.rise` and `.drop` compare with is the
            training's own past, which a training that is resumed knows from `out` alone.
        on_violation: where a rule is broken: `log` it, or `stop` the training at that step as well.
        confidence: how sure a violation must be, as in `degen gate`; None to compare the figures as they are.
        out: a run folder in which the measurements are kept. A training that is resumed goes on in it.
        tokenizer: what windows are made with; None for the module's attribute `tokenizer`.
        prefix: in front of every name in the logger.
        model_of: finds the transformers model in the module; by default its attribute `model`.
        settings: fields of `Settings` that apply to a model in memory, by name.

    Raises:
        DegenError: settings that make no sense; those that depend on model, corpus or tokenizer when training begins.
    """

    def __init__(
        self,
        *,
        every: str | int = "validation",
        rules: str | Sequence[str] = (),
        on_violation: OnViolation = "log",
        confidence: float | None = None,
        out: str | Path | None = None,
        tokenizer: Any = None,
        prefix: str = "degen/",
        model_of: Callable[[Any], Any] = _model_of,
        **settings: Unpack[MeasureKeywords],
    ) -> None:
        super().__init__()
        self._core = CallbackCore(
            tokenizer=tokenizer,
            every=every,
            events=("validation",),
            rules=rules,
            on_violation=on_violation,
            confidence=confidence,
            out=out,
            prefix=prefix,
            settings=settings,
        )
        self._model_of = model_of

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Draw the windows, and refuse settings that do not fit the model or the training."""
        if trainer.is_global_zero or are_several():
            tokenizer = getattr(pl_module, "tokenizer", None)
            never_due = None if trainer.enable_validation else NO_VALIDATION
            last = _last_step(trainer, pl_module)
            self._core.begin(self._model_of(pl_module), tokenizer, trainer.global_step, last, never_due)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *batch: Any) -> None:
        """Measure at the end of a step, if `every` is a number of steps and this one is a multiple of it."""
        self._measure_if_due("step", trainer, pl_module)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure after a validation, if `every` says so; not after Lightning's sanity check before training."""
        if not trainer.sanity_checking:
            self._measure_if_due("validation", trainer, pl_module)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Stop measuring, and warn where nothing was measured or a rule was never judged."""
        self._core.end(trainer.global_step)

    def _measure_if_due(self, event: str, trainer: Any, module: Any) -> None:
        if not self._core.is_due(event, trainer.global_step):
            return
        stop = False
        if trainer.is_global_zero or are_several():
            figures, stop = self._core.measure_step(self._model_of(module), trainer.global_step)
            for logger in trainer.loggers if figures else ():
                logger.log_metrics(figures, step=trainer.global_step)
        if trainer.strategy.broadcast(stop):
            trainer.should_stop = True
