"""Devices by name with their rates: those of the table, and this machine's CPU, measured on the spot."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Protocol

from degen.errors import DegenError
from degen.hints import did_you_mean

from .work import Work

HERE = "here"
GB = 1e9


class Rates(Protocol):
    """The rates of a kind of device."""

    @property
    def memory(self) -> float:
        """The bytes of one device."""

    @property
    def start(self) -> float:
        """The seconds that a process takes before its first checkpoint."""

    def seconds(self, work: Work) -> dict[str, float]:
        """Return the seconds of a checkpoint on one device, by phase: reading, pass, head, rest."""

    def cpu_seconds(self, work: Work) -> dict[str, float] | None:
        """Return the seconds of CPU time of a checkpoint, by phase; None where the device is no CPU."""


@dataclass(frozen=True)
class TableRates:
    """The rates of a device of the table.

    Attributes:
        memory: bytes of one device.
        peak: FLOP/s of matrix products by bytes of a value: 2 for bfloat16, 4 for float32, 8 for float64.
        bandwidth: bytes/s of its memory.
        common: what is the same of all devices, by name.
    """

    memory: int
    peak: dict[int, float]
    bandwidth: float
    common: dict[str, float]

    @property
    def start(self) -> float:
        """The seconds that a process takes before its first checkpoint."""
        return self.common["start"]

    def seconds(self, work: Work) -> dict[str, float]:
        """Return the seconds of a checkpoint on one device, by phase.

        Formula: the pass takes FLOPs / (peak · s · d / (d + d₀)), and at least the time in which the weights are read
        from the device's memory once a batch; the head 4·V·d² FLOPs in float64 at its share of that peak.
        """
        share = self.common["share"] * work.width / (work.width + self.common["half_width"])
        computed = work.flops / (self.peak[work.value] * share)
        moved = work.batches * work.parameters * work.value / self.bandwidth
        head = 4.0 * work.vocab * work.head_width**2 / (self.peak[8] * self.common["head_share"])
        return {
            "reading": work.stored / (self.common["reading"] * GB),
            "pass": max(computed, moved),
            "head": head,
            "rest": self.common["checkpoint"],
        }

    def cpu_seconds(self, _work: Work) -> None:
        """Return None: the table has no CPU."""


@dataclass(frozen=True)
class PlannedDevices:
    """The devices that a scan is planned for.

    Attributes:
        name: as the user wrote it, without the number.
        count: how many.
        rates: of one of them.
    """

    name: str
    count: int
    rates: Rates


@lru_cache(maxsize=1)
def rate_table() -> dict[str, Any]:
    """Return the table of rates: `all`, and `devices` by name."""
    return tomllib.loads(files("degen.planning").joinpath("rates.toml").read_text(encoding="utf-8"))


def parse_devices(text: str) -> PlannedDevices:
    """Return the devices that `--for` names, as in h100:8 or here.

    Raises:
        DegenError: there is no such device in the table, or the number is no whole number from 1 on.
    """
    name, colon, number = text.strip().lower().partition(":")
    count = 1
    if colon:
        count = int(number) if number.isdecimal() and len(number) < 7 else 0
        if count < 1:
            raise DegenError(f"--for {text}: the number of devices must be a whole number from 1 on, as in h100:8")
    if name == HERE:
        from .calibration import calibrate

        if count > 1:
            raise DegenError(f"--for {text}: this machine is one; --for here")
        return PlannedDevices(name, 1, calibrate())
    table = rate_table()
    if name not in table["devices"]:
        known = [*table["devices"], HERE]
        raise DegenError(f"--for {text}: no such device in the table; {did_you_mean(name, known)}")
    row = table["devices"][name]
    peak = {2: row["bf16"] * 1e12, 4: row["fp32"] * 1e12, 8: row["fp64"] * 1e12}
    rates = TableRates(int(row["memory"] * GB), peak, row["bandwidth"] * GB, table["all"])
    return PlannedDevices(name, count, rates)
