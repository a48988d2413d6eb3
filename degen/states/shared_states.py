"""One set of accumulators for all probes of a pass, and the base class of the probes that use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from degen.probe import Batch, Need, Site, StreamProbe
from degen.tables import DOMAINS, Row, Rows
from degen.text.windows import Sample

from .sample_domains import MOST_DOMAINS, SampleDomains, kept_domains
from .state_rows import StateRows

if TYPE_CHECKING:
    import torch


class Accumulator(ABC):
    """What is kept of the states of every site, in a size that does not depend on the number of tokens.

    It is kept of the whole sample, and of the domains with the most tokens apart.

    Args:
        sample: the windows that will come.
        first: the first position of a window whose states come; those before it are left out.

    Attributes:
        most_domains: how many domains are kept apart, at most.
    """

    most_domains: ClassVar[int] = MOST_DOMAINS

    def __init__(self, sample: Sample, first: int = 0) -> None:
        self.sample = sample
        self.first = first
        self.domains = SampleDomains(sample, first)

    @classmethod
    @abstractmethod
    def numbers(cls, width: int) -> int:
        """Return how many numbers are kept of one domain at a site whose states are of this width."""

    @classmethod
    def kept(cls, width: int) -> int:
        """Return how many domains are kept apart at a site whose states are of this width."""
        return kept_domains(cls.numbers(width), cls.most_domains)

    @abstractmethod
    def add(self, batch: Batch, site: Site, rows: StateRows) -> None:
        """Add the states of a batch at one site."""

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Add what another instance was given, of other batches of the same sample."""


A = TypeVar("A", bound=Accumulator)


class SharedStates:
    """The accumulators of a pass, each made when a probe first uses it.

    Args:
        sample: the windows that will come.
        first: the first position of a window whose states come.
    """

    def __init__(self, sample: Sample, first: int = 0) -> None:
        self._sample = sample
        self.first = first
        self._accumulators: dict[type[Accumulator], Accumulator] = {}
        self._added: dict[type[Accumulator], tuple[Batch, Site]] = {}  # the latest of each
        self._rows: StateRows | None = None
        self._merged: list[SharedStates] = []

    def get(self, kind: type[A]) -> A:
        """Return the accumulator of a class."""
        if kind not in self._accumulators:
            self._accumulators[kind] = kind(self._sample, self.first)
        accumulator = self._accumulators[kind]
        assert isinstance(accumulator, kind)
        return accumulator

    def add(self, kinds: Sequence[type[Accumulator]], batch: Batch, site: Site, states: torch.Tensor) -> None:
        """Add the states of a batch at one site to some accumulators, unless another probe had them added already."""
        for kind in kinds:
            batch_before, site_before = self._added.get(kind, (None, None))
            if batch_before is batch and site_before == site:
                continue
            if self._rows is None or self._rows.batch is not batch or self._rows.site != site:
                self._rows = None  # frees the copy of another site before this one is made
                self._rows = StateRows(batch, site, states)
            self.get(kind).add(batch, site, self._rows)
            self._added[kind] = batch, site

    def finish(self) -> None:
        """Free the copy of the last states."""
        self._rows = None
        self._added = {}

    def merge(self, other: SharedStates) -> None:
        """Add the accumulators of another pass over other batches, once however many probes share them."""
        if any(other is merged for merged in self._merged):
            return
        self._merged.append(other)
        for kind, accumulator in other._accumulators.items():
            self.get(kind).merge(accumulator)


class StateProbe(StreamProbe):
    """A probe whose columns of table `layers` follow from shared accumulators.

    Attributes:
        accumulators: the classes of those it uses.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"states"})
    accumulators: ClassVar[tuple[type[Accumulator], ...]]

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample)
        self.shared = SharedStates(sample)
        self._widths: dict[Site, int] = {}
        self._units: dict[Site, float] = {}

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Declare the columns of table `layers` for table `domains`, too."""
        super().__init_subclass__(**keywords)
        if "layers" in getattr(cls, "columns", {}):
            cls.columns = {DOMAINS: cls.columns["layers"], **cls.columns}

    def share(self, shared: SharedStates) -> None:
        """Use the accumulators that other probes of the same pass use."""
        self.shared = shared

    def update_states(self, batch: Batch, site: Site, states: torch.Tensor) -> None:
        """Add the states of a batch at one site to the accumulators."""
        import torch

        self._widths[site] = states.shape[-1]
        self._units[site] = torch.finfo(states.dtype).eps
        self.shared.add(self.accumulators, batch, site, states)

    def merge(self, other: Self) -> None:
        """Add what another instance and those it shares with were given."""
        self._widths |= other._widths
        self._units |= other._units
        self.shared.merge(other.shared)

    def finish(self) -> Rows:
        """Return rows by table: in `layers` one for every layer and site, in `domains` one for each domain of those."""
        self.shared.finish()
        layers = [{"layer": s.layer, "site": s.name, **self.layer_row(s)} for s in self.sites()]
        return {"layers": layers, DOMAINS: self._domain_rows(layers)}

    def _domain_rows(self, layers: list[Row]) -> list[Row]:
        """Return the rows of table `domains`: of a domain that is not kept apart with the reason alone."""
        domains = SampleDomains(self.sample, self.shared.first)
        rows: list[Row] = []
        for index, (name, documents) in enumerate(zip(domains.names, domains.documents, strict=True)):
            for site, whole in zip(self.sites(), layers, strict=True):
                kept = min(kind.kept(self._widths[site]) for kind in self.accumulators)
                if len(domains.names) == 1:
                    figures = {key: value for key, value in whole.items() if key not in ("layer", "site")}
                elif index < kept:
                    figures = self.layer_row(site, index)
                else:
                    figures = {"reason": _not_kept(kept)}
                rows.append({"domain": name, "layer": site.layer, "site": site.name, "documents": documents, **figures})
        return rows

    def sites(self) -> list[Site]:
        """Return the sites whose states came, in the order of the model."""
        return sorted(self._widths, key=lambda site: (site.layer, site.name == "head_input"))

    def unit(self, site: Site) -> float:
        """Return the distance from 1 to the next number of the type that the states of a site have."""
        return self._units[site]

    @abstractmethod
    def layer_row(self, site: Site, domain: int | None = None) -> Row:
        """Return the columns of table `layers` for one site.

        Args:
            site: where the states were taken.
            domain: index of the domain whose states are meant; None for those of all.
        """


def _not_kept(kept: int) -> str:
    """Return why a domain has no figures where so many others have them."""
    if kept == 0:
        return "states of domains are not kept apart, as those of one take more than 256 MiB a site"
    return f"states are kept apart for the {kept} domains with the most tokens alone"
