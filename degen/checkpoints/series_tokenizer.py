"""The tokenizer of a series: beside its checkpoints, or brought by the first that has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from degen.errors import CheckpointError, DegenError
from degen.text.tokenizer import Tokenizer, has_tokenizer

from . import hub_client as hub
from .hub_source import HubSource
from .local import LocalSource
from .series import Series
from .suites import tokenizer_repo


def tokenizer_of(series: Series, trust: bool = False) -> Tokenizer | None:
    """Return the tokenizer of a series: that in its folder, or else that of its first checkpoint with one.

    Args:
        series: the series.
        trust: whether Python code that belongs to the tokenizer may run.

    Returns:
        The tokenizer; None where the series has none.

    Raises:
        DegenError: the tokenizer cannot be loaded. A GGUF file that is damaged, or a revision that cannot be fetched,
            is an error only where no other checkpoint has a tokenizer.
    """
    first_error: DegenError | None = None
    for find in _candidates(series, trust):
        path: Path | None = None
        try:
            path = find()
            if path is not None and has_tokenizer(path):
                return Tokenizer(path, trust)
        except DegenError as error:
            if not isinstance(error, CheckpointError) and (path is None or path.suffix != ".gguf"):
                raise
            first_error = first_error or error
    if first_error is not None:
        raise DegenError(str(first_error))
    return None


def _candidates(series: Series, trust: bool) -> Iterator[Callable[[], Path | None]]:
    """Yield functions that each return a path in which the tokenizer may be, the preferred one first.

    A function returns a folder or a `.gguf` file, or None where a checkpoint has no tokenizer; calling it may download
    the files. First come the GGUF files, then the folder of the series, then the single checkpoints, then the
    repository that the suite of the series names.
    """
    local = [c.source.path for c in series.checkpoints if isinstance(c.source, LocalSource)]
    packed = [path for path in local if path.suffix == ".gguf"]
    for path in (*packed, *([series.root] if series.root is not None else [])):
        yield partial(Path, path)
    for checkpoint in series.checkpoints:
        yield checkpoint.source.tokenizer
    if local and series.checkpoints[0].step is not None:  # the user named one step of a series
        yield partial(Path, local[0].parent)
    repos = dict.fromkeys(c.source.repo for c in series.checkpoints if isinstance(c.source, HubSource))
    for repo in filter(None, map(tokenizer_repo, repos)):
        yield partial(_tokenizer_on_hub, repo, trust)


def _tokenizer_on_hub(repo: str, trust: bool) -> Path | None:
    """Return the folder with the tokenizer of the main branch of a repository; None where it has none."""
    commit = hub.refs(repo).get("main")
    if commit is None:
        return None
    folder = HubSource(repo, "main", commit, trust).tokenizer()
    hub.write_ref(repo, "main", commit)  # as the client does where a file is downloaded by branch
    return folder
