"""Which models of two runs are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from degen.errors import DegenError
from degen.hints import did_you_mean, some_names


def pair_models(
    first: Sequence[str], second: Sequence[str], pairs: Mapping[str, str], names: tuple[str, str]
) -> dict[str, str]:
    """Return the model of the second run that each model of the first one is compared with.

    Those that are named; without names those of equal label; and where each run has one model, these two.

    Args:
        first: models of the first run.
        second: models of the second run.
        pairs: model of the first -> model of the second, as the user named them; empty for none.
        names: of the runs, for errors.

    Raises:
        DegenError: a model is unknown, or no two can be compared.
    """
    for model, other in pairs.items():
        for name, models, run in ((model, first, names[0]), (other, second, names[1])):
            if name not in models:
                raise DegenError(f"--pair {model}={other}: {run} has no model {name!r}; {did_you_mean(name, models)}")
    found = dict(pairs) or {model: model for model in first if model in second}
    if not found and len(first) == len(second) == 1:
        found = {first[0]: second[0]}
    if not found:
        raise DegenError(
            f"no model stands in both runs: {names[0]} has {some_names(first, 6)}, {names[1]} has "
            f"{some_names(second, 6)}; name two with --pair FIRST=SECOND"
        )
    return found
