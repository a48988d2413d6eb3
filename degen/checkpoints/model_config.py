"""A configuration that the user names for weights that have none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from degen.errors import CheckpointError, DegenError
from degen.paths import expand_user, is_file

from . import hub_client as hub
from .adapter_source import AdapterSource
from .hub_series import is_hub_name
from .hub_source import HubSource
from .local import LocalSource
from .series import Series
from .source import Source


def find_model_config(name: str, trust: bool = False) -> Path:
    """Return the folder with the configuration that a user named; that of a model on the hub is fetched.

    Args:
        name: a folder with `config.json`, or `org/model`, perhaps with `@revision`.
        trust: whether Python code beside it may run, and so is fetched.

    Raises:
        DegenError: there is none.
    """
    path = expand_user(name)
    if path.exists():
        folder = path.parent if path.name == "config.json" else path
        try:
            if is_file(folder / "config.json"):
                return folder.resolve()
        except CheckpointError as error:
            raise DegenError(f"--model-config {name}: {error}") from error
        raise DegenError(f"--model-config {name}: no config.json in it; name a folder that holds one, or ORG/MODEL")
    repo, _, revision = name.partition("@")
    if not is_hub_name(name) or "*" in revision or "," in revision or ":" in revision:
        raise DegenError(f"--model-config {name}: no such folder, and no ORG/MODEL on the hub")
    revision = revision or "main"
    try:
        commit = hub.refs(repo).get(revision)
        if commit is None:
            raise DegenError(f"--model-config {name}: {repo} has no revision {revision}")
        folder = HubSource(repo, revision, commit, trust).config()
        hub.write_ref(repo, revision, commit)  # as the client does where a file is downloaded by branch
        return folder
    except CheckpointError as error:
        raise DegenError(f"--model-config {name}: {error}") from error


def with_model_config(found: Iterable[tuple[str, Series]], folder: Path) -> list[tuple[str, Series]]:
    """Return series whose checkpoints have a configuration where they have none of their own.

    Args:
        found: each series beside its spec.
        folder: of the configuration.
    """
    return [
        (spec, replace(s, checkpoints=tuple(replace(c, source=_configured(c.source, folder)) for c in s.checkpoints)))
        for spec, s in found
    ]


def _configured(source: Source, folder: Path) -> Source:
    if isinstance(source, AdapterSource):
        return replace(source, base=_configured(source.base, folder))
    return replace(source, model_config=folder) if isinstance(source, LocalSource | HubSource) else source
