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
        step: the step that its name gives; None where the name gives none, as `main`.
        stage: the training stage that its name gives; None where it gives none. Every stage counts its steps anew.
        hashes: name of the weight file -> hash: the published one, or one of the values that were read.
        shapes: name of the tensor -> its shape; None where no header of a file was read.
        samples: name of the weight file -> values at fixed positions of its tensors, the same in every revision. Of
            files with equal hashes only one need be there.
        not_finite: a sentence that says which values are NaN or infinity; None where none are.
        fault: verdict and reason where a file is missing or cannot be read; None where all could be.
        notes: remarks that are no faults.
        initial: whether the weights look as they do before training.
        unused: the tensors that no model takes, as a sentence; None where none were seen.
    """

    revision: str
    step: int | None
    stage: str | None = None
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
    """Return a number with its noun: `1 shard`, `2 shards`."""
    return f"{n:,} {thing}{'s' * (n != 1)}"
