"""The plan of a scan: which series and which probes, before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from degen.checkpoints.find_series import find_series
from degen.checkpoints.series import Checkpoint, Series
from degen.errors import DegenError
from degen.probe import Probe
from degen.probe_registry import load_probes
from degen.tables import CHECKPOINTS, Tables

from .settings import Settings


@dataclass
class Plan:
    """The series of a scan and the probes that will measure them.

    Attributes:
        series: in the order they are scanned.
        probes: by name.
        tables: what the probes fill.
        shard: the checkpoints that this process measures, of several that measure one run; None for all.
    """

    series: list[Series]
    probes: dict[str, type[Probe]]
    tables: Tables
    shard: frozenset[Checkpoint] | None = None
    _tables: dict[tuple[str, ...], Tables] = field(default_factory=dict, init=False, repr=False)

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """All checkpoints in the order they are scanned."""
        return [c for s in self.series for c in s.checkpoints]

    def measures(self, checkpoint: Checkpoint) -> bool:
        """Return whether this process measures a checkpoint."""
        return self.shard is None or checkpoint in self.shard

    @property
    def own_checkpoints(self) -> list[Checkpoint]:
        """Those that this process measures, in the order they are scanned."""
        return [c for c in self.checkpoints if self.measures(c)]

    def tables_with(self, probes: Sequence[str]) -> Tables:
        """Return the tables that some of the probes fill."""
        names = tuple(probes)
        if names == tuple(self.probes):
            return self.tables
        if names not in self._tables:
            self._tables[names] = tables_of({name: self.probes[name] for name in names})
        return self._tables[names]

    @property
    def revisions(self) -> dict[str, list[str]]:
        """The revisions of all checkpoints by the label of their series, as run.json keeps them."""
        return {s.model: [c.revision for c in s.checkpoints] for s in self.series}


def make_plan(settings: Settings, note: Callable[[str], None] = lambda _: None) -> Plan:
    """Return the series and the probes; `note` is called with remarks for the user.

    Raises:
        DegenError: either cannot be found, or a probe refuses its options.
    """
    if settings.series:
        series = find_series(
            settings.series, settings.steps, note, settings.grammar, settings.trust_remote_code, settings.model_config
        )
    else:
        from degen.demo import series_paths

        series = find_series([str(p) for p in series_paths()], settings.steps, note, settings.grammar)
    return Plan(series, *plan_probes(settings))


def plan_probes(settings: Settings) -> tuple[dict[str, type[Probe]], Tables]:
    """Return the chosen probes by name, and the tables they fill.

    Raises:
        DegenError: a probe cannot be found, or refuses its options.
    """
    probes = load_probes(settings.probes)
    for name, options in settings.options.items():
        if name not in probes:
            raise DegenError(
                f"options are set for the probe {name!r}, which is not asked for; name it among the probes"
            )
        probes[name].check(options)
    return probes, tables_of(probes)


def tables_of(probes: Mapping[str, type[Probe]]) -> Tables:
    """Return the tables that probes fill; the columns of the default probes in them are there in any case."""
    columns = {name: probe.columns for name, probe in (load_probes(None) | dict(probes)).items()}
    filled = {CHECKPOINTS, *(table for probe in probes.values() for table in probe.columns)}
    return Tables({name: {t: c for t, c in tables.items() if t in filled} for name, tables in columns.items()})
