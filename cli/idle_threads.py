"""How long threads of matrix products wait awake for their next share."""

from __future__ import annotations

from collections.abc import MutableMapping

# Variables by which a user says how OpenMP's threads wait: of the standard, and of GNU's library, torch's on Linux.
CHOSEN_BY = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
# Turns of the loop in which a thread waits before it sleeps: as long as Python takes from one product to the next, some
# fifty microseconds. The library's own 300,000 are milliseconds.
TURNS = 2_000


def sleep_when_idle(environment: MutableMapping[str, str]) -> None:
    """Let OpenMP's threads sleep sooner while there is no work, where the user has not said how they are to wait.

    A thread that is done with its share of a product runs in a loop until all others are. Where another process has the
    core of one of them, all the others burn theirs until it is back, at each of a pass's thousand products. OpenMP
    looks at the variable once, as torch is loaded.

    Args:
        environment: that of this process, `os.environ`; the variable is set in place.
    """
    if not any(name in environment for name in CHOSEN_BY):
        environment["GOMP_SPINCOUNT"] = str(TURNS)
