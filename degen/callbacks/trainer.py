"""The callback for the Trainer of transformers."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Unpack

from transformers import Trainer, TrainerCallback

from degen.scanning.settings import MeasureKeywords, list_settings

from .callback_core import CallbackCore, OnViolation


@list_settings(MeasureKeywords, corpus=None)
class DegenerationCallback(TrainerCallback):  # type: ignore[misc]
    """Measures the model while the Trainer of transformers trains it, and stops a training that degenerates.

    The figures go to whatever tracker the Trainer has, and to `trainer.state.log_history`, as `degen/loss` and so on;
    some trackers put `train/` in front, as they do with all that the Trainer logs. Training itself is what it would be
    without: weights, optimiser and random states are not touched. In a distributed training the main process measures
    and the others wait; under FSDP, where each holds a part of the model, all of them measure together.

        Trainer(..., processing_class=tokenizer, callbacks=[
            DegenerationCallback(corpus="val.jsonl", every=500, rules=["anisotropy < 0.6"], on_violation="stop"),
        ])

    Args:
        every: `evaluate` or `save`, to measure whenever the Trainer has done that, or a number of steps. Rules that
            would never be judged so, as with `eval_strategy="no"`, are refused when training begins.
        rules: conditions on the figures, in the syntax of `degen gate`: `anisotropy < 0.6`, `loss.rise < 0.02`
            (against the training's own past, which a training that is resumed knows from `out` alone),
            `anisotropy[layer=3] < 0.9`.
        on_violation: where a rule is broken: `log` it, or `stop` the training at that step as well.
        confidence: how sure a violation must be, as in `degen gate`; None to compare the figures as they are.
        out: a run folder in which the measurements are kept, for `degen show`, `saturation` and `gate`. A training that
            is resumed goes on in it.
        tokenizer: what windows are made with; None for the `processing_class` of the Trainer.
        prefix: in front of every name in the tracker.
        settings: fields of `Settings` that apply to a model in memory, by name.

    Raises:
        DegenError: settings that make no sense; those that depend on model, corpus or tokenizer when training begins.
    """

    def __init__(
        self,
        *,
        every: str | int = "evaluate",
        rules: str | Sequence[str] = (),
        on_violation: OnViolation = "log",
        confidence: float | None = None,
        out: str | Path | None = None,
        tokenizer: Any = None,
        prefix: str = "degen/",
        **settings: Unpack[MeasureKeywords],
    ) -> None:
        self._core = CallbackCore(
            tokenizer=tokenizer,
            every=every,
            events=("evaluate", "save"),
            rules=rules,
            on_violation=on_violation,
            confidence=confidence,
            out=out,
            prefix=prefix,
            settings=settings,
        )
        self._trainer: weakref.ref[Any] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Draw the windows, and refuse settings that do not fit the model or the training."""
        trainer = _calling_trainer() if state.is_world_process_zero else None
        self._trainer = weakref.ref(trainer) if trainer is not None else None
        last = state.max_steps if state.max_steps > 0 else None
        never_due = _never_due(self._core.every, args)
        self._core.begin(kwargs["model"], kwargs.get("processing_class"), state.global_step, last, never_due)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure at the end of a step, if `every` is a number of steps and this one is a multiple of it."""
        self._measure_if_due("step", state, control, kwargs)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure after an evaluation, if `every` says so."""
        self._measure_if_due("evaluate", state, control, kwargs)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure the model that the Trainer just saved, if `every` says so."""
        self._measure_if_due("save", state, control, kwargs)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop measuring, and warn where nothing was measured or a rule was never judged."""
        self._core.end(state.global_step)

    def _measure_if_due(self, event: str, state: Any, control: Any, kwargs: Mapping[str, Any]) -> None:
        if not self._core.is_due(event, state.global_step):
            return
        figures, stop = self._core.measure_step(kwargs["model"], state.global_step)
        if figures:
            _log(self._trainer() if self._trainer is not None else None, figures, state, control)
        if stop:
            control.should_training_stop = True


def _never_due(every: str | int, args: Any) -> tuple[str, str] | None:
    """Return two phrases, why the Trainer never evaluates or saves, whichever `every` names, and what to do.

    None where it does, or where `every` is a number of steps.
    """
    option = {"evaluate": "eval_strategy", "save": "save_strategy"}.get(str(every))
    if option is None or getattr(args, option, None) != "no":
        return None
    verb = "evaluates" if every == "evaluate" else "saves"
    return f'the Trainer never {verb} ({option}="no")', f"set {option}, or every to a number of steps"


def _log(trainer: Any, figures: dict[str, float], state: Any, control: Any) -> None:
    """Log figures through the Trainer, to its history and to every tracker.

    The Trainer's `log` also clears the flag that its own logging is due at this step; the flag is set again.
    """
    due = control.should_log
    if trainer is not None:
        trainer.log(figures)
    else:  # somebody else's loop calls the callbacks
        state.log_history.append({**figures, "step": state.global_step})
    control.should_log = due


def _calling_trainer() -> Any:
    """Return the Trainer that calls the callback, found on the call stack; None where no Trainer does.

    Callbacks are not given the Trainer itself, and only its own `log` reaches the trackers. The stack is searched only
    once, before the first batch, because reading a frame keeps its variables alive.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if isinstance(caller := frame.f_locals.get("self"), Trainer):
            return caller
        frame = frame.f_back
    return None
