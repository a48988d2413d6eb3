"""The exceptions of degen: mistakes that the user can correct, and errors of a single checkpoint."""

from __future__ import annotations

from .printable import printable


class DegenError(Exception):
    """A mistake that the user can correct. The message says what is wrong, where, and what to do.

    The command line prints the message alone and ends with `exit_code`.

    Attributes:
        exit_code: 2 for wrong usage or bad input; 4 where something was measured and kept.
    """

    exit_code = 2

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        if exit_code is not None:
            self.exit_code = exit_code


class RunFolderError(DegenError):
    """A run folder that cannot be used.

    Attributes:
        problem: what is wrong, and where, without what to do about it.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem


class CheckpointError(DegenError):
    """One checkpoint cannot be measured. The message becomes the reason in its row, and the scan continues."""

    exit_code = 4


class MissingFileError(CheckpointError):
    """A file that a checkpoint needs does not exist."""


class NotFiniteError(CheckpointError):
    """NaN or infinity in weights, states or losses."""


class FormatError(CheckpointError):
    """Weights that can be read, but not what they mean: quantised without scales, or of a type that torch has not."""


class ProbeError(CheckpointError):
    """A probe met an error that is none of degen's: a fault of the probe, or of a library that it calls."""


def shorten_number(number: int) -> str:
    """Return a whole number as text; one of more digits than a message can bear is cut."""
    if abs(number) < 10**24:
        return str(number)
    return f"{'-' * (number < 0)}{abs(number) // 10 ** (int(abs(number).bit_length() * 0.30103) - 12)}…"


def one_line(error: BaseException, limit: int = 300) -> str:
    """Return the message of any exception as one line, with its type in front unless it is our own."""
    text = printable(" ".join(str(error).split()))
    limit = 2 * limit if isinstance(error, DegenError) else limit  # what to do stands at the end of our own
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if isinstance(error, DegenError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
