"""Ctrl-C, from the first line of the process to its last: one line of message and exit code 130.

Little is imported here, for this module comes before all others.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130
AFTER_INTERRUPTION = "interrupted; what was finished is kept, and the same command goes on from there"
_IMPORTING = "<frozen importlib._bootstrap>"
_RETRY = 0.05  # seconds until an interruption is tried again that came at a bad moment

_phase = "starting"  # then `working`, while a command runs, and `ended`
_raised = False  # whether a KeyboardInterrupt is under way


def install() -> None:
    """Handle Ctrl-C from here on, unless the process was started to ignore it, as by `nohup`."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _handle)


def begin() -> None:
    """Begin the work of a command: from here on an interruption is a KeyboardInterrupt, so that it can clean up."""
    global _phase, _raised
    _phase, _raised = "working", False


def is_under_way() -> bool:
    """Return whether the work was interrupted, even if somebody swallowed that and another error came of it."""
    return _raised


def end() -> None:
    """End the work: what is left is to print and to leave, which an interruption no longer disturbs."""
    global _phase
    _phase = "ended"
    if signal.getsignal(signal.SIGINT) is _handle:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python itself would die of it while it shuts down


def try_again() -> None:
    """Send an interruption again, a moment later: it was lost, or came at a bad moment."""
    import threading

    global _raised
    _raised = False
    again = threading.Timer(_RETRY, _interrupt_main)
    again.daemon = True
    again.start()


def _interrupt_main() -> None:
    """Interrupt the main thread, by a real signal where there is one, which wakes it from sleeping or waiting."""
    import _thread
    import threading

    main_thread = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main_thread is not None:
        signal.pthread_kill(main_thread, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _handle(_signal: int, frame: FrameType | None) -> None:
    global _raised
    if _phase == "starting":
        _leave("interrupted; nothing was begun")
    if _phase == "ended":
        return
    if _raised:  # the second one: nobody waits for the first to clean up
        _leave(AFTER_INTERRUPTION)
    if _imports(frame):  # modules may swallow it, and be half loaded then
        try_again()
        return
    _raised = True
    raise KeyboardInterrupt


def _leave(message: str) -> None:
    """Leave at once, the cursor of a terminal shown again."""
    cursor = "\x1b[?25h" if sys.stderr is not None and sys.stderr.isatty() else ""
    os.write(2, f"{cursor}error: {message}\n".encode())
    os._exit(INTERRUPTED)


def _imports(frame: FrameType | None) -> bool:
    """Return whether a module is being imported."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            return True
        frame = frame.f_back
    return False
