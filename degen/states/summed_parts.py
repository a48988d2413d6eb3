"""Sums over the states of every site, kept apart for the domains with the most tokens and for all others together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypeVar

from degen.probe import Batch, Site
from degen.text.windows import Sample

from .shared_states import Accumulator
from .state_rows import StateRows, Vectors

if TYPE_CHECKING:
    import torch


class Sums(ABC):
    """Sums over some states of one site, kept where the states are.

    Args:
        width: d of the states.
        device: where the sums are kept.

    Attributes:
        sum: a sum of d numbers.
    """

    sum: torch.Tensor

    @abstractmethod
    def __init__(self, width: int, device: torch.device) -> None:
        """Begin with zeros."""

    @abstractmethod
    def add(self, rows: Vectors) -> None:
        """Add some states."""

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Add the sums over other states."""


S = TypeVar("S", bound=Sums)


class SummedParts(Accumulator, Generic[S]):
    """Sums of every site that add up: those of the domains, and of what is not kept apart, are those of the whole.

    So what takes d² products a state is computed once, however many domains there are.

    Attributes:
        kind: the class of the sums.
    """

    kind: ClassVar[type[Sums]]

    def __init__(self, sample: Sample, first: int = 0) -> None:
        super().__init__(sample, first)
        self._parts: dict[Site, dict[int, S]] = {}
        self._whole: dict[Site, S] = {}

    def add(self, batch: Batch, site: Site, rows: StateRows) -> None:
        """Add the states of a batch at one site."""
        self._whole.pop(site, None)
        width, device = rows.values.shape[1], rows.values.device
        of_rows = self.domains.parts(batch.windows, self.kept(width))
        for part, vectors in rows.parts(of_rows):
            self._of_part(site, part, width, device).add(vectors)

    def _of_part(self, site: Site, part: int, width: int, device: torch.device) -> S:
        parts = self._parts.setdefault(site, {})
        if part not in parts:
            parts[part] = self.kind(width, device)  # type: ignore[assignment]  # the class that S stands for
        return parts[part]

    def of(self, site: Site, domain: int | None = None) -> S:
        """Return the sums over the states of one site.

        Args:
            site: where the states were taken.
            domain: index of a domain that is kept apart; None for the states of all.
        """
        parts = self._parts[site]
        if domain is not None:
            if domain not in parts:
                some = next(iter(parts.values())).sum
                return self._of_part(site, domain, len(some), some.device)
            return parts[domain]
        if len(parts) == 1:
            return next(iter(parts.values()))
        if site not in self._whole:
            some = next(iter(parts.values())).sum
            whole: S = self.kind(len(some), some.device)  # type: ignore[assignment]
            for part in sorted(parts):
                whole.merge(parts[part])
            self._whole[site] = whole
        return self._whole[site]

    def merge(self, other: Self) -> None:
        """Add the sums of another instance."""
        for site, parts in other._parts.items():
            self._whole.pop(site, None)
            for part, sums in parts.items():
                self._of_part(site, part, len(sums.sum), sums.sum.device).merge(sums)
