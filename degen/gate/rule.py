"""A rule of a gate: `anisotropy[layer=last] < 0.6`, `loss.rise < max(0.02, 1%)`.

The grammar (EBNF; spaces may stand between any two symbols):

    rule       = metric , [ "." , relation ] , [ "[" , selector , { "," , selector } , "]" ] , comparison , bound ;
    metric     = name | quoted ;
    name       = character , { character } ;          (letter, digit or one of _ / , - + @ %)
    quoted     = '"' , { any character but '"' | '""' } , '"' ;
    relation   = "rise" | "drop" ;
    selector   = "model"  , "=" , text
               | "step"   , "=" , ( "latest" | "all" | whole | whole , ":" , [ whole ] | ":" , whole )
               | "layer"  , "=" , ( "last" | "all" | whole )
               | "site"   , "=" , text
               | "domain" , "=" , text ;
    text       = quoted | plain , { plain } ;         (anything but a space and one of , [ ] ")
    comparison = "<" | "<=" | ">" | ">=" ;
    bound      = number | percentage | "max" , "(" , number , "," , percentage , ")" ;
    percentage = number , "%" ;                       (of the reference; only after a relation)
    number     = [ "+" | "-" ] , ( digits , [ "." , [ digits ] ] | "." , digits ) , [ "e" , [ "+" | "-" ] , digits ] ;
    whole      = digits ;
    digits     = digit , { digit } ;

`rise` is the value less its reference, `drop` the reference less the value.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Relation = Literal["rise", "drop"]
Comparison = Literal["<", "<=", ">", ">="]
RELATIONS: tuple[Relation, ...] = ("rise", "drop")
COMPARISONS: tuple[Comparison, ...] = ("<=", ">=", "<", ">")  # the longer first
SELECTORS = ("model", "step", "layer", "site", "domain")
NAME = re.compile(r"[\w/,\-+@%]+")
PLAIN = re.compile(r'[^\s,\[\]"]+')
_KEEPS: dict[Comparison, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Bound:
    """What a figure is held against.

    Attributes:
        absolute: in the metric's unit; None where only a percentage was given.
        percent: percents of the reference; None where only a number was given. Of both, the larger counts.
    """

    absolute: float | None
    percent: float | None = None

    def of(self, reference: float) -> float:
        """Return the bound in the metric's unit: max(absolute, percent/100 · |reference|)."""
        given = [] if self.absolute is None else [self.absolute]
        if self.percent is not None:
            given.append(self.percent / 100 * abs(reference))
        return max(given)

    def __str__(self) -> str:
        percent = f"{_plain(self.percent)}%" if self.percent is not None else ""
        if self.absolute is None:
            return percent
        return f"max({_plain(self.absolute)}, {percent})" if percent else _plain(self.absolute)


@dataclass(frozen=True)
class StepRange:
    """Steps from the first to the last, both included; None for an open end."""

    first: int | None
    last: int | None

    def __contains__(self, step: int) -> bool:
        return (self.first is None or step >= self.first) and (self.last is None or step <= self.last)

    def __str__(self) -> str:
        ends = ["" if end is None else str(end) for end in (self.first, self.last)]
        return ends[0] if ends[0] == ends[1] else ":".join(ends)


Steps = Literal["latest", "all"] | StepRange


@dataclass(frozen=True)
class Rule:
    """What must hold of a figure.

    Attributes:
        metric: name of the metric, as in the tables.
        comparison: how the figure must lie to the bound.
        bound: what it is held against.
        relation: `rise` or `drop` where the figure is a difference from a reference; None for the value itself.
        model: label of the model; None for every one.
        step: which checkpoints.
        layer: a layer's number, `last` or `all`; None where the metric is of the whole checkpoint.
        site: `embedding`, `block` or `head_input`; None for what the layer says.
        domain: the domain of the text; None for all text.
    """

    metric: str
    comparison: Comparison
    bound: Bound
    relation: Relation | None = None
    model: str | None = None
    step: Steps = "latest"
    layer: int | Literal["last", "all"] | None = None
    site: str | None = None
    domain: str | None = None

    def keeps(self, figure: float, bound: float) -> bool:
        """Return whether a figure keeps the rule; NaN never does."""
        return _KEEPS[self.comparison](figure, bound)

    @property
    def upper(self) -> bool:
        """Whether the bound is one that figures must stay below."""
        return self.comparison in ("<", "<=")

    def __str__(self) -> str:
        metric = self.metric if NAME.fullmatch(self.metric) else _quoted(self.metric)
        relation = f".{self.relation}" if self.relation else ""
        chosen = [
            f"{key}={value if PLAIN.fullmatch(value) else _quoted(value)}"
            for key, value in ((key, self._selected(key)) for key in SELECTORS)
            if value is not None
        ]
        selectors = f"[{','.join(chosen)}]" if chosen else ""
        return f"{metric}{relation}{selectors} {self.comparison} {self.bound}"

    def _selected(self, key: str) -> str | None:
        value = getattr(self, key)
        return None if value is None or (key == "step" and value == "latest") else str(value)


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
