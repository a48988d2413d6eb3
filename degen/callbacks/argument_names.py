"""Messages for callers from Python: they name arguments, where those of the command line name options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from degen.errors import DegenError, RunFolderError

_OPTION = re.compile(r"(?<![\w-])--(?P<name>[a-z]+(?:-[a-z]+)*)(?: (?P<value>\d[\d.]*)\b)?")


@contextmanager
def argument_names() -> Iterator[None]:
    """Turn the options in the message of an error into arguments: `--batch-size 0` into `batch_size=0`.

    Raises:
        DegenError: the block met one; it is raised again, with the other message.
    """
    try:
        yield
    except DegenError as error:
        error.args = (with_arguments(str(error)), *error.args[1:])
        if isinstance(error, RunFolderError):
            error.problem = with_arguments(error.problem)
        raise


def with_arguments(message: str) -> str:
    """Return a message with arguments of Python for the options in it."""

    def argument(match: re.Match[str]) -> str:
        name = match["name"].replace("-", "_")
        return f"`{name}`" if match["value"] is None else f"{name}={match['value']}"

    return _OPTION.sub(argument, message)
