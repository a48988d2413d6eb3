"""Three tiny Pythia-shaped training runs and a held-out corpus, small enough to ship with the package.

Imports the ground files alone.
"""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent
_SERIES = ("healthy", "broken", "overfit")


def series_paths() -> list[Path]:
    """Return the folders of the bundled series, in the order healthy, broken, overfit."""
    return [_HERE / "series" / name for name in _SERIES]


def corpus_path() -> Path:
    """Return the file of the bundled held-out documents, gzipped JSON Lines in Pile style."""
    return _HERE / "corpus.jsonl.gz"
