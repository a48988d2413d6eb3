"""The facts about one revision before it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from degen.arrays import Floats

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Facts:
    """The facts gathered about one revision.

    Attributes:
        revision: its name, unlike that of any other.
        step: the step its name says; None where it is no step, as in `main`.
        stage: 0 where none is named. Steps count anew in every stage.
        hashes: weight file -> hash of its content, published or of what was read.
        shapes: tensor -> shape; None where no header was read.
        samples: weight file -> values at fixed positions of its tensors, the same in every revision. Of files with
            equal hashes it is enough to have read one.
        not_finite: which values are NaN or infinity, as a sentence; None where none are.
        fault: verdict and reason, where a file is missing or cannot be read.
        notes: remarks that are no faults.
        initial: whether the weights look as they do before training.
        unused: the tensors that no model takes, as a sentence; None where none were seen.
    """

    revision: str
    step: int | None
    stage: int = 0
    hashes: Mapping[str, str] = field(default_factory=dict)
    shapes: Shapes | None = None
    samples: Mapping[str, Floats] = field(default_factory=dict)
    not_finite: str | None = None
    fault: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()
    initial: bool = False
    unused: str | None = None


Finding = tuple[str, str]  # verdict and reason


def count(n: int, thing: str) -> str:
    """Return a number of things, in words."""
    return f"{n:,} {thing}{'s' * (n != 1)}"
