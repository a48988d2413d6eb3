"""Texts of a run without what only concerns the machine it was made on: folders, passwords in URLs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.tables import KEYS

if TYPE_CHECKING:
    import pyarrow as pa

CUT = "…/"  # what stands for the folders in front of a name
# A path from the root, of two names or more; not what follows a letter, a scheme or another slash.
_ABSOLUTE = re.compile(r"(?<![\w.:/~\-…])/(?:[^\s/:;,'\"()<>|+=]+/)+(?=[^\s/])")
_WINDOWS = re.compile(r"\b[A-Za-z]:[\\/](?:[^\s\\/:;,'\"()<>|]+[\\/])+")
_FILE_URL = re.compile(r"\bfile://(?=/)")
_USER = re.compile(r"(?<=://)[^/\s@]+@")
_QUERY = re.compile(r"(?<![\w])(\w+://[^\s?]+)\?[^\s,;)'\"]+")


class PathCutter:
    """Cuts the folders off paths of this machine in texts; the last name of each path stays.

    Args:
        folders: folders known to be in the texts, which may have spaces in their names; for others, a path ends at the
            first space.
    """

    def __init__(self, folders: Iterable[str] = ()) -> None:
        known = sorted({folder.rstrip("/") for folder in folders if len(Path(folder).parts) > 1}, key=len, reverse=True)
        self._known = re.compile("|".join(f"{re.escape(folder)}/" for folder in known)) if known else None

    def cut(self, text: str) -> str:
        """Return a text with `…/` in place of the folders of every absolute path.

        Of a URL it cuts the name and password of a user, and what follows a `?`, as signatures do.
        """
        text = _FILE_URL.sub("", _QUERY.sub(r"\1", _USER.sub("", text)))
        if self._known is not None:
            text = self._known.sub(CUT, text)
        return _WINDOWS.sub(CUT, _ABSOLUTE.sub(CUT, text)).replace(CUT * 2, CUT)

    def cut_all(self, value: Any) -> Any:
        """Return a JSON document with every text in it, and every key, cut as `cut` does."""
        if isinstance(value, str):
            return self.cut(value)
        if isinstance(value, Mapping):
            return {self.cut(str(key)): self.cut_all(item) for key, item in value.items()}
        return [self.cut_all(item) for item in value] if isinstance(value, list) else value

    def cut_table(self, table: pa.Table) -> pa.Table:
        """Return a table with every text outside of its key columns cut; the same one where there is nothing to cut."""
        import pyarrow as pa

        keys = {column.name for column in KEYS}
        for i, field in enumerate(table.schema):
            if field.name in keys or not (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)):
                continue
            texts = table.column(i).to_pylist()
            cut = [self.cut(text) if text is not None else None for text in texts]
            if cut != texts:
                table = table.set_column(i, field, pa.array(cut, field.type))
        return table


def folders_in(info: Mapping[str, Any]) -> set[str]:
    """Return the folders of the absolute paths among the values of run.json, without the last name of each."""
    found: set[str] = set()
    pending: list[Any] = [info]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, str):
            for path in re.split(r"[=+](?=/)", value):
                found |= {str(Path(path).parent)} if path.startswith("/") and "\n" not in path else set()
    return found
