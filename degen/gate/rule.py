"""A rule of a gate: `anisotropy[layer=last] < 0.6`, `loss.rise < max(0.02, 1%)`.

The grammar (EBNF; spaces may stand between any two symbols):

    rule       = metric , [ "." , relation ] , [ "[" , selector , { "," , selector } , "]" ] , comparison , bound ;
    metric     = name | quoted ;
    name       = [ "delta." | "weights." ] , character , { character } ;   (letter, digit or one of _ / , - + @ %)
    quoted     = '"' , { any character but '"' | '""' } , '"' ;
    relation   = "rise" | "drop" ;
    selector   = "model"  , "=" , text
               | "step"   , "=" , ( "latest" | "all" | whole | whole , ":" , [ whole ] | ":" , whole )
               | "layer"  , "=" , ( "last" | "all" | whole )
               | "site"   , "=" , text
               | "domain" , "=" , text
               | "module" , "=" , text ;
    text       = quoted | plain , { plain } ;         (anything but a space and one of , [ ] ")
    comparison = "<" | "<=" | ">" | ">=" ;
    bound      = number | percentage | "max" , "(" , number , "," , percentage , ")" ;
    percentage = number , "%" ;                       (of the reference; only after a relation)
    number     = [ "+" | "-" ] , ( digits , [ "." , [ digits ] ] | "." , digits ) , [ "e" , [ "+" | "-" ] , digits ] ;
    whole      = digits ;
    digits     = digit , { digit } ;

`rise` is the value minus its reference, `drop` the reference minus the value.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from degen.errors import DegenError
from degen.hints import did_you_mean

from .module_tables import ModuleTable, module_table

Relation = Literal["rise", "drop"]
Comparison = Literal["<", "<=", ">", ">="]
RELATIONS: tuple[Relation, ...] = ("rise", "drop")
COMPARISONS: tuple[Comparison, ...] = ("<=", ">=", "<", ">")  # the longer first
SELECTORS = ("model", "step", "layer", "site", "domain", "module")
NAME = re.compile(r"(?:(?:delta|weights)\.(?!(?:rise|drop)\b))?[\w/,\-+@%]+")
PLAIN = re.compile(r'[^\s,\[\]"]+')
_KEEPS: dict[Comparison, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Bound:
    """The bound of a rule: a number, a percentage of the reference, or the larger of both.

    Attributes:
        absolute: in the metric's unit; None where only a percentage was given.
        percent: percentage of the reference; None where only a number was given.
    """

    absolute: float | None
    percent: float | None = None

    def of(self, reference: float) -> float:
        """Return the bound in the metric's unit: max(absolute, percent/100 · |reference|)."""
        share = None if self.percent is None else self.percent / 100 * abs(reference)
        return max(bound for bound in (self.absolute, share) if bound is not None)

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
    """A condition that values of a metric must meet.

    Attributes:
        metric: name of the metric, as in the tables.
        comparison: of the value with the bound.
        bound: the bound.
        relation: `rise` or `drop` where a difference from a reference is compared; None for the value itself.
        model: label of the model; None for every model.
        step: the checkpoints.
        layer: a layer's number, `last` or `all`; None where the metric is of the whole checkpoint.
        site: `embedding`, `block` or `head_input`; None for every site, with `last` for the head's input.
        domain: the domain of the text; None for all text.
        module: the parameter or matrix, as in tables `delta` and `weights`; None for every one.
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
    module: str | None = None

    def keeps(self, value: float, bound: float) -> bool:
        """Return whether `value` satisfies the rule's comparison with `bound`; NaN never does."""
        return _KEEPS[self.comparison](value, bound)

    @property
    def upper(self) -> bool:
        """Whether the rule sets an upper bound: whether its comparison is `<` or `<=`."""
        return self.comparison in ("<", "<=")

    def error(self, problem: str) -> DegenError:
        """Return (and do not raise) the error that names this rule and then `problem`, on one line."""
        return DegenError(visible(f'rule "{self}": {problem}'))

    @property
    def of_modules(self) -> tuple[ModuleTable, str] | None:
        """The table of modules and its column that the rule is about, as of `delta.rank`; None for other metrics."""
        return module_table(self.metric)

    def select_models(self, models: Sequence[str], owner: str) -> list[str]:
        """Return the labels of the models that the rule is about: the one that it selects, or all.

        Args:
            models: labels of all models.
            owner: the run, table or series that they are in, for the error.

        Raises:
            DegenError: the rule selects a model that is not among `models`.
        """
        if self.model is None:
            return list(models)
        if self.model not in models:
            raise self.error(f"{owner} has no model {self.model!r}; {did_you_mean(self.model, models)}")
        return [self.model]

    def __str__(self) -> str:
        metric = self.metric if NAME.fullmatch(self.metric) else _quoted(self.metric)
        relation = f".{self.relation}" if self.relation else ""
        given = {key: str(getattr(self, key)) for key in SELECTORS if getattr(self, key) is not None}
        if self.step == "latest":
            del given["step"]
        texts = [f"{key}={value if PLAIN.fullmatch(value) else _quoted(value)}" for key, value in given.items()]
        selectors = f"[{','.join(texts)}]" if texts else ""
        return f"{metric}{relation}{selectors} {self.comparison} {self.bound}"


def visible(text: str) -> str:
    """Return a text on one line, with a space in place of every control character."""
    return "".join(c if c.isprintable() else " " for c in text)


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
