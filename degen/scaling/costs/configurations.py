"""Configurations of models that a user names: of files, folders, suites and the hub, of which nothing else is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from degen.checkpoints.find_series import find_series, split_label
from degen.checkpoints.source import Source
from degen.errors import DegenError
from degen.model.config_changes import change_config
from degen.model.configuration import check_json, config_file, read_config
from degen.paths import path_of_spec

from .grid import check_size, combinations, count_combinations, parse_grid

OPTION = "--set"
EXAMPLE = "num_hidden_layers=6:12:24"


@dataclass(frozen=True)
class NamedConfig:
    """Where the configuration of a model is; it is read when it is needed.

    Attributes:
        model: its name in the table.
        path: returns the path of the folder or file with it, on this machine.
    """

    model: str
    path: Callable[[], Path]

    def variants(self, grid: Mapping[str, Sequence[str]], trust: bool) -> list[ConfigVariant]:
        """Return its variants, one for each combination of the values of a grid; itself alone for an empty one.

        Raises:
            CheckpointError: it cannot be fetched or read.
        """
        path = self.path()
        return [ConfigVariant(self.model, path, changes, trust) for changes in combinations(grid)]


@dataclass(frozen=True)
class ConfigVariant:
    """A configuration with some entries changed.

    Attributes:
        model: the name of the model as it is.
        path: the folder or file with the configuration.
        changes: name of an entry -> its value as it was written.
        trust: whether Python code from the folder may run.
    """

    model: str
    path: Path
    changes: Mapping[str, str]
    trust: bool

    @property
    def name(self) -> str:
        """The model, with the entries that are changed."""
        return " ".join([self.model, *(f"{name}={value}" for name, value in self.changes.items())])

    def config(self) -> Any:
        """Return the configuration.

        Raises:
            DegenError: an entry does not exist, or the values are refused.
        """
        config = read_config(self.path, self.trust)
        if not self.changes:
            return config
        if self.path.suffix == ".gguf":
            raise DegenError(
                f"{OPTION}: {self.path} has no config.json whose entries could be changed; name one that has"
            )
        changes = {name: _value(value) for name, value in self.changes.items()}
        file = config_file(self.path)
        return change_config(config, check_json(file), changes, self.model)


def find_configs(specs: Sequence[str], trust: bool, note: Callable[[str], None]) -> list[NamedConfig]:
    """Return the configurations that a user named; of a series of checkpoints that of the last one.

    Args:
        specs: a `.json` file, or what `degen scan` takes, each perhaps with a `label=` in front.
        trust: whether Python code of a repository may run, and so is fetched.
        note: called with what is worth knowing of a series.

    Raises:
        DegenError: nothing of that name, or two models of one name.
    """
    found: dict[str, NamedConfig] = {}
    for is_file, group in groupby(specs, key=_is_config_file):
        own = list(group)
        if is_file:
            configs = [_of_file(spec) for spec in own]
        else:  # checkpoints of one folder, named one by one as a shell does, are one series
            series = find_series(own, note=note, trust=trust)
            configs = [NamedConfig(s.model, _path_of(s.checkpoints[-1].source)) for s in series]
        for config in configs:
            if config.model in found:
                raise DegenError(f"two models would be called {config.model!r}; name one of them, as in other={own[0]}")
            found[config.model] = config
    return list(found.values())


def _is_config_file(spec: str) -> bool:
    path = path_of_spec(split_label(spec)[1])
    return path.suffix == ".json" and path.is_file()


def _of_file(spec: str) -> NamedConfig:
    """Return the configuration of a `.json` file; a config.json has the name of its folder."""
    label, name = split_label(spec)
    path = path_of_spec(name)
    return NamedConfig(label or (path.resolve().parent.name if path.name == "config.json" else path.stem), lambda: path)


def _path_of(source: Source) -> Callable[[], Path]:
    return source.config


def parse_sets(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the grid of entries to change: name -> values, from all texts together.

    Args:
        texts: as `num_hidden_layers=6:12:24,hidden_size=512`.

    Raises:
        DegenError: a text has another form, a name occurs twice, or there are too many combinations.
    """
    grid = parse_grid(OPTION, ",".join(texts), EXAMPLE) if texts else {}
    check_size(count_combinations(grid), OPTION)
    return grid


def _value(text: str) -> Any:
    """Return a value as JSON has it, as 512, 0.1, true or null; any other text as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text
