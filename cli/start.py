"""Where `degen` starts: Ctrl-C is handled before anything else is loaded."""

from __future__ import annotations

import gc
import os

from . import interrupts

interrupts.install()

# Objects that are made before Python's collector first looks for garbage: fewer than torch and transformers make while
# they load. It would walk over these again and again, a second in all, and free none.
LOADED = 400_000


def main() -> None:
    """Load the commands, and run the command line."""
    from .idle_threads import sleep_when_idle

    sleep_when_idle(os.environ)
    usual = gc.get_threshold()

    def begin(phase: str, _counts: dict[str, int]) -> None:
        if phase == "stop":
            gc.callbacks.remove(begin)
            gc.freeze()
            gc.set_threshold(*usual)

    gc.callbacks.append(begin)
    gc.set_threshold(LOADED)
    from .main import main

    try:
        main()
    finally:
        gc.freeze()  # as it ends, Python would walk over all objects twice
