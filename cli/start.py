"""Where `degen` starts: Ctrl-C is handled before anything else is loaded."""

from __future__ import annotations

from . import interrupts

interrupts.install()


def main() -> None:
    """Load the commands, and run the command line."""
    from .main import main

    main()
