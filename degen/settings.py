"""What a scan was asked for: the settings that figures depend on, and those that only say how."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import DegenError
from .windows import SHORTEST

DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Settings:
    """All that `degen scan` can be told, but for where the run goes.

    Attributes:
        series: what the user named, in order.
        steps: thinning, see `degen.steps.thin`.
        corpus: what `--corpus` names; `demo` for the bundled text.
        tokens: sum of the windows' lengths.
        context: the longest window, in tokens.
        seed: of the draw of documents and of their starting characters.
        sample: `sample.parquet` of an earlier run, whose windows are taken instead of a draw.
        tokenizer: a folder or name that overrides the series' own.
        device: `auto`, or as torch names it.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        batch_size: full windows in a batch; None for automatic.
        threads: CPU threads of torch; None for its own choice.
        probes: names; None for the default ones.
    """

    series: tuple[str, ...]
    steps: str = "all"
    corpus: str = "demo"
    tokens: int = 50_000
    context: int = 512
    seed: int = 0
    sample: str | None = None
    tokenizer: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None
    threads: int | None = None
    probes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise DegenError(f"--dtype {self.dtype}: not one of {', '.join(DTYPES)}")
        smallest = {"tokens": SHORTEST, "context": SHORTEST, "seed": 0, "batch_size": 1, "threads": 1}
        for name, least in smallest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise DegenError(f"--{name.replace('_', '-')} {value}: must be at least {least}")

    def asked(self) -> dict[str, Any]:
        """The settings as run.json keeps them; paths absolute, for the same words may mean another series elsewhere."""
        asked = asdict(self) | {
            "series": [absolute(s) for s in self.series],
            "corpus": absolute(self.corpus),
            "sample": absolute(self.sample) if self.sample else None,
            "tokenizer": absolute(self.tokenizer) if self.tokenizer else None,
            "probes": sorted(set(self.probes)) if self.probes is not None else None,
        }
        return asked


def absolute(name: str) -> str:
    """An existing path made absolute, behind its label if it has one; any other name as it is."""
    path = Path(name).expanduser()
    if path.exists():
        return str(path.resolve())
    label, equals, rest = name.partition("=")
    return f"{label}={absolute(rest)}" if equals and rest else name


def fingerprint(of: Any) -> str:
    """SHA-256 of anything JSON can say, keys sorted."""
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
