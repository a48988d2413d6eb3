"""From the text of a rule to the rule, character by character; errors name the one where it goes wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

from degen.errors import DegenError

from .rule import COMPARISONS, NAME, PLAIN, RELATIONS, SELECTORS, Bound, Comparison, Relation, Rule, StepRange, Steps

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(r"\w*")
_SIGNS = re.compile(r"[<>=!~]*")
_SPACE = re.compile(r"\s*")
_WHOLE = re.compile(r"[0-9]{1,15}")
_SHOWN = 100  # characters of a rule that an error repeats


def parse_rule(text: str) -> Rule:
    """Read a rule.

    Args:
        text: as the grammar at the head of `rule.py` has it.

    Returns:
        The rule; `str(rule)` is one way to write it, and reads as the same rule.

    Raises:
        DegenError: the rule is not of that form. One line, which names the character where it goes wrong.
    """
    return RuleParser(text).rule()


class RuleParser:
    """The text of a rule, and how far it has been read.

    Args:
        text: the rule.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def rule(self) -> Rule:
        """Return the whole text as a rule.

        Raises:
            DegenError: it is none.
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
            self._wrong(self._at, f"nothing may follow the bound, and {self._rest()} does")
        return Rule(metric, comparison, bound, relation, **selectors)

    def _metric(self) -> str:
        self._space()
        if self._text.startswith('"', self._at):
            return self._quoted("metric")
        found = self._match(NAME)
        if not found:
            what = f"and not with {self._rest()}" if self._at < len(self._text) else "and this one is empty"
            self._wrong(self._at, f'a rule begins with a metric, as in loss < 3 ("…" around odd names), {what}')
        return found

    def _relation(self) -> Relation:
        self._space()
        at, word = self._at, self._match(_WORD)
        for relation in RELATIONS:
            if relation == word:
                return relation
        if not word:
            self._wrong(at, "a relation belongs behind the dot, rise or drop")
        hint = _near(word, RELATIONS) or 'there are rise and drop; write names that hold a dot as "eval.loss"'
        self._wrong(at, f"no relation {word[:40]!r}; {hint}")

    def _selectors(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while True:
            self._space()
            at, key = self._at, self._match(_WORD)
            if key not in SELECTORS:
                hint = _near(key, SELECTORS) or f"there are {', '.join(SELECTORS)}"
                self._wrong(at, f"no selector {key[:40]!r}; {hint}" if key else f"a selector belongs here; {hint}")
            if key in found:
                self._wrong(at, f"{key} is selected twice; keep one")
            if not self._take("="):
                self._wrong(self._at, f"an = belongs behind {key}, as in {key}={_EXAMPLES[key]}")
            found[key] = self._value(key)
            if self._take("]"):
                return found
            if not self._take(","):
                spaced = isinstance(found[key], str) and key in ("model", "site", "domain")
                hint = f'; put quotes around names with spaces, as in {key}="a b"' if spaced else ""
                self._wrong(self._at, f"a comma or ] belongs behind a selector{hint}")

    def _value(self, key: str) -> Any:
        self._space()
        at = self._at
        text = self._quoted(key) if self._text.startswith('"', at) else self._match(PLAIN)
        if not text:
            self._wrong(at, f"{key} needs a value, as in {key}={_EXAMPLES[key]}")
        if key == "step":
            return self._steps(at, text)
        return self._layer(at, text) if key == "layer" else text

    def _steps(self, at: int, text: str) -> Steps:
        if text == "latest":
            return "latest"
        if text == "all":
            return "all"
        first, colon, last = text.partition(":")
        ends = [end for end in (first, last) if end]
        if not ends or not all(_WHOLE.fullmatch(end) for end in ends):
            hint = _near(text, ("latest", "all")) or "write latest, all, 1000, 1000:, :5000 or 1000:5000"
            self._wrong(at, f"no steps {text[:40]!r}; {hint}")
        chosen = StepRange(int(first) if first else None, int(last) if last else None if colon else int(first))
        if chosen.first is not None and chosen.last is not None and chosen.first > chosen.last:
            self._wrong(at, f"the steps {text[:40]} end before they begin; the smaller goes first")
        return chosen

    def _layer(self, at: int, text: str) -> int | Literal["last", "all"]:
        if text == "last":
            return "last"
        if text == "all":
            return "all"
        if not _WHOLE.fullmatch(text):
            self._wrong(at, f"no layer {text[:40]!r}; {_near(text, ('last', 'all')) or 'write last, all or a number'}")
        return int(text)

    def _comparison(self) -> Comparison:
        at = self._at
        if at == len(self._text):
            self._wrong(at, "a comparison and a bound belong here, as in < 0.6")
        signs = self._match(_SIGNS)
        for comparison in COMPARISONS:
            if comparison == signs:
                return comparison
        if signs:
            self._wrong(at, f"no comparison {signs[:40]!r}; there are <, <=, > and >=")
        self._wrong(at, f"a comparison belongs here (<, <=, > or >=) and not {self._rest()}")

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
            self._wrong(at, "max takes a number and a percentage, as in max(0.02, 1%)")
        self._expect(")", "as in max(0.02, 1%)")
        return Bound(second, first) if first_percentage else Bound(first, second)

    def _number(self) -> float:
        self._space()
        at, text = self._at, self._match(_NUMBER)
        if not text:
            instead = f", and not {self._rest()}" if self._rest() else ""
            self._wrong(at, f"a number belongs here, as in 0.6{instead}")
        number = float(text)
        if not math.isfinite(number):
            self._wrong(at, f"{text[:20]} is too large for a number")
        return number

    def _is_percentage(self, relation: Relation | None) -> bool:
        at = self._at
        found = self._take("%")
        if found and relation is None:
            self._wrong(self._text.index("%", at), "a percentage is of a reference; only .rise and .drop have one")
        return found

    def _quoted(self, what: str) -> str:
        begin = self._at
        found = re.compile(r'"((?:[^"]|"")*)"', re.DOTALL).match(self._text, begin)
        if found is None:
            self._wrong(begin, "these quotation marks are never closed")
        self._at = found.end()
        if not found[1]:
            self._wrong(begin, f"the name of the {what} is empty")
        return found[1].replace('""', '"')

    def _space(self) -> None:
        self._match(_SPACE)

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def _take(self, sign: str) -> bool:
        """Pass over spaces and a sign, if it is there."""
        self._space()
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def _expect(self, sign: str, example: str) -> None:
        if not self._take(sign):
            self._wrong(self._at, f"{sign!r} belongs here, {example}")

    def _rest(self) -> str:
        """Return what comes next, for an error."""
        word = re.match(r"\w+|\S?", self._text[self._at :])
        return repr(word[0][:20]) if word and word[0] else ""

    def _wrong(self, at: int, why: str) -> NoReturn:
        shown = one_line(self._text)
        shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
        raise DegenError(f'rule "{shown}": character {at + 1}: {why}')


def one_line(text: str) -> str:
    """Return a text without line breaks and other controls, character for character."""
    return "".join(c if c.isprintable() else " " for c in text)


def _near(word: str, among: Sequence[str]) -> str | None:
    """Return a near match; None where nothing is near."""
    import difflib

    close = difflib.get_close_matches(word.lower(), among, n=1)
    return f"did you mean {close[0]!r}?" if close else None


_EXAMPLES = {"model": "pythia-70m", "step": "latest", "layer": "last", "site": "block", "domain": "Github"}
