"""Named suites of models: `pythia`, `gpt2:124m,355m`. The suites themselves are data, in `suites.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from .steps import parse_steps


@dataclass(frozen=True)
class Suite:
    """A family of models under one name.

    Attributes:
        name: as a user writes it.
        about: what it is, in one line.
        models: name of a model within the suite -> its repository, the smallest model first.
        revisions: the branches and tags that are a repository's series, written as behind an `@`.
        steps: the steps that should be there, as `--steps` takes them; None if unknown.
        tokens_per_step: training tokens of a step; None if unknown.
    """

    name: str
    about: str
    models: Mapping[str, str]
    revisions: str = "main"
    steps: str | None = None
    tokens_per_step: int | None = None


@lru_cache(maxsize=1)
def suites() -> dict[str, Suite]:
    """Return all suites, as a dict: name -> suite, in the order of `suites.toml`."""
    tables = tomllib.loads(files("degen.checkpoints").joinpath("suites.toml").read_text(encoding="utf-8"))
    return {name: Suite(name=name, **table) for name, table in tables.items()}


def is_suite(spec: str) -> bool:
    """Return whether a spec begins with the name of a suite."""
    return spec.partition(":")[0] in suites()


def tokens_per_step(repo: str) -> int | None:
    """Return how many tokens a model of a repository was trained on per step; None where no suite knows it.

    Args:
        repo: `owner/name`, or the name alone, as the tables of a run have it.
    """
    suite = _suite_of(repo)
    return suite.tokens_per_step if suite is not None else None


def expected_steps(repo: str) -> Sequence[int] | None:
    """Return the steps that a repository should have; None where no suite knows them."""
    suite = _suite_of(repo)
    return parse_steps(suite.steps) if suite is not None and suite.steps is not None else None


def _suite_of(repo: str) -> Suite | None:
    """Return the suite that has a repository among its models; None where none has."""
    for suite in suites().values():
        if any(repo in (model, model.rpartition("/")[2]) for model in suite.models.values()):
            return suite
    return None
