"""What a scan was asked for: the settings that figures depend on, and those that only say how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from degen.checkpoints.series import Grammar
from degen.checkpoints.steps import compiled
from degen.errors import DegenError
from degen.text.windows import SHORTEST

DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Settings:
    """All that `degen scan` can be told, but for where the run goes.

    Attributes:
        series: what the user named, in order.
        steps: thinning, see `degen.checkpoints.steps.thin`.
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
        options: what was set for single probes, by probe and option.
        revision_pattern: a regular expression that reads names of revisions, see `degen.checkpoints.steps.read_mark`.
        tokens_per_step: training tokens of a step, where names and suites say nothing of tokens.
        trust_remote_code: whether Python code that a checkpoint brings may run.
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
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    revision_pattern: str | None = None
    tokens_per_step: int | None = None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if self.revision_pattern is not None:
            compiled(self.revision_pattern)
        if self.dtype not in DTYPES:
            raise DegenError(f"--dtype {self.dtype}: not one of {', '.join(DTYPES)}")
        least_one = dict.fromkeys(("batch_size", "threads", "tokens_per_step"), 1)
        for name, least in ({"tokens": SHORTEST, "context": SHORTEST, "seed": 0} | least_one).items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise DegenError(f"--{name.replace('_', '-')} {value}: must be at least {least}")

    @property
    def grammar(self) -> Grammar:
        """How names of revisions are read."""
        return Grammar(self.revision_pattern, self.tokens_per_step)

    def asked(self) -> dict[str, Any]:
        """The settings as run.json keeps them; paths absolute, for the same words may mean another series elsewhere."""
        asked = asdict(self) | {
            "series": [absolute(s) for s in self.series],
            "corpus": absolute(self.corpus),
            "sample": absolute(self.sample) if self.sample else None,
            "tokenizer": absolute(self.tokenizer) if self.tokenizer else None,
            "probes": sorted(set(self.probes)) if self.probes is not None else None,
            "options": json.loads(json.dumps(self.options)),  # lists, as they come back from the file
        }
        return asked


def absolute(name: str) -> str:
    """An existing path made absolute, behind a label or among adapter and base as well; any other name as it is."""
    path = Path(name).expanduser()
    if path.exists():
        return str(path.resolve())
    for joint in "=+":
        front, found, rest = name.partition(joint)
        if found and front and rest:
            return f"{front if joint == '=' else absolute(front)}{joint}{absolute(rest)}"
    return name
