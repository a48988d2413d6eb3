"""The settings of a scan: names, types, defaults, meaning and validation, for Python and the command line alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, Unpack, get_type_hints

from degen.errors import DegenError

if TYPE_CHECKING:
    from degen.checkpoints.series import Grammar

DTYPES = ("auto", "float32", "bfloat16", "float16")
RUN_FOLDER = "degen-run"  # where a run goes if nobody names a folder


@dataclass(frozen=True)
class Settings:
    """The settings of a scan, except for where the run goes.

    Each field is annotated with its meaning, which is also the help of the command line. Callers pass looser types
    through `make_settings`.

    Raises:
        DegenError: a value that is out of range, or not one of those allowed.
    """

    series: Annotated[tuple[str, ...], "What to measure, in order; none: the bundled demo."]
    _: KW_ONLY
    steps: Annotated[
        str,
        "Thin each series: all, log:20, or a list as in 0,1000:143000:4000 (end included); "
        "a step that is not there becomes its nearest.",
    ] = "all"
    corpus: Annotated[
        str,
        "Text to stream: .jsonl, .jsonl.zst, .jsonl.gz, .parquet, .txt, a folder of those, "
        "hf://org/dataset[:split], or demo.",
    ] = "demo"
    tokens: Annotated[int, "Tokens to stream through each checkpoint."] = 50_000
    context: Annotated[int, "Longest window, in tokens."] = 512
    seed: Annotated[int, "Seed of the draw of windows."] = 0
    sample: Annotated[
        str | None,
        "sample.parquet of an earlier run: scan the very same windows; corpus, tokens, context and seed are then its "
        "own.",
    ] = None
    tokenizer: Annotated[str | None, "Tokenizer folder or name, instead of the series' own."] = None
    device: Annotated[str, "Device of the pass, as torch names it; auto takes an accelerator."] = "auto"
    dtype: Annotated[
        str, "auto, float32, bfloat16 or float16; auto is float32 on a CPU, the checkpoint's own elsewhere."
    ] = "auto"
    batch_size: Annotated[int | None, "Full windows in a batch; None: as many as fit."] = None
    threads: Annotated[int | None, "CPU threads."] = None
    probes: Annotated[tuple[str, ...] | None, "Names of probes; None: the default ones."] = None
    options: Annotated[
        Mapping[str, Mapping[str, Any]], 'Options of single probes, as in {"rank": {"ranks": (64, 256)}}.'
    ] = field(default_factory=dict)
    revision_pattern: Annotated[
        str | None,
        r"How names of revisions are read, where it is not as step1000: a regular expression with a group "
        r"(?P<step>\d+), perhaps also stage, tokens and unit (K, M, B, T).",
    ] = None
    tokens_per_step: Annotated[
        int | None, "Training tokens of a step, for tokens_seen where names say nothing of tokens."
    ] = None
    trust_remote_code: Annotated[
        bool,
        "DANGER: run Python code that a checkpoint brings, with all you may do on this machine. "
        "Only for repositories whose code you have read.",
    ] = False

    def __post_init__(self) -> None:
        from degen.checkpoints.steps import compile_pattern
        from degen.text.windows import SHORTEST

        if self.revision_pattern is not None:
            compile_pattern(self.revision_pattern)
        if self.dtype not in DTYPES:
            raise DegenError(f"--dtype {self.dtype}: not one of {', '.join(DTYPES)}")
        least_one = dict.fromkeys(("batch_size", "threads", "tokens_per_step"), 1)
        for name, least in ({"tokens": SHORTEST, "context": SHORTEST, "seed": 0} | least_one).items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise DegenError(f"--{name.replace('_', '-')} {value}: must be at least {least}")

    @property
    def grammar(self) -> Grammar:
        """Return how names of revisions are read."""
        from degen.checkpoints.series import Grammar

        return Grammar(self.revision_pattern, self.tokens_per_step)

    def asked(self) -> dict[str, Any]:
        """Return the settings as run.json keeps them.

        Paths are absolute, for the same words may mean another series in another working directory.
        """
        asked = asdict(self) | {
            "series": [absolute(s) for s in self.series],
            "corpus": absolute(self.corpus),
            "sample": absolute(self.sample) if self.sample else None,
            "tokenizer": absolute(self.tokenizer) if self.tokenizer else None,
            "probes": sorted(set(self.probes)) if self.probes is not None else None,
            "options": json.loads(json.dumps(self.options)),  # lists, as they come back from the file
        }
        return asked


class MeasureKeywords(TypedDict, total=False):
    """The settings that also apply to a model in memory, as keywords with every type that callers may pass."""

    corpus: str | Path | None
    tokens: int
    context: int
    seed: int
    sample: str | Path | None
    probes: str | Sequence[str] | None
    options: Mapping[str, Mapping[str, Any]] | None
    batch_size: int | None


class ScanKeywords(MeasureKeywords, total=False):
    """All settings of a scan but its series, as keywords with every type that callers may pass."""

    tokenizer: str | Path | None
    steps: str
    revision_pattern: str | None
    tokens_per_step: int | None
    device: str
    dtype: str
    threads: int | None
    trust_remote_code: bool


def make_settings(
    series: str | Path | Sequence[str | Path] | None = None, **keywords: Unpack[ScanKeywords]
) -> Settings:
    """Return the settings that keywords amount to; None stands for the default.

    Args:
        series: one or several of what `degen scan` takes; None: the bundled demo.
        keywords: fields of `Settings`, by name. Paths may be `Path`, and a single probe a string.

    Raises:
        DegenError: a value that is out of range, or not one of those allowed.
        TypeError: an unknown keyword.
    """
    named = (series,) if isinstance(series, str | Path) else tuple(series or ())
    values: dict[str, Any] = {name: value for name, value in keywords.items() if value is not None}
    for name in values.keys() & {"corpus", "sample", "tokenizer"}:
        values[name] = str(values[name])
    if "probes" in values:
        probes = values["probes"]
        values["probes"] = (probes,) if isinstance(probes, str) else tuple(probes)
    if "options" in values:
        values["options"] = {probe: dict(chosen) for probe, chosen in values["options"].items()}
    return Settings(tuple(map(str, named)), **values)


@cache
def meanings() -> dict[str, str]:
    """Return the meaning of each setting, by name."""
    hints = get_type_hints(Settings, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


def absolute(name: str) -> str:
    """Return an existing path as absolute, also behind a label or among adapter and base; any other name as it is."""
    path = Path(name).expanduser()
    if path.exists():
        return str(path.resolve())
    for joint in "=+":
        front, found, rest = name.partition(joint)
        if found and front and rest:
            return f"{front if joint == '=' else absolute(front)}{joint}{absolute(rest)}"
    return name
