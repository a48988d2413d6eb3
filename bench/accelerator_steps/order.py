"""The device made ready, and all parts in order of importance."""

from __future__ import annotations

import argparse
import gc
import sys
from typing import NoReturn

import torch

from degen.errors import DegenError
from degen.model.loading import choose_device, silence_transformers

from . import busy, head, memory, rank, right_models, right_series, right_training
from .machine import Machine
from .record import Part
from .tiny_models import FAMILIES


def exit_with(why: str) -> NoReturn:
    """Print why the options are refused, and exit with code 2."""
    print(why, file=sys.stderr)
    raise SystemExit(2)


def machine_for(options: argparse.Namespace) -> Machine:
    """Return the requested device, or the accelerator there is, set to exact float32."""
    silence_transformers()
    try:
        device = choose_device(options.device or ("cpu" if options.tiny else "auto"))
    except DegenError as error:
        exit_with(str(error))
    if device.type == "cpu" and not options.tiny:
        exit_with("no accelerator here; --tiny runs the same steps on a CPU")
    if device.index is not None:
        torch.accelerator.set_device_index(device.index)
    # tiny matrices: a second thread only waits for the first
    threads = options.threads or (1 if options.tiny else None)
    if threads:
        torch.set_num_threads(threads)
    return Machine(device, options.tiny)


def parts_for(machine: Machine, options: argparse.Namespace) -> list[Part]:
    """Return the requested parts, those that a cut run should have measured first."""
    for name in options.models:
        if name not in FAMILIES:
            exit_with(f"--models {name}: not one of {', '.join(FAMILIES)}")
    for dtype in options.dtypes:
        if dtype not in right_models.TOLERANCES:
            exit_with(f"--dtypes {dtype}: not one of {', '.join(right_models.TOLERANCES)}")
    parts = right_models.parts(machine, options.models, options.dtypes)
    for step in (right_series, right_training, busy, memory, rank, head):
        parts += step.parts(machine)
    for word in options.only:
        if not any(part.is_of([word]) for part in parts):
            exit_with(f"--only {word}: no such step or part; there are {', '.join(part.name for part in parts)}")
    gc.freeze()  # a scan collects garbage after each checkpoint; what was imported need not be gone through again
    return [part for part in parts if part.is_of(options.only)]
