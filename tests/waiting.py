"""Waiting for a state in place of a time: a condition that comes true, a fetch that has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], message: str = "", seconds: float = 60) -> None:
    """Wait until a condition holds; fail with the message where it does not for so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.001)


def finish_fetching(seconds: float = 60) -> None:
    """Wait until no checkpoint is fetched ahead, so that what was not asked for by now is not asked for at all."""
    for thread in [thread for thread in threading.enumerate() if thread.name == "fetch ahead"]:
        thread.join(seconds)
        assert not thread.is_alive(), "a checkpoint is still being fetched"
