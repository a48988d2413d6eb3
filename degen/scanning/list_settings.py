"""Settings that a function takes as `**settings`, listed one by one where `help` and notebooks look."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

from .settings import MeasureKeywords, Settings, meanings

T = TypeVar("T", bound=Callable[..., Any])


def list_settings(keywords: type[MeasureKeywords], **other_defaults: object) -> Callable[[T], T]:
    """Return a decorator that lists settings in the signature and the docstring of a function or a class.

    The function takes them as `**settings: Unpack[keywords]`, which type checkers read; `inspect.signature` and `help`
    then show each by name with its default. The entry `settings:` of its docstring becomes an entry for each.

    Args:
        keywords: the names and the types that are accepted.
        other_defaults: those that differ from the defaults of `Settings`.
    """
    types = get_type_hints(keywords)
    defaults = {f.name: f.default if f.default is not MISSING else None for f in fields(Settings)} | other_defaults
    listed = {name: types[name] for name in defaults if name in types}

    def decorate(target: T) -> T:
        function: Any = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
        signature = inspect.signature(function, eval_str=True)
        named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        one_by_one = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=kind)
            for name, kind in listed.items()
        ]
        function.__signature__ = signature.replace(parameters=[*named, *one_by_one])
        if target.__doc__ is not None:  # as there is none under python -OO
            target.__doc__ = _document(target.__doc__, list(listed))
        return target

    return decorate


def _document(docstring: str, names: list[str]) -> str:
    """Return a docstring with an entry for each name in place of the entry `settings:`."""

    def entries(found: re.Match[str]) -> str:
        indent = found[1]
        texts = [f"{name}: {meanings()[name]}" for name in names]
        return "\n".join(
            textwrap.fill(text, 120, initial_indent=indent, subsequent_indent=indent + " " * 4) for text in texts
        )

    return re.sub(r"^( +)settings: .*(?:\n\1 +.*)*", entries, docstring, count=1, flags=re.MULTILINE)
