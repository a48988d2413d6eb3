"""The command `degen`: its commands, and the boundary at which errors become messages and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from degen.errors import DegenError, one_line
from degen.version import __version__

from . import audit, export, gate, interrupts, output, probes, rank, saturation, scaling, scan, show, suites
from .interrupts import AFTER_INTERRUPTION, INTERRUPTED

MAX_MESSAGE = 1000  # characters of a message: what a user typed may be long


class Boundary(TyperGroup):
    """Runs a command; a DegenError or wrong usage becomes one message and its exit code, an interruption 130.

    Whatever else escapes is a fault of degen's own: one line and exit code 2, with the traceback under DEGEN_DEBUG=1.
    """

    def main(self, *args: Any, **options: Any) -> Any:
        """Parse and run; usage errors are printed like all others."""
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except typer.TyperException as error:
            interrupts.end()
            context = getattr(error, "ctx", None)
            command = context.command_path if context is not None else "degen"
            message = " ".join(error.format_message().split()).rstrip(".")
            _end(error, f"{message}; see {command} --help", error.exit_code)
        interrupts.end()
        if code == INTERRUPTED:  # while it parsed: a command's interruption does not come back
            _end(KeyboardInterrupt(), "interrupted; nothing was begun", INTERRUPTED)
        raise SystemExit(code or 0)

    def invoke(self, ctx: Any) -> Any:
        """Invoke the command that was asked for."""
        try:
            try:
                interrupts.begin()
                return super().invoke(ctx)
            finally:
                interrupts.end()  # what is printed from here on is no longer interrupted
        except DegenError as error:
            _end(error, str(error), error.exit_code)
        except KeyboardInterrupt as error:
            _end(error, AFTER_INTERRUPTION, INTERRUPTED)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader has gone; nothing is left to say
        except OSError as error:
            _end(error, f"{error.filename or 'a file'}: {error.strerror or error}", 2)
        except UnicodeEncodeError as error:
            _end(error, f"{error.object!r}: holds characters that are no text in UTF-8; rename it", 2)
        except MemoryError as error:
            _end(error, f"out of memory ({one_line(error)}); what was finished is kept", 4)
        except (typer.TyperException, typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if interrupts.is_under_way():
                _end(error, AFTER_INTERRUPTION, INTERRUPTED)
            _end(error, f"{one_line(error)}: a fault of degen's own; DEGEN_DEBUG=1 shows where, please report it", 2)


def _end(error: BaseException, message: str, code: int) -> NoReturn:
    if os.environ.get("DEGEN_DEBUG") == "1":
        traceback.print_exception(error)
    if len(message) > MAX_MESSAGE:
        message = f"{message[: MAX_MESSAGE // 2]} … {message[-MAX_MESSAGE // 2 :]}"
    output.error(message)
    raise SystemExit(code)


app = typer.Typer(
    cls=Boundary,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        output.result(f"degen {__version__}")
        raise typer.Exit


@app.callback()
def degen(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Measure when a language model's representations degenerate over training.

    Exit codes: 0 done; 1 a check failed; 2 wrong usage or bad input; 3 undecidable; 4 incomplete, the rest is kept;
    130 interrupted. DEGEN_DEBUG=1 shows tracebacks.
    """


app.command("scan")(scan.scan)
app.command("saturation")(saturation.saturation)
app.command("gate")(gate.gate)
app.command("rank")(rank.rank)
app.add_typer(scaling.app, name="scaling")
app.command("show")(show.show)
app.command("export")(export.export)
app.command("audit")(audit.audit)
app.command("probes")(probes.probes)
app.command("suites")(suites.suites)


def _interrupt_again(lost: Any) -> None:
    """Send an interruption again, a moment later: Python drops one that lands in somebody's `__del__`."""
    if isinstance(lost.exc_value, KeyboardInterrupt):
        interrupts.try_again()
    else:
        sys.__unraisablehook__(lost)


def main() -> None:
    """Run the command line."""
    output.replace_unencodable()
    sys.unraisablehook = _interrupt_again
    app(args=sys.argv[1:] or ["--help"], prog_name="degen")
