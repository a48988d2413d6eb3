"""What the questions of saturation are asked of: one metric of one model over training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from degen.arrays import Floats, Ints

Better = Literal["min", "max"]


@dataclass(frozen=True)
class Course:
    """One metric of one model over training, as it was read.

    Attributes:
        model: label of the series.
        metric: name of the metric.
        steps: optimiser steps of its n checkpoints, in the order of the table, perhaps not ascending.
        values: the metric at each, NaN where it is missing.
        better: whether lower (`min`) or higher (`max`) values are better.
        floor: the least change that matters, in the metric's unit; 0 where any does.
        errors: standard error of each value, NaN where it is unknown; None where none is known.
        covariance: n × n covariance of the values from the windows they share; None where they share none. Its
            diagonal is the square of `errors`.
        parameters: all parameters of the model; None if unknown.
        tokens: training tokens at each checkpoint, NaN where unknown; None if unknown.
    """

    model: str
    metric: str
    steps: Ints
    values: Floats
    better: Better
    floor: float = 0.0
    errors: Floats | None = None
    covariance: Floats | None = None
    parameters: int | None = None
    tokens: Floats | None = None

    def drawn(self) -> list[float]:
        """The values as a picture should have them: none beyond the range of the last nine tenths of training.

        Perplexities of a million, at the first steps, would make a flat line of all that follows.
        """
        late = self.values[self.steps >= self.steps.max(initial=0) / 10]
        known = late[np.isfinite(late)]
        return [float(v) for v in (np.clip(self.values, known.min(), known.max()) if len(known) else self.values)]
