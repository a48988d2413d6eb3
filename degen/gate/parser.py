"""The parser of rules; its errors name the character at which a rule goes wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal, NoReturn, TypeVar

from degen.errors import DegenError
from degen.hints import closest, did_you_mean

from .rule import COMPARISONS, NAME, PLAIN, RELATIONS, SELECTORS, Bound, Comparison, Relation, Rule, StepRange, visible

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(r"\w*")
_SIGNS = re.compile(r"[<>=!~]*")
_SPACE = re.compile(r"\s*")
_WHOLE = re.compile(r"[0-9]{1,15}")
_SHOWN = 100  # characters of a rule that an error repeats
_STEPS: tuple[Literal["latest", "all"], ...] = ("latest", "all")
_LAYERS: tuple[Literal["last", "all"], ...] = ("last", "all")
_Word = TypeVar("_Word", bound=str)


def parse_rule(text: str) -> Rule:
    """Return the rule that a text says.

    Args:
        text: in the grammar at the head of `rule.py`.

    Returns:
        The rule; `str(rule)` gives a text for the same rule.

    Raises:
        DegenError: the text does not follow the grammar. One line, which names the character where it goes wrong.
    """
    return RuleParser(text).rule()


class RuleParser:
    """A parser of one rule, which remembers how far it has read.

    Args:
        text: the rule.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def rule(self) -> Rule:
        """Return the rule that the whole text says.

        Raises:
            DegenError: the text does not follow the grammar.
        """
        metric = self._metric()
        relation = self._relation() if self._take(".") else None
        selectors = self._selectors() if self._take("[") else {}
        self._space()
        if selectors and self._text.startswith(".", self._at):
            self._wrong(self._at, "a relation stands before the selectors, as in loss.rise[step=all] < 0.02")
        comparison = self._comparison()
        bound = self._bound(relation)
        self._space()
        if self._at < len(self._text):
            self._wrong(self._at, f"nothing may follow the bound, and here follows {self._rest()}")
        return Rule(metric, comparison, bound, relation, **selectors)

    def _metric(self) -> str:
        self._space()
        if self._text.startswith('"', self._at):
            return self._quoted("metric")
        name = self._match(NAME)
        if not name:
            problem = f"this one begins with {self._rest()}" if self._at < len(self._text) else "this one is empty"
            hint = 'put quotes around names with other signs, as in "my metric" < 3'
            self._wrong(self._at, f"a rule must begin with a metric, as in loss < 3, and {problem}; {hint}")
        return name

    def _relation(self) -> Relation:
        self._space()
        at, word = self._at, self._match(_WORD)
        if (relation := _literal(word, RELATIONS)) is not None:
            return relation
        if not word:
            self._wrong(at, "rise or drop must follow the dot, as in loss.rise < 0.02")
        hint = _did_you_mean(word, RELATIONS) or 'if the dot is part of the name, put quotes around it: "eval.loss"'
        self._wrong(at, f"rise or drop must follow the dot, not {word[:40]!r}; {hint}")

    def _selectors(self) -> dict[str, Any]:
        selectors: dict[str, Any] = {}
        while True:
            self._space()
            at, key = self._at, self._match(_WORD)
            if key not in SELECTORS:
                hint = did_you_mean(key, SELECTORS)
                problem = f"there is no selector {key[:40]!r}" if key else "a selector is missing here"
                self._wrong(at, f"{problem}; {hint}")
            if key in selectors:
                self._wrong(at, f"the selector {key} is given twice; keep one")
            if not self._take("="):
                self._wrong(self._at, f"= must follow {key}, as in {key}={_EXAMPLES[key]}")
            selectors[key] = self._value(key)
            if self._take("]"):
                return selectors
            if not self._take(","):
                spaced = isinstance(selectors[key], str) and key in ("model", "site", "domain", "module")
                hint = f'; put quotes around names with spaces, as in {key}="a b"' if spaced else ""
                self._wrong(self._at, f"a comma or ] must follow a selector{hint}")

    def _value(self, key: str) -> Any:
        self._space()
        at = self._at
        text = self._quoted(key) if self._text.startswith('"', at) else self._match(PLAIN)
        if not text:
            self._wrong(at, f"{key} needs a value, as in {key}={_EXAMPLES[key]}")
        if key == "step":
            return self._steps(at, text)
        return self._layer(at, text) if key == "layer" else text

    def _steps(self, at: int, text: str) -> Literal["latest", "all"] | StepRange:
        if (word := _literal(text, _STEPS)) is not None:
            return word
        first, colon, last = text.partition(":")
        ends = [end for end in (first, last) if end]
        if not ends or not all(_WHOLE.fullmatch(end) for end in ends):
            hint = _did_you_mean(text, _STEPS) or "write latest, all, 1000, 1000:, :5000 or 1000:5000"
            self._wrong(at, f"{text[:40]!r} are no steps; {hint}")
        chosen = StepRange(int(first) if first else None, int(last) if last else None if colon else int(first))
        if chosen.first is not None and chosen.last is not None and chosen.first > chosen.last:
            self._wrong(at, f"the steps {text[:40]} end before they begin; write the smaller number first")
        return chosen

    def _layer(self, at: int, text: str) -> int | Literal["last", "all"]:
        if (word := _literal(text, _LAYERS)) is not None:
            return word
        if not _WHOLE.fullmatch(text):
            hint = _did_you_mean(text, _LAYERS) or "write last, all or a number"
            self._wrong(at, f"{text[:40]!r} is no layer; {hint}")
        return int(text)

    def _comparison(self) -> Comparison:
        at = self._at
        if at == len(self._text):
            self._wrong(at, "the comparison and the bound are missing; add them, as in < 0.6")
        signs = self._match(_SIGNS)
        if (comparison := _literal(signs, COMPARISONS)) is not None:
            return comparison
        if signs:
            self._wrong(at, f"{signs[:40]!r} is no comparison; write <, <=, > or >=")
        quotes = (
            '; if the name goes on, put quotes around it, as in "my metric" < 3' if _goes_on(self._text, at) else ""
        )
        self._wrong(at, f"a comparison must stand here (<, <=, > or >=), not {self._rest()}{quotes}")

    def _bound(self, relation: Relation | None) -> Bound:
        self._space()
        at = self._at
        if not self._text.startswith("max", at):
            number = self._number()
            percentage = self._is_percentage(relation)
            return Bound(None, number) if percentage else Bound(number)
        self._at += len("max")
        self._expect("(", "as in max(0.02, 1%)")
        first, first_percentage = self._number(), self._is_percentage(relation)
        self._expect(",", "as in max(0.02, 1%)")
        second, second_percentage = self._number(), self._is_percentage(relation)
        if first_percentage == second_percentage:
            self._wrong(at, "max must have a number and a percentage, as in max(0.02, 1%)")
        self._expect(")", "as in max(0.02, 1%)")
        return Bound(second, first) if first_percentage else Bound(first, second)

    def _number(self) -> float:
        self._space()
        at, text = self._at, self._match(_NUMBER)
        if not text:
            instead = f", not {self._rest()}" if self._rest() else ""
            self._wrong(at, f"a number must stand here, as in 0.6{instead}")
        number = float(text)
        if not math.isfinite(number):
            self._wrong(at, f"{text[:20]} is too large; write a number below 1e308")
        return number

    def _is_percentage(self, relation: Relation | None) -> bool:
        at = self._at
        percentage = self._take("%")
        if percentage and relation is None:
            self._wrong(
                self._text.index("%", at),
                "a percentage is allowed only after .rise or .drop, which have a reference for it; write a number",
            )
        return percentage

    def _quoted(self, key: str) -> str:
        begin = self._at
        match = re.compile(r'"((?:[^"]|"")*)"', re.DOTALL).match(self._text, begin)
        if match is None:
            self._wrong(begin, "the quotation mark here is never closed; add one behind the name")
        self._at = match.end()
        if not match[1]:
            self._wrong(begin, f"the name of the {key} is empty; write one between the quotation marks")
        return match[1].replace('""', '"')

    def _space(self) -> None:
        self._match(_SPACE)

    def _match(self, pattern: re.Pattern[str]) -> str:
        """Return the text that `pattern` matches at the current position, and move behind it; empty without a match."""
        match = pattern.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]

    def _take(self, sign: str) -> bool:
        """Return whether `sign` comes next, perhaps after spaces; if it does, move behind it."""
        self._space()
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def _expect(self, sign: str, example: str) -> None:
        if not self._take(sign):
            self._wrong(self._at, f"{sign!r} is missing here, {example}")

    def _rest(self) -> str:
        """Return the next word or sign in quotes, for an error; empty at the end of the text."""
        word = re.match(r"\w+|\S?", self._text[self._at :])
        return repr(word[0][:20]) if word and word[0] else ""

    def _wrong(self, at: int, why: str) -> NoReturn:
        shown = visible(self._text)
        shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
        raise DegenError(f'rule "{shown}": character {at + 1}: {why}')


def _goes_on(text: str, at: int) -> bool:
    """Return whether a position is behind the first word of a rule, and its comparison comes later."""
    return re.search(r"[<>]", text[at:]) is not None and "[" not in text[:at]


def _literal(word: str, choices: Sequence[_Word]) -> _Word | None:
    """Return `word` if it is one of `choices`, typed as one of these; None if it is not."""
    return next((choice for choice in choices if choice == word), None)


def _did_you_mean(word: str, choices: Sequence[str]) -> str | None:
    """Return the question `did you mean 'rise'?` with the choice most similar to `word`; None where none is similar."""
    near = closest(word, choices)
    return f"did you mean {near!r}?" if near else None


_EXAMPLES = {"model": "pythia-70m", "step": "latest", "layer": "last", "site": "block", "domain": "Github",
             "module": "lm_head"}  # fmt: skip
