"""The settings of a scan: names, types, defaults, meaning and validation, for Python and the command line alike.

An option is a field of `Settings`, which holds its default and its meaning, and a key of `MeasureKeywords` or
`ScanKeywords`, by which type checkers know the keywords of `degen.scan` and of the callbacks: callers may pass looser
types than a field has, and no dataclass can be unpacked into keywords.
"""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, MISSING, asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, TypeVar, Unpack, get_type_hints

from degen.errors import DegenError, shorten_number
from degen.paths import resolve_spec

if TYPE_CHECKING:
    from degen.checkpoints.series import Grammar

T = TypeVar("T", bound=Callable[..., Any])

DTYPES = ("auto", "float32", "bfloat16", "float16")
MAX_INT = 2**63 - 1  # of a column of whole numbers
LARGEST = {"context": 2**31 - 1, "batch_size": 2**31 - 1, "threads": 1 << 16}  # of other settings than most
CONTEXT = 512  # tokens of the longest window if nobody says how many
ON_MACHINE = ("device_map",)  # settings that need not agree where a run is continued
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
        "s3://bucket/val.jsonl.zst and other URLs, hf://org/dataset[:split], a name of `degen corpora`, or demo.",
    ] = "demo"
    tokens: Annotated[int, "Tokens to stream through each checkpoint."] = 50_000
    target_se: Annotated[
        Mapping[str, float] | None,
        "Standard errors that are enough, as in anisotropy=0.005,loss=0.01: a pilot on the last checkpoint fixes how "
        "many windows all are measured on, of those that tokens allows.",
    ] = None
    context: Annotated[
        int | None,
        f"Longest window, in tokens; without it {CONTEXT}, or the learned positions of a model that has fewer.",
    ] = None
    seed: Annotated[int, "Seed of the draw of windows."] = 0
    skip_first: Annotated[
        int, "Positions at the start of each window that measures of hidden states leave out; losses are of all."
    ] = 0
    sample: Annotated[
        str | None,
        "sample.parquet of an earlier run: scan the very same windows; corpus, tokens, context and seed are then its "
        "own.",
    ] = None
    tokenizer: Annotated[str | None, "Tokenizer folder or ORG/MODEL[@REVISION], instead of the series' own."] = None
    model_config: Annotated[
        str | None,
        "ORG/MODEL of the hub or a folder: the configuration for weights that have none, as those of .ckpt and .pt.",
    ] = None
    device: Annotated[str, "Device of the pass, as torch names it; auto takes an accelerator."] = "auto"
    device_map: Annotated[
        str | None,
        "Spread a model larger than one device over all of them, memory and disk: auto, balanced, sequential, or a "
        ".json file that names a device for each module. Needs the extra accelerate.",
    ] = None
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
        r"(?P<step>\d+) or tokens, perhaps also unit (of tokens: K, M, B, T), stage, seed and run.",
    ] = None
    tokens_per_step: Annotated[int | None, "Training tokens of a step, where nothing else gives the tokens."] = None
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
        smallest = {"tokens": SHORTEST, "context": SHORTEST, "seed": 0, "skip_first": 0, "batch_size": 1, "threads": 1,
                    "tokens_per_step": 1}  # fmt: skip
        for name, least in smallest.items():
            value, most = getattr(self, name), LARGEST.get(name, MAX_INT)
            if value is not None and value < least:
                raise DegenError(f"--{name.replace('_', '-')} {shorten_number(value)}: must be at least {least}")
            if value is not None and value > most:
                raise DegenError(f"--{name.replace('_', '-')} {shorten_number(value)}: must be at most {most}")
        if self.sample is None and self.skip_first >= self.longest_window:
            raise DegenError(
                f"--skip-first {shorten_number(self.skip_first)}: leaves nothing of windows of {self.longest_window} "
                "tokens; take fewer, or a larger --context"
            )

        for metric, target in (self.target_se or {}).items():
            if not 0 < target < float("inf"):
                raise DegenError(f"--target-se {metric}={target:g}: must be above 0")

    @property
    def longest_window(self) -> int:
        """The longest window, in tokens."""
        return self.context if self.context is not None else CONTEXT

    @property
    def grammar(self) -> Grammar:
        """Return how names of revisions are read."""
        from degen.checkpoints.series import Grammar

        return Grammar(self.revision_pattern, self.tokens_per_step)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as run.json keeps them.

        Paths are absolute, for a relative one names another file in another working directory. What says where on a
        machine a scan computes, and changes no figure, is left out.
        """
        return {name: value for name, value in asdict(self).items() if name not in ON_MACHINE} | {
            "series": [resolve_spec(s) for s in self.series],
            "context": self.longest_window,
            "corpus": resolve_spec(self.corpus),
            "sample": resolve_spec(self.sample) if self.sample else None,
            "tokenizer": resolve_spec(self.tokenizer) if self.tokenizer else None,
            "model_config": resolve_spec(self.model_config) if self.model_config else None,
            "probes": sorted(set(self.probes)) if self.probes is not None else None,
            "target_se": dict(self.target_se) if self.target_se else None,
            "options": json.loads(json.dumps(self.options)),  # lists, as they come back from the file
        }


class MeasureKeywords(TypedDict, total=False):
    """The settings of a scan that also apply to a model in memory, with the types that Python callers may pass."""

    corpus: str | Path | None
    tokens: int
    context: int | None
    seed: int
    skip_first: int
    sample: str | Path | None
    probes: str | Sequence[str] | None
    options: Mapping[str, Mapping[str, Any]] | None
    batch_size: int | None


class ScanKeywords(MeasureKeywords, total=False):
    """All settings of a scan but its series, as keywords with every type that callers may pass."""

    target_se: Mapping[str, float] | None
    tokenizer: str | Path | None
    model_config: str | Path | None
    steps: str
    revision_pattern: str | None
    tokens_per_step: int | None
    device: str
    device_map: str | Path | None
    dtype: str
    threads: int | None
    trust_remote_code: bool


def make_settings(
    series: str | Path | Sequence[str | Path] | None = None, **keywords: Unpack[ScanKeywords]
) -> Settings:
    """Return settings from keywords; None stands for the default.

    Args:
        series: one or several of what `degen scan` takes; None: the bundled demo.
        keywords: fields of `Settings`, by name. Paths may be `Path`, and probes a string as `--probes` takes it: `a,b`.

    Raises:
        DegenError: a value that is out of range, or not one of those allowed.
        TypeError: an unknown keyword.
    """
    named = (series,) if isinstance(series, str | Path) else tuple(series or ())
    values: dict[str, Any] = {name: value for name, value in keywords.items() if value is not None}
    for name in values.keys() & {"corpus", "sample", "tokenizer", "model_config", "device_map"}:
        values[name] = str(values[name])
    if "probes" in values:
        probes = values["probes"]
        values["probes"] = tuple(name.strip() for name in (probes.split(",") if isinstance(probes, str) else probes))
    if "options" in values:
        values["options"] = {probe: dict(options) for probe, options in values["options"].items()}
    return Settings(tuple(map(str, named)), **values)


@cache
def meanings() -> dict[str, str]:
    """Return the meaning of each setting, by name."""
    hints = get_type_hints(Settings, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


def list_settings(keywords: type[MeasureKeywords], **other_defaults: object) -> Callable[[T], T]:
    """Return a decorator that lists settings in the signature and the docstring of a function or a class.

    The function takes them as `**settings: Unpack[keywords]`, which type checkers read; `inspect.signature` and `help`
    then show each by name with its default. The entry `settings:` of its docstring becomes an entry for each.

    Args:
        keywords: the names and the types that are accepted.
        other_defaults: those that differ from the defaults of `Settings`.
    """
    types = get_type_hints(keywords)
    defaults = {f.name: None if f.default is MISSING else f.default for f in fields(Settings) if f.name in types}
    listed = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=types[name])
        for name, default in (defaults | other_defaults).items()
    ]

    def entries(match: re.Match[str]) -> str:
        indent = match[1]
        texts = [f"{name}: {meanings()[name]}" for name in defaults]
        return "\n".join(
            textwrap.fill(text, 120, initial_indent=indent, subsequent_indent=indent + " " * 4) for text in texts
        )

    def decorate(target: T) -> T:
        function: Any = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
        signature = inspect.signature(function, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        function.__signature__ = signature.replace(parameters=[*own, *listed])
        if target.__doc__ is not None:  # as there is none under python -OO
            target.__doc__ = re.sub(r"( +)settings: .*", entries, target.__doc__, count=1)
        return target

    return decorate
