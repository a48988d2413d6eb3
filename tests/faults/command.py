"""The command line as a user meets it: in this process through the real entry point, or in one of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
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

    @property
    def message(self) -> str:
        """Return the text after `error:` on stderr; there must be one such line, the last, and no traceback."""
        lines = self.err.splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        assert len(errors) == 1, self.err
        assert lines[-1] == errors[0], self.err
        assert all(line.startswith(("error: ", "warning: ", "[")) or " documents under " in line for line in lines)
        self.assert_no_fault()
        return errors[0].removeprefix("error: ")

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
    return CommandResult(code, out.getvalue(), err.getvalue())


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
    large = {"torch", "transformers", "tokenizers", "datasets", "safetensors", "pandas"}
    print("imported:", *sorted(large & set(sys.modules)), file=sys.stderr)
"""


def degen_imports(*args: object) -> CommandResult:
    """Run `degen …` in a process of its own; the last line on stderr lists the large packages that it imported."""
    return python_process(REPORT_IMPORTS, *args)
