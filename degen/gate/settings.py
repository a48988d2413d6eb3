"""Rules and options of a gate in a file: `degen.toml`, or `[tool.degen]` of `pyproject.toml`.

[gate]                                  # in pyproject.toml: [tool.degen.gate]
rules = ["anisotropy[layer=last] < 0.6", "loss.rise < max(0.02, 1%)"]
max_singular_entropy = 3.5
baseline = "runs/main"                  # a path, relative to this file, or hf://datasets/org/name
confidence = 0.95
strict = true
family_wise = false                     # the confidence holds for each value of a rule, not for all together
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from degen.errors import DegenError
from degen.hints import did_you_mean
from degen.paths import expand_user
from degen.stores.urls import url_of

from .parser import parse_rule
from .rule import Bound, Rule

OWN, PROJECT = "degen.toml", "pyproject.toml"
# Common rules that have an option of their own for the bound: metric and relation.
SHORTCUTS: dict[str, tuple[str, str | None]] = {
    "max_anisotropy": ("anisotropy", None),
    "max_singular_entropy": ("singular_entropy", None),
    "max_loss_rise": ("loss", "rise"),
}
_KEYS = ("rules", "baseline", "confidence", "strict", "family_wise", *SHORTCUTS)


@dataclass(frozen=True)
class GateSettings:
    """The rules and options of a gate.

    Attributes:
        rules: the rules, without those of the shortcuts.
        shortcuts: name of the shortcut, such as `max_anisotropy` -> its bound.
        baseline: a run or table; None for none.
        confidence: of intervals; None to compare values.
        strict: whether a bound inside the interval makes a rule undecidable; None where it is not set.
        family_wise: whether the confidence holds for all values of a rule together; None where it is not set.
        file: the file of these settings; None for the command line.
    """

    rules: tuple[Rule, ...] = ()
    shortcuts: Mapping[str, float] = field(default_factory=dict)
    baseline: Path | None = None
    confidence: float | None = None
    strict: bool | None = None
    family_wise: bool | None = None
    file: Path | None = None

    def all_rules(self) -> list[Rule]:
        """Return the rules of the shortcuts, then the others, each once."""
        return list(dict.fromkeys([*(_shortcut(name, bound) for name, bound in self.shortcuts.items()), *self.rules]))

    def under(self, above: GateSettings) -> GateSettings:
        """Return these settings, of a file, combined with those of the command line.

        The rules of both are joined; where both set an option, that of the command line counts.

        Args:
            above: the settings of the command line.

        Raises:
            DegenError: the baseline that the file names does not exist, or `strict` or `family_wise` is set without a
                confidence.
        """
        if above.baseline is None and self.baseline is not None and not _may_exist(self.baseline):
            raise DegenError(
                f"{self.file}: the baseline {self.baseline} does not exist; correct the path, or give a --baseline"
            )
        if above.confidence is None and self.confidence is None:
            for name in ("strict", "family_wise"):
                if getattr(above, name) is None and getattr(self, name):
                    raise DegenError(f"{self.file}: {name} = true needs a confidence; add confidence = 0.95")
        return GateSettings(
            rules=(*self.rules, *above.rules),
            shortcuts={**self.shortcuts, **above.shortcuts},
            baseline=above.baseline or self.baseline,
            confidence=above.confidence if above.confidence is not None else self.confidence,
            strict=above.strict if above.strict is not None else self.strict,
            family_wise=above.family_wise if above.family_wise is not None else self.family_wise,
            file=self.file,
        )


def find_settings(folder: Path) -> GateSettings | None:
    """Return the settings of the file nearest to `folder`: in it, or in its parents up to the root of the repository.

    In each folder `degen.toml` is read before `pyproject.toml`; files without settings of degen are skipped. Outside of
    a repository only the folder itself is searched.

    Returns:
        The settings of the first such file; None where there is none.

    Raises:
        DegenError: the file cannot be read, is not TOML, or has an unknown key or a wrong value.
    """
    for parent in _up_to_repository(folder.resolve()):
        for name in (OWN, PROJECT):
            file = parent / name
            if file.is_file() and (table := _read_toml(file)) is not None:
                return _settings(table, file)
    return None


def read_settings(file: Path) -> GateSettings:
    """Return the settings of a given file: `pyproject.toml`, or any other in the form of `degen.toml`.

    Raises:
        DegenError: the file cannot be read, is not TOML or has no settings of degen, or has an unknown key or a wrong
            value.
    """
    table = _read_toml(expand_user(file))
    if table is None:
        head = "[tool.degen.gate]" if file.name == PROJECT else "[gate]"
        raise DegenError(f"{file}: this file has no settings of degen; add {head} with rules = [...]")
    return _settings(table, expand_user(file))


def _up_to_repository(folder: Path) -> Sequence[Path]:
    """Return a folder and its parents, up to the root of the repository; the folder alone outside of one."""
    folders = (folder, *folder.parents)
    root = next((i for i, f in enumerate(folders) if (f / ".git").exists()), 0)
    return folders[: root + 1]


def _read_toml(file: Path) -> dict[str, Any] | None:
    """Return the settings of degen in a file, unchecked, as a dict; None where it has none.

    Raises:
        DegenError: the file cannot be read, or is not TOML.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DegenError(
            f"{file}: the settings cannot be read ({error.strerror or error}); check the path and its permissions"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DegenError(f"{file}: the file is not valid TOML ({error}); correct it there") from error
    if file.name != PROJECT:
        return content or None
    tool = content.get("tool")
    table = tool.get("degen") if isinstance(tool, dict) else None
    settings: dict[str, Any] | None = _checked(table, dict, file, "[tool.degen]", "a table")
    return settings


def _settings(table: Mapping[str, Any], file: Path) -> GateSettings:
    head = "tool.degen." if file.name == PROJECT else ""
    _check_keys(table, ("gate", "rules"), file, f"[{head.rstrip('.')}]" if head else "the file")
    where = f"[{head}gate]"
    gate: dict[str, Any] = _checked(table.get("gate", {}), dict, file, where, "a table")
    _check_keys(gate, _KEYS, file, where)
    rules = [*_rules(table.get("rules", []), file), *_rules(gate.get("rules", []), file)]
    baseline: str | None = _checked(gate.get("baseline"), str, file, "baseline", 'a path, as in "runs/main"')
    confidence = _number(gate["confidence"], file, "confidence", "0.95") if "confidence" in gate else None
    if confidence is not None and not 0.5 <= confidence < 1:
        raise DegenError(f"{file}: confidence = {confidence:g}: must be at least 0.5 and below 1, as 0.95")
    return GateSettings(
        rules=tuple(rules),
        shortcuts={name: _number(gate[name], file, name, "0.6") for name in SHORTCUTS if name in gate},
        baseline=_baseline(baseline, file),
        confidence=confidence,
        strict=_checked(gate.get("strict"), bool, file, "strict", "true or false"),
        family_wise=_checked(gate.get("family_wise"), bool, file, "family_wise", "true or false"),
        file=file,
    )


def _baseline(text: str | None, file: Path) -> Path | None:
    """Return the baseline that a file names: a path beside the file, or a URL as it is."""
    if text is None:
        return None
    return Path(text) if url_of(text) is not None else file.resolve().parent / expand_user(text)


def _may_exist(baseline: Path) -> bool:
    return url_of(baseline) is not None or baseline.exists()


def _check_keys(table: Mapping[str, Any], known: Sequence[str], file: Path, where: str) -> None:
    for key in table:
        if key not in known:
            raise DegenError(f"{file}: {where} has an unknown key {key!r}; {did_you_mean(key, known)}")


def _rules(value: object, file: Path) -> list[Rule]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DegenError(f'{file}: rules must be a list of texts, as in rules = ["loss.rise < 0.02"]')
    try:
        return [parse_rule(text) for text in value]
    except DegenError as error:
        raise DegenError(f"{file}: {error}") from None


def _number(value: object, file: Path, name: str, example: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise DegenError(f"{file}: {name} = {value!r}: must be a finite number, as in {name} = {example}")
    return float(value)


def _checked(value: Any, kind: type, file: Path, name: str, expected: str) -> Any:
    """Return `value` as it is, after checking that it is None or of the type `kind`.

    Args:
        value: the value of a key in the file.
        kind: the type that it must have.
        file: the file, for the error.
        name: the key, for the error.
        expected: what the value must be, in words, for the error.

    Raises:
        DegenError: the value is of another type.
    """
    if value is not None and not isinstance(value, kind):
        raise DegenError(f"{file}: {name} = {value!r}: must be {expected}")
    return value


def _shortcut(name: str, bound: float) -> Rule:
    if not math.isfinite(bound):
        raise DegenError(f"--{name.replace('_', '-')} {bound}: must be a finite number, as 0.6")
    metric, relation = SHORTCUTS[name]
    return Rule(metric, "<", Bound(bound), "rise" if relation else None)
