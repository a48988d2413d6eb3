"""The command line as a user meets it: in this process through the real entry point, or in one of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SMALL = ("--tokens", "128", "--context", "32", "--threads", "1")


@dataclass(frozen=True)
class CommandResult:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str
    args: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """Return the text after `error:` on stderr; there must be one such line, the last, and no traceback.

        Before it may come warnings, progress, and the line on what was understood of a table.
        """
        lines = self.err.splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        assert len(errors) == 1, self.err
        assert lines[-1] == errors[0], self.err
        others = [line for line in lines if not line.startswith(("error: ", "warning: ", "["))]
        assert all(re.search(r" documents under |: [\w ]+, \d+ rows?, ", line) for line in others), others
        self.assert_no_fault()
        self.assert_options_exist()
        return errors[0].removeprefix("error: ")

    def assert_options_exist(self) -> None:
        """No message names an option that the command has not, but for other commands in backticks."""
        command = options_of(self.args)
        typed = " ".join(self.args)  # a message may repeat what was typed
        named = re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", re.sub(r"`[^`]*`", "", self.err))
        unknown = [name for name in named if command and name not in command and name not in typed]
        assert not unknown, f"{unknown} in: {self.err}"

    def assert_no_fault(self) -> None:
        """Check that there is no traceback, and nothing that degen reports as a bug of its own."""
        assert "Traceback" not in self.err + self.out
        assert "bug in degen" not in self.err

    def json(self) -> Any:
        """Return the one JSON document on stdout."""
        return json.loads(self.out)


def degen(*args: object) -> CommandResult:
    """Run `degen …` in this process: `sys.argv`, the entry point, SystemExit."""
    from degen.cli.main import main

    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["degen", *map(str, args)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = argv
    return CommandResult(code, out.getvalue(), err.getvalue(), tuple(map(str, args)))


def options_of(args: tuple[str, ...]) -> set[str]:
    """The options of the command that some words begin with; none where there is no such command."""
    from degen.cli.main import app
    from typer.main import get_command

    command: Any = get_command(app)
    for word in args:
        if not hasattr(command, "commands") or word not in command.commands:
            break
        command = command.commands[word]
    flags = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)}
    return flags | {"--help"} if not hasattr(command, "commands") else set()


def executable() -> str:
    """Return the path of the installed script."""
    return str(Path(sys.executable).parent / "degen")


def degen_process(*args: object, cwd: Path | None = None, **environment: str) -> CommandResult:
    """Run the installed `degen …` in a process of its own."""
    done = subprocess.run(
        [executable(), *map(str, args)],
        capture_output=True, text=True, cwd=cwd, timeout=120, env={**os.environ, **environment},
    )  # fmt: skip
    return CommandResult(done.returncode, done.stdout, done.stderr)


def python_process(code: str, *args: object, **environment: str) -> CommandResult:
    """Run a script in a fresh Python of this environment."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip
    return CommandResult(done.returncode, done.stdout, done.stderr)


REPORT_IMPORTS = """
import sys
from degen.cli.main import main
sys.argv[0] = "degen"
try:
    main()
finally:
    print("imported:", *sorted(set("PACKAGES".split()) & set(sys.modules)), file=sys.stderr)
"""


def degen_imports(*args: object, packages: str = "torch transformers tokenizers datasets safetensors") -> CommandResult:
    """Run `degen …` in a process of its own; the last line on stderr lists those of some packages that it imported."""
    return python_process(REPORT_IMPORTS.replace("PACKAGES", packages), *args)


@contextlib.contextmanager
def full_disk(most: int) -> Iterator[None]:
    """Let no file grow beyond `most` bytes, as on a full disk; Python ignores the signal that comes with it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
