"""What all rows share: threads, how many pairs, and whether sizes are small."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from .environments import FOLDER

HERE = Path(__file__).parent
RUNS = FOLDER / "runs"


@dataclass(frozen=True)
class Options:
    """How rows are measured.

    Attributes:
        threads: of every process.
        quick: whether sizes are so small that the figures say nothing, and all rows are through in minutes.
        pairs: at most so many.
    """

    threads: int
    quick: bool
    pairs: int

    def at_most(self, pairs: int) -> int:
        """Return the pairs of a row that takes long."""
        return 1 if self.quick else min(pairs, self.pairs)

    @property
    def shape(self) -> str:
        """Return the model of most rows."""
        return "tiny" if self.quick else "pythia-160m"


def script(name: str, *arguments: object, python: Path | str = sys.executable) -> list[str]:
    """Return the command that runs a script of this folder."""
    return [str(python), str(HERE / f"{name}_script.py"), *map(str, arguments)]


def scan_command(*arguments: object, python: Path | str = sys.executable) -> list[str]:
    """Return the command of a scan, by the degen that is installed beside an interpreter."""
    return [str(Path(python).with_name("degen")), "scan", *map(str, arguments)]
