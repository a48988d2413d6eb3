"""A `degen` for scripts of a shell that is forked from the warm process, with the shell's own words and streams."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from faults.warm import warm_server

STAND_IN = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({path!r})
    request = {{"args": sys.argv[1:], "pid": os.getpid(), "cwd": os.getcwd(), "environment": dict(os.environ)}}
    asked.sendall(json.dumps(request).encode() + b"\\n")
    sys.exit(int(asked.makefile().readline()))
"""


@contextlib.contextmanager
def warm_programs(folder: Path) -> Iterator[Path]:
    """Yield a folder for PATH with a program `degen`; its standard input is empty, and its streams must be pipes.

    Args:
        folder: an empty one.
    """
    path, program = folder / "socket", folder / "degen"
    program.write_text(STAND_IN.format(python=sys.executable, path=str(path)))
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=_answer, args=(server,))
        thread.start()
        yield folder
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _answer(server: socket.socket) -> None:
    """Run commands one after another until the socket is shut."""
    while True:
        try:
            asked, _ = server.accept()
        except OSError:
            return
        with asked, asked.makefile("rw") as stream:
            request = json.loads(stream.readline())
            streams = Path("/proc") / str(request["pid"]) / "fd"
            pid = warm_server().start(
                tuple(request["args"]), streams / "1", errors=streams / "2", cwd=Path(request["cwd"]),
                environment=request["environment"],
            )  # fmt: skip
            stream.write(f"{warm_server().wait(pid)}\n")
