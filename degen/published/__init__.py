"""Published figures that ours are compared with; `README.md` beside them names the source of each.

Imports the ground files alone.
"""

from __future__ import annotations

from pathlib import Path

from degen.errors import DegenError
from degen.hints import did_you_mean

_FOLDER = Path(__file__).resolve().parent


def published_table(name: str) -> Path:
    """Return the path of the CSV file of a published table.

    Args:
        name: the name of the table, as `pythia_pile_loss`.

    Raises:
        DegenError: there is no table of that name.
    """
    file = _FOLDER / f"{name}.csv"
    if not file.is_file():
        names = sorted(table.stem for table in _FOLDER.glob("*.csv"))
        raise DegenError(f"there is no published table {name!r}; {did_you_mean(name, names)}")
    return file
