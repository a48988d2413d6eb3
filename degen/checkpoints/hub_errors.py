"""Errors of the hub's client as messages for the user: what failed, why, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from degen.errors import CheckpointError, one_line

OFFLINE = "in the cache, and HF_HUB_OFFLINE forbids asking the hub; unset it to do so"


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of the response that an error is about; None where there is no response."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def is_connection_error(error: BaseException) -> bool:
    """Return whether an error says that the connection failed.

    It does if the class is from one of the libraries on which versions of the client build.
    """
    return type(error).__module__.split(".")[0] in ("httpx", "httpx2", "requests", "httpcore", "httpcore2")


@contextmanager
def hub_errors(subject: str) -> Iterator[None]:
    """Turn errors of the hub's client in the `with` block into CheckpointErrors that say what to do.

    Args:
        subject: the repository or file that the block asks for; the message begins with it.

    Raises:
        CheckpointError: the block raised an error.
    """
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # the client has no base class for all that can go wrong on the way
        raise CheckpointError(f"{subject}: {_error_message(error)}") from error


def _error_message(error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        return _error_message(error.__cause__)  # the reason why the client searched its cache, in vain
    messages: tuple[tuple[type[Exception], str], ...] = (
        (
            errors.GatedRepoError,
            "the hub gives access only to users who have asked for it; do so on the repository's page, then log in "
            "with `hf auth login`",
        ),
        (
            errors.RepositoryNotFoundError,
            "no such repository on the hub; check the name, or log in with `hf auth login` if it is private",
        ),
        (errors.RevisionNotFoundError, "no such revision on the hub"),
        (errors.OfflineModeIsEnabled, f"not {OFFLINE}"),
        (
            errors.LocalEntryNotFoundError,
            "not in the cache, and the hub does not give it; check the network and run the same command again",
        ),
        (errors.EntryNotFoundError, "no such file on the hub"),
        (errors.HFValidationError, "not a valid name of a repository on the hub; write org/name"),
    )
    status = status_of(error)
    for kind, message in messages:
        if isinstance(error, kind):
            return message
    if status in (401, 403):
        return f"the hub refuses access ({status}); log in with `hf auth login` as a user who has access"
    if status == 429:
        return "the hub refuses because of too many requests (429); wait a little, or log in with `hf auth login`"
    if status is not None:
        return f"the hub failed with status {status}; run the same command again to continue"
    if is_connection_error(error):
        return (
            f"the hub cannot be reached ({one_line(error)}); check the network, or set HF_HUB_OFFLINE=1 to use only "
            "what is in the cache"
        )
    if isinstance(error, KeyError | TypeError | AttributeError | ValueError):
        return f"the hub sent a response that cannot be understood ({one_line(error)}); try again later"
    return one_line(error)
