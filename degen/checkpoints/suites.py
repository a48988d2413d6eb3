"""Named suites of models: `pythia`, `gpt2:124m,355m`. The suites themselves are data, in `suites.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
        names: names of such revisions, one of each form; none where the series is the main branch.
        steps: the steps that should be there, as `--steps` takes them; None if unknown.
        tokens_per_step: training tokens of a step; None if unknown, or if models or stages differ in it.
        tokens_per_step_by_model: the same by the name of a model within the suite.
        tokens_per_step_by_stage: the same by the stage that the name of a revision gives.
        tokenizers: name of a model within the suite -> the repository of its tokenizer, where revisions have none.
        remarks: what the numbers in the names count, and what is known to be broken or missing.
    """

    name: str
    about: str
    models: Mapping[str, str]
    revisions: str = "main"
    names: Sequence[str] = ()
    steps: str | None = None
    tokens_per_step: int | None = None
    tokens_per_step_by_model: Mapping[str, int] = field(default_factory=dict)
    tokens_per_step_by_stage: Mapping[str, int] = field(default_factory=dict)
    tokenizers: Mapping[str, str] = field(default_factory=dict)
    remarks: Sequence[str] = ()

    def tokens_per_step_of(self, model: str) -> int | None:
        """Return the training tokens of a step of a model, by its name within the suite; None if unknown."""
        return self.tokens_per_step_by_model.get(model, self.tokens_per_step)


@lru_cache(maxsize=1)
def suites() -> dict[str, Suite]:
    """Return all suites, as a dict: name -> suite, in the order of `suites.toml`."""
    tables = tomllib.loads(files("degen.checkpoints").joinpath("suites.toml").read_text(encoding="utf-8"))
    return {name: Suite(name=name, **table) for name, table in tables.items()}


def is_suite(spec: str) -> bool:
    """Return whether a spec begins with the name of a suite."""
    return spec.partition(":")[0] in suites()


def one_by_one(spec: str) -> list[str]:
    """Return a name of each model of a suite that a spec names, as `pythia:70m`; of another spec the spec itself."""
    name, colon, models = spec.partition(":")
    if not is_suite(spec):
        return [spec]
    return [f"{name}:{model}" for model in (models.split(",") if colon else suites()[name].models)]


def tokens_per_step(repo: str) -> int | None:
    """Return how many tokens a model of a repository was trained on per step; None where no suite knows it.

    Args:
        repo: `owner/name`, or the name alone, as the tables of a run have it.
    """
    suite, model = _find(repo)
    return suite.tokens_per_step_of(model) if suite is not None else None


def tokens_per_step_by_stage(repo: str) -> Mapping[str, int]:
    """Return how many tokens a model of a repository was trained on per step, by stage; empty where none differ."""
    suite, _ = _find(repo)
    return suite.tokens_per_step_by_stage if suite is not None else {}


def expected_steps(repo: str) -> Sequence[int] | None:
    """Return the steps that a repository should have; None where no suite knows them."""
    suite, _ = _find(repo)
    return parse_steps(suite.steps) if suite is not None and suite.steps is not None else None


def tokenizer_repo(repo: str) -> str | None:
    """Return the repository that has the tokenizer of the models in `repo`; None where no suite names one."""
    suite, model = _find(repo)
    return suite.tokenizers.get(model) if suite is not None else None


def _find(repo: str) -> tuple[Suite | None, str]:
    """Return the suite that has a repository among its models, None where none has, and the model's name in it."""
    for suite in suites().values():
        for model, known in suite.models.items():
            if repo in (known, known.rpartition("/")[2]):
                return suite, model
    return None, ""
