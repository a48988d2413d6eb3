"""A warm Python that forks a child for every command: `degen …` without three seconds of imports.

Nothing is computed before a fork, so that no thread of torch or Arrow is lost in it. A request is a line of JSON on
stdin, the answer a line on stdout: `{"args": […], "log": FILE}` gives a child's pid, `{"wait": pid}` its exit code;
`{"load": […]}` imports more. Tests share one such process, `warm_server()`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

MODULES = (
    "torch", "transformers", "transformers.models.gpt_neox.modeling_gpt_neox", "safetensors.torch", "pyarrow.parquet",
    "pyarrow.dataset", "tokenizers", "rich.table", "degen.scanning.scan", "degen.scanning.measure",
    "degen.model.loading", "degen.text.tokenizer", "degen.scanning.duplicates", "degen.scanning.dry_run",
    "degen.cli.main", "degen.cli.interrupts", "degen.probes.loss", "degen.probes.anisotropy", "degen.probes.spectrum",
)  # fmt: skip
CTRL_C = (signal.SIGINT,)


@functools.cache
def warm_server() -> Warm:
    """Return the one server of this process, which starts when it is first asked for and ends with the process."""
    server = Warm().__enter__()
    atexit.register(server.__exit__, None, None, None)
    return server


class Warm:
    """The parent's side."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._read_reply() == "ready"
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: object, _trace: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def load(self, modules: Sequence[str]) -> None:
        """Import more than MODULES, for all commands that are started from here on."""
        self._ask({"load": list(modules)})

    def start(
        self,
        args: tuple[object, ...],
        log: Path,
        full: Path | None = None,
        streams: str = "both",
        stdin: Path = Path(os.devnull),
        cwd: Path | None = None,
        environment: dict[str, str] | None = None,
        starved: Path | None = None,
        spare: int = 0,
        errors: Path | None = None,
    ) -> int:
        """Start `degen …`, and return its pid.

        Args:
            args: words of the command line.
            log: the file or terminal that its output goes to.
            full: a path, from whose appearance on the disk is full.
            streams: `both`, or `stdout` or `stderr` alone; the other one is lost.
            stdin: its input.
            cwd: the working directory.
            environment: all variables; those of this process by default.
            starved: a path, from whose appearance on memory is short.
            spare: bytes that the process may then take on top of what it has.
            errors: the file that stderr goes to, where it is another one.
        """
        paths = {"log": str(log), "full": full and str(full), "stdin": str(stdin), "cwd": str(cwd or Path.cwd())}
        words = [str(a) for a in args]
        short = {"starved": starved and str(starved), "spare": spare, "errors": errors and str(errors)}
        variables = dict(os.environ) if environment is None else environment
        return int(self._ask({"args": words, **paths, "streams": streams, "environment": variables, **short}))

    def wait(self, pid: int) -> int:
        """Return the exit code of a child, −N for signal N."""
        return int(self._ask({"wait": pid}))

    def run(self, args: tuple[object, ...], log: Path, full: Path | None = None) -> int:
        """Start a command and wait for it."""
        return self.wait(self.start(args, log, full))

    def cut(self, args: tuple[object, ...], log: Path, sent: signal.Signals, begun: Path, after: float) -> int:
        """Start a command, send it a signal some seconds after a path has appeared; gives the exit code."""
        pid = self.start(args, log)
        while not begun.exists():
            time.sleep(0.001)
        time.sleep(after)
        os.kill(pid, sent)  # a zombie may be signalled: the parent reaps it in `wait`
        return self.wait(pid)

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read_reply()

    def _read_reply(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextlib.contextmanager
def _reply_writer() -> Iterator[Any]:
    with os.fdopen(os.dup(1), "w") as replies:
        yield lambda reply: print(json.dumps(reply), file=replies, flush=True)


def _fill(once: str) -> None:
    """Let no file grow beyond 1,500 bytes once a path is there, as on a full disk."""
    while not os.path.exists(once):
        time.sleep(0.001)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))


def _starve(once: str, spare: int) -> None:
    """Let the process take no more than some bytes of memory on top of what it has, once a path is there."""
    while not os.path.exists(once):
        time.sleep(0.001)
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + spare, resource.RLIM_INFINITY))


def _child(
    args: list[str],
    log: str,
    full: str | None,
    streams: str,
    stdin: str,
    cwd: str,
    environment: dict[str, str],
    starved: str | None,
    spare: int,
    errors: str | None,
) -> None:
    """Become `degen …`."""
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOCTTY
    descriptor = os.open(log, writing)
    other = descriptor if errors is None else os.open(errors, writing)
    lost = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor if streams in ("both", "stdout") else lost, 1)
    os.dup2(other if streams in ("both", "stderr") else lost, 2)
    os.dup2(os.open(stdin, os.O_RDONLY | os.O_NOCTTY), 0)
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w", buffering=1)  # of the new files
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace")
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    if full is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        if os.path.exists(full):
            _fill(full)
        else:
            threading.Thread(target=_fill, args=(full,), daemon=True).start()
    if starved is not None:
        threading.Thread(target=_starve, args=(starved, spare), daemon=True).start()
    sys.argv = ["degen", *args]
    code = 1
    try:
        import torch

        torch.set_num_threads(1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from degen.cli.start import main  # as the installed command does: it handles Ctrl-C before all else

        signal.pthread_sigmask(signal.SIG_UNBLOCK, CTRL_C)
        main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve() -> None:
    import importlib

    gc.disable()  # it would walk over all that is loaded, again and again, and write to what children share
    for name in MODULES:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()
    with _reply_writer() as reply:
        reply("ready")
        for line in sys.stdin:
            request = json.loads(line)
            if "load" in request:
                for name in request["load"]:
                    importlib.import_module(name)
                reply("loaded")
            elif "wait" in request:
                reply(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]))
            else:
                signal.pthread_sigmask(signal.SIG_BLOCK, CTRL_C)  # it waits until the child's degen handles it
                pid = os.fork()
                if pid == 0:
                    _child(**request)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, CTRL_C)
                reply(pid)


if __name__ == "__main__":
    _serve()
