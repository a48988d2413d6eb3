"""Rules and options of a gate that lie beside the code: `degen.toml`, or `[tool.degen]` of `pyproject.toml`.

[gate]                                  # in pyproject.toml: [tool.degen.gate]
rules = ["anisotropy[layer=last] < 0.6", "loss.rise < max(0.02, 1%)"]
max_singular_entropy = 3.5
baseline = "runs/main"                  # a path, from this file
confidence = 0.95
strict = true
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from degen.errors import DegenError
from degen.hints import closest

from .parser import parse_rule
from .rule import Bound, Rule

OWN, PROJECT = "degen.toml", "pyproject.toml"
# Rules that most gates have, with a name of their own for the bound.
SHORTCUTS: dict[str, tuple[str, str | None]] = {
    "max_anisotropy": ("anisotropy", None),
    "max_singular_entropy": ("singular_entropy", None),
    "max_loss_rise": ("loss", "rise"),
}
_KEYS = ("rules", "baseline", "confidence", "strict", *SHORTCUTS)


@dataclass(frozen=True)
class GateSettings:
    """What a gate is asked to judge by.

    Attributes:
        rules: as written, without those of the shortcuts.
        shortcuts: bounds by shortcut, such as `max_anisotropy`.
        baseline: a run or table; None where there is none.
        confidence: of intervals; None where nobody asks for one.
        strict: whether what intervals cannot tell is undecidable; None where nobody says.
        file: where this was read; None for the command line.
    """

    rules: tuple[Rule, ...] = ()
    shortcuts: Mapping[str, float] = field(default_factory=dict)
    baseline: Path | None = None
    confidence: float | None = None
    strict: bool | None = None
    file: Path | None = None

    def all_rules(self) -> list[Rule]:
        """Return the rules, each once, after those of the shortcuts."""
        return list(dict.fromkeys([*(_shortcut(name, bound) for name, bound in self.shortcuts.items()), *self.rules]))

    def under(self, above: GateSettings) -> GateSettings:
        """Return these settings below those of the command line, whose rules are added and whose options win.

        Raises:
            DegenError: what is left of these settings cannot be done.
        """
        if above.baseline is None and self.baseline is not None and not self.baseline.exists():
            raise DegenError(f"{self.file}: the baseline {self.baseline} is not there; mend it, or name a --baseline")
        if above.strict is None and self.strict and above.confidence is None and self.confidence is None:
            raise DegenError(f"{self.file}: strict = true asks what an interval can tell; add confidence = 0.95")
        return GateSettings(
            rules=(*self.rules, *above.rules),
            shortcuts={**self.shortcuts, **above.shortcuts},
            baseline=above.baseline if above.baseline is not None else self.baseline,
            confidence=above.confidence if above.confidence is not None else self.confidence,
            strict=above.strict if above.strict is not None else self.strict,
            file=self.file,
        )


def find_settings(folder: Path) -> GateSettings | None:
    """Return the settings nearest to a folder: in it, or in those around it up to the root of its repository.

    In each folder `degen.toml` goes before `pyproject.toml`; an empty one, or one without a word for degen, is passed
    over.
    Outside of a repository the folder itself is all that is looked in.

    Args:
        folder: where to begin.

    Returns:
        What the first such file says; None where there is none.

    Raises:
        DegenError: the file is damaged, or says what is not understood.
    """
    for around in _around(folder.resolve()):
        for name in (OWN, PROJECT):
            file = around / name
            if file.is_file() and (table := _read_toml(file)) is not None:
                return _settings(table, file)
    return None


def read_settings(file: Path) -> GateSettings:
    """Return the settings of a file that was named: `pyproject.toml`, or any other as if it were `degen.toml`.

    Raises:
        DegenError: the file is not there or damaged, or says what is not understood.
    """
    table = _read_toml(file.expanduser())
    if table is None:
        head = "[tool.degen.gate]" if file.name == PROJECT else "[gate]"
        raise DegenError(f"{file}: not a word for degen in it; write {head} with rules = [...]")
    return _settings(table, file.expanduser())


def _around(folder: Path) -> Sequence[Path]:
    """Return a folder and those around it, up to the root of its repository."""
    folders = (folder, *folder.parents)
    root = next((i for i, f in enumerate(folders) if (f / ".git").exists()), 0)
    return folders[: root + 1]


def _read_toml(file: Path) -> dict[str, Any] | None:
    """Return what a file says to degen; None for a project that says nothing."""
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DegenError(f"{file}: cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DegenError(f"{file}: not sound TOML ({error})") from error
    if file.name != PROJECT:
        return found or None
    tool = found.get("tool")
    table = tool.get("degen") if isinstance(tool, dict) else None
    if table is None:
        return None
    whole: dict[str, Any] = _checked(table, dict, file, "[tool.degen]", "a table")
    return whole


def _settings(table: Mapping[str, Any], file: Path) -> GateSettings:
    head = "tool.degen." if file.name == PROJECT else ""
    _check_keys(table, ("gate", "rules"), file, f"[{head.rstrip('.')}]" if head else "the file")
    where = f"[{head}gate]"
    gate: dict[str, Any] = _checked(table.get("gate", {}), dict, file, where, "a table")
    _check_keys(gate, _KEYS, file, where)
    rules = [*_rules(table.get("rules", []), file), *_rules(gate.get("rules", []), file)]
    baseline = gate.get("baseline")
    if baseline is not None:
        text: str = _checked(baseline, str, file, "baseline", 'a path, as in "runs/main"')
        baseline = file.resolve().parent / Path(text).expanduser()
    strict = gate.get("strict")
    confidence = _number(gate["confidence"], file, "confidence", "0.95") if "confidence" in gate else None
    if confidence is not None and not 0.5 <= confidence < 1:
        raise DegenError(f"{file}: confidence = {confidence:g}: a number from 0.5 to below 1, as in 0.95")
    return GateSettings(
        rules=tuple(rules),
        shortcuts={name: _number(gate[name], file, name, "0.6") for name in SHORTCUTS if name in gate},
        baseline=baseline,
        confidence=confidence,
        strict=_checked(strict, bool, file, "strict", "true or false") if strict is not None else None,
        file=file,
    )


def _check_keys(table: Mapping[str, Any], known: Sequence[str], file: Path, where: str) -> None:
    for key in table:
        if key not in known:
            close = closest(key, known)
            hint = f"did you mean {close}?" if close is not None else f"there are {', '.join(known)}"
            raise DegenError(f"{file}: {where} has an unknown key {key!r}; {hint}")


def _rules(value: object, file: Path) -> list[Rule]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DegenError(f'{file}: rules is no list of texts; write rules = ["loss.rise < 0.02"]')
    try:
        return [parse_rule(text) for text in value]
    except DegenError as error:
        raise DegenError(f"{file}: {error}") from None


def _number(value: object, file: Path, name: str, example: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise DegenError(f"{file}: {name} = {value!r} is no number, as in {name} = {example}")
    return float(value)


def _checked(value: Any, kind: type, file: Path, name: str, what: str) -> Any:
    if not isinstance(value, kind):
        raise DegenError(f"{file}: {name} is {value!r}, and not {what}")
    return value


def _shortcut(name: str, bound: float) -> Rule:
    if not math.isfinite(bound):
        raise DegenError(f"--{name.replace('_', '-')} {bound}: a finite number, as in 0.6")
    metric, relation = SHORTCUTS[name]
    return Rule(metric, "<", Bound(bound), "rise" if relation else None)
