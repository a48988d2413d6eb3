"""What a reader is: it recognises a file or folder by its content, and reads it as one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .open_table import OpenTable


@dataclass(frozen=True)
class Reader:
    """A reader of what another program wrote.

    Attributes:
        kind: what it reads, in the plural and as a user would say it, as `TensorBoard event files`.
        recognises: returns whether it can read an existing path; may raise OSError.
        read: reads a path that it recognises, and calls its second argument with each line of warning. Raises
            DegenError where the content cannot be used.
    """

    kind: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Callable[[str], None]], OpenTable]
