"""What was found, kept as it comes: a JSON file that is whole at every moment, and a part that fails alone."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]

SCHEMA = 1
OUT_OF_TIME = "not run: out of time"
CUT = "cut off in the middle"


def largest(differences: Iterable[float]) -> float:
    """Return the largest of them by size; NaN where one is NaN."""
    return float(np.max(np.abs(np.asarray(list(differences), dtype=np.float64))))


def one_line(error: BaseException) -> str:
    """Return an error's kind and message, cut to what a table can hold."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def checked(check: str, quantity: str, difference: float, tolerance: float, dtype: str = "float32") -> Row:
    """Return the row of a difference that must not be above a tolerance; NaN fails."""
    return {
        "check": check,
        "dtype": dtype,
        "what": quantity,
        "difference": difference,
        "tolerance": tolerance,
        "ok": difference <= tolerance,
    }


@dataclass(frozen=True)
class Part:
    """A piece of a step that can fail alone.

    Attributes:
        name: the step's name, a dot, and its own.
        run: gives its rows one after another; a row whose `ok` is false is a check that failed.
    """

    name: str
    run: Callable[[], Iterable[Row]]

    def is_of(self, chosen: Sequence[str]) -> bool:
        """Return whether a name chooses the part: its own or that of its step; none chooses every part."""
        return not chosen or any(self.name == c or self.name.startswith(f"{c}.") for c in chosen)


@dataclass
class Record:
    """All parts so far.

    Attributes:
        about: the device, versions, the date.
        file: rewritten after each row; None to keep nothing.
        seconds: after so many no further part begins.
        clean: called before each part.
    """

    about: Row
    file: Path | None
    seconds: float
    clean: Callable[[], None] = lambda: None
    parts: list[Row] = field(default_factory=list)
    begun: float = field(default_factory=time.perf_counter)

    @property
    def document(self) -> Row:
        """Return the document that the file holds."""
        return {"schema": SCHEMA, "about": self.about, "parts": self.parts}

    @property
    def has_failed(self) -> bool:
        """Return whether a check of `right` failed, or could not be made."""
        return any(p["part"].startswith("right") and p["status"] in ("failed", "error") for p in self.parts)

    def run(self, part: Part) -> Row:
        """Run a part to its end, whatever happens in it, and keep what it gave."""
        result: Row = {"part": part.name, "status": OUT_OF_TIME, "seconds": 0.0, "rows": []}
        self.parts.append(result)
        start = time.perf_counter()
        if start - self.begun > self.seconds:
            self.save()
            return result
        result["status"] = CUT
        self.save()
        try:
            self.clean()
            for row in part.run():
                result["rows"].append(row)
                result["seconds"] = time.perf_counter() - start
                self.save()
            result["status"] = "failed" if any(row.get("ok") is False for row in result["rows"]) else "ok"
        except Exception as error:  # whatever it was, the other parts are still worth running
            result["status"] = "error"
            result["error"] = one_line(error)
            result["traceback"] = traceback.format_exc(limit=-8)[-4000:]
        finally:
            result["seconds"] = time.perf_counter() - start
            self.save()
        return result

    def save(self) -> None:
        """Write the file anew, whole or not at all."""
        self.about["seconds"] = time.perf_counter() - self.begun
        if self.file is None:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_name(f".{self.file.name}.part")
        temporary.write_text(json.dumps(self.document, indent=1, allow_nan=True) + "\n", encoding="utf-8")
        os.replace(temporary, self.file)
