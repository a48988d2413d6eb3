"""What a scan asks of the files of a checkpoint, by what it measures and where."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from degen.probes.loss import Loss
from degen.probes.spectrum import Spectrum

from degen.scanning.measure_spec import MeasureSpec
from degen.tables import Tables
from degen.text.windows import Sample, Window


def test_weights_are_read_ahead_for_an_accelerator_that_needs_all_of_them() -> None:
    sample = Sample("t", (Window(0, 0, None, 0, 9, np.arange(9, dtype=np.int32)),))
    card = MeasureSpec({"loss": Loss}, Tables({}), sample, None, torch.device("cuda"), "auto")
    assert card.reads_ahead
    assert not replace(card, device=torch.device("cpu")).reads_ahead
    assert not replace(card, device_map="auto").reads_ahead
    assert not replace(card, probes={"spectrum": Spectrum}).reads_ahead
    assert not replace(card, sample=None).reads_ahead
