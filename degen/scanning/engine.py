"""Which engine measures the checkpoints of a scan: this process, or the workers of Ray."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec

from degen.errors import DegenError

LOCAL, RAY = "local", "ray"
MAX_WORKERS = 1 << 16


@dataclass(frozen=True)
class Engine:
    """What measures checkpoints.

    Attributes:
        name: `local`, this process; or `ray`.
        address: of a cluster of Ray; None for one that lives as long as the scan, on this machine.
        workers: checkpoints that are measured at the same time; None for one a card, or as many as a cluster has room
            for.

    Raises:
        DegenError: there is no such engine, it is not installed, or it does not take these options.
    """

    name: str = LOCAL
    address: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.name not in (LOCAL, RAY):
            raise DegenError(f"--engine {self.name}: must be one of {LOCAL}, {RAY}")
        if self.name == LOCAL and (self.address is not None or self.workers is not None):
            option = "--workers" if self.address is None else "--ray-address"
            raise DegenError(f"{option}: belongs to --engine ray, which must be given, too")
        if self.workers is not None and not 1 <= self.workers <= MAX_WORKERS:
            raise DegenError(f"--workers {self.workers}: must be from 1 to {MAX_WORKERS}")
        if self.name == RAY and find_spec("ray") is None:
            raise DegenError("--engine ray needs an extra: pip install 'degen-lm[ray]'")

    def check_device(self, device: str) -> None:
        """Refuse one card by its number for workers, each of which takes a card of its own.

        Raises:
            DegenError: the device is such a card.
        """
        kind, colon, _ = device.partition(":")
        if self.name == RAY and colon and kind != "cpu":
            raise DegenError(
                f"--device {device}: names one card, and each worker of --engine ray takes a card of its own; give "
                f"--device {kind}, or leave --engine ray out"
            )

    def default_threads(self, cards: int = 0) -> int | None:
        """Return the CPU threads of a checkpoint where nobody says how many; None for torch's own choice.

        On this machine the workers share its cores.

        Args:
            cards: how many accelerators this machine has, each with a worker; 0 for a pass on the CPU.
        """
        if self.name == LOCAL or self.address is not None:
            return None
        return max((os.cpu_count() or 1) // (self.workers or cards or 1), 1)
