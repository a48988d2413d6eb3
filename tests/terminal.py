"""Commands on a terminal of a stated width, as a user sees them; the terminal is real (a pseudo-terminal)."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
import threading
from pathlib import Path

from faults.warm import warm_server

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(
    *args: object,
    width: int = 80,
    cwd: Path | None = None,
    streams: str = "both",
    colours: bool = False,
    typed: str | None = None,
    **more: str,
) -> tuple[int, str]:
    """Run `degen …` on a terminal, and return its exit code and the text that it wrote there.

    Args:
        args: words of the command line.
        width: columns of the terminal.
        cwd: the working directory.
        streams: `both`, or `stdout` or `stderr` alone; the other one is a pipe.
        colours: keep the sequences that colour the text, and all others.
        typed: what is typed at the terminal; None to give the command no input.
        more: variables of the environment.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")}
    written = bytearray()
    reader = threading.Thread(target=_read_all, args=(ours, written))
    reader.start()
    device = Path(os.ttyname(theirs))
    pid = warm_server().start(
        args, device, streams=streams, stdin=Path(os.devnull) if typed is None else device, cwd=cwd,
        environment=environment | {"TERM": "xterm"} | more,
    )  # fmt: skip
    os.write(ours, (typed or "").encode())
    code = warm_server().wait(pid)
    os.close(theirs)
    reader.join()
    os.close(ours)
    text = written.decode() if colours else CONTROL.sub("", written.decode())
    return code, text.replace("\r\n", "\n")


def found_whole(text: str, lines: list[str]) -> bool:
    """Return whether a text stands in the lines with its words whole and in order; it may be cut at spaces."""
    printed, words = [word for line in lines for word in line.split()], text.split()
    return any(printed[i : i + len(words)] == words for i in range(len(printed) - len(words) + 1))


def _read_all(terminal: int, written: bytearray) -> None:
    try:
        while chunk := os.read(terminal, 65536):
            written += chunk
    except OSError:  # Linux ends a terminal so, once nobody has the other side open
        return
