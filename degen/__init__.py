"""degen: measure when a language model's representations degenerate over training.

>>> import degen
>>> run = degen.scan("runs/my-model", corpus="pile.jsonl.zst", tokens=50_000, out="degen-run")
>>> run.table("checkpoints").to_pandas()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import CheckpointError, DegenError
from .version import __version__

if TYPE_CHECKING:
    from degen.runs.run import Run, read_run
    from degen.scanning.scan import scan

__all__ = ["CheckpointError", "DegenError", "Run", "__version__", "read_run", "scan"]


def __dir__() -> list[str]:
    """List what is loaded on first use as well, for `dir(degen)` and completion."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Load `scan`, `read_run` and `Run` on first use: `import degen` alone stays instant."""
    if name == "scan":
        from degen.scanning.scan import scan

        return scan
    if name in ("Run", "read_run"):
        from degen.runs import run

        return getattr(run, name)
    raise AttributeError(f"module 'degen' has no attribute {name!r}")
