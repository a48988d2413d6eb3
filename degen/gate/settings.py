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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from degen.errors import DegenError
from degen.paths import expand_user
from degen.scanning.config_file import ConfigFile, check_keys, checked, find_config, read_config, rule_texts, table_name
from degen.stores.urls import url_of

from .parser import parse_rule
from .rule import Bound, Rule

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
    """Return the settings of the file nearest to `folder`, as `find_config` finds it; None where there is none.

    Raises:
        DegenError: the file cannot be read, is not TOML, or has an unknown key or a wrong value.
    """
    config = find_config(folder)
    return None if config is None else gate_settings(config)


def read_settings(file: Path) -> GateSettings:
    """Return the settings of a given file: `pyproject.toml`, or any other in the form of `degen.toml`.

    Raises:
        DegenError: the file cannot be read, is not TOML or has no settings of degen, or has an unknown key or a wrong
            value.
    """
    return gate_settings(read_config(file))


def gate_settings(config: ConfigFile) -> GateSettings:
    """Return the settings of a gate that a configuration file has.

    Raises:
        DegenError: an unknown key, or a wrong value.
    """
    file, gate = config.file, config.gate
    check_keys(gate, _KEYS, file, table_name(file, "gate"))
    rules = _rules([*config.rules, *rule_texts(gate.get("rules", []), file)], file)
    baseline: str | None = checked(gate.get("baseline"), str, file, "baseline", 'a path, as in "runs/main"')
    confidence = _number(gate["confidence"], file, "confidence", "0.95") if "confidence" in gate else None
    if confidence is not None and not 0.5 <= confidence < 1:
        raise DegenError(f"{file}: confidence = {confidence:g}: must be at least 0.5 and below 1, as 0.95")
    return GateSettings(
        rules=tuple(rules),
        shortcuts={name: _number(gate[name], file, name, "0.6") for name in SHORTCUTS if name in gate},
        baseline=_baseline(baseline, file),
        confidence=confidence,
        strict=checked(gate.get("strict"), bool, file, "strict", "true or false"),
        family_wise=checked(gate.get("family_wise"), bool, file, "family_wise", "true or false"),
        file=file,
    )


def _baseline(text: str | None, file: Path) -> Path | None:
    """Return the baseline that a file names: a path beside the file, or a URL as it is."""
    if text is None:
        return None
    return Path(text) if url_of(text) is not None else file.resolve().parent / expand_user(text)


def _may_exist(baseline: Path) -> bool:
    return url_of(baseline) is not None or baseline.exists()


def _rules(texts: Sequence[str], file: Path) -> list[Rule]:
    try:
        return [parse_rule(text) for text in texts]
    except DegenError as error:
        raise DegenError(f"{file}: {error}") from None


def _number(value: object, file: Path, name: str, example: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise DegenError(f"{file}: {name} = {value!r}: must be a finite number, as in {name} = {example}")
    return float(value)


def _shortcut(name: str, bound: float) -> Rule:
    if not math.isfinite(bound):
        raise DegenError(f"--{name.replace('_', '-')} {bound}: must be a finite number, as 0.6")
    metric, relation = SHORTCUTS[name]
    return Rule(metric, "<", Bound(bound), "rise" if relation else None)
