"""The command `degen`: its subcommands, and how errors become messages and exit codes."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, NoReturn

import typer

from degen.device import is_out_of_memory
from degen.errors import DegenError, one_line
from degen.version import __version__

from . import interrupts, output
from .help_screens import LazyGroup
from .interrupts import AFTER_INTERRUPTION, INTERRUPTED

AFTER_SHORTAGE = "what was finished is kept, and the same command goes on from there when more memory is free"
MAX_MESSAGE = 1000  # characters of a message: what a user typed may be long


class Boundary(LazyGroup):
    """Runs a command; turns a DegenError or wrong usage into one message and an exit code, an interruption into 130.

    Any other exception is a bug of degen: one line and exit code 2, with the traceback under DEGEN_DEBUG=1.
    """

    def main(self, *args: Any, **options: Any) -> Any:
        """Parse the arguments and run the command; print usage errors like all others."""
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except typer.TyperException as error:
            interrupts.end()
            context = getattr(error, "ctx", None)
            command = context.command_path if context is not None else "degen"
            message = " ".join(error.format_message().split()).rstrip(".")
            _end(error, f"{message}; see {command} --help", error.exit_code)
        interrupts.end()
        if code == INTERRUPTED:  # while parsing: an interruption of a command ends in invoke
            _end(KeyboardInterrupt(), "interrupted; nothing was begun", INTERRUPTED)
        raise SystemExit(code or 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the parsed command, and turn its errors into messages and exit codes."""
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
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader has closed the pipe, as head does
        except UnicodeEncodeError as error:
            _end(error, f"{error.object!r}: holds characters that are no text in UTF-8; rename it", 2)
        except (typer.TyperException, typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                _end(error, f"out of memory ({one_line(error)}); {AFTER_SHORTAGE}", 4)
            if isinstance(error, OSError):
                _end(error, f"{error.filename or 'a file'}: {error.strerror or error}", 2)
            if interrupts.is_under_way():
                _end(error, AFTER_INTERRUPTION, INTERRUPTED)
            _end(
                error,
                f"{one_line(error)}: a bug in degen; please report it with the traceback that DEGEN_DEBUG=1 shows",
                2,
            )


def _end(error: BaseException, message: str, code: int) -> NoReturn:
    """Print an error message, with the traceback under DEGEN_DEBUG=1, and exit."""
    if os.environ.get("DEGEN_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    if len(message) > MAX_MESSAGE:
        message = f"{message[: MAX_MESSAGE // 2]} … {message[-MAX_MESSAGE // 2 :]}"
    output.error(message)
    raise SystemExit(code)


app = typer.Typer(
    cls=Boundary,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(flag: bool) -> None:
    if flag:
        output.result(f"degen {__version__}")
        raise typer.Exit


@app.callback()
def degen(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Measure when a language model's representations degenerate over training.

    Exit codes: 0 done; 1 a check failed; 2 wrong usage or bad input; 3 undecidable; 4 incomplete, the rest is kept;
    130 interrupted. DEGEN_DEBUG=1 shows tracebacks.
    """


def _interrupt_again(unraisable: Any) -> None:
    """Send an interruption again after a moment, as Python drops one that is raised in a `__del__` method."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        interrupts.try_again()
    else:
        sys.__unraisablehook__(unraisable)


def main() -> None:
    """Run the command line with the arguments of the process."""
    output.replace_unencodable()
    sys.unraisablehook = _interrupt_again
    app(args=sys.argv[1:] or ["--help"], prog_name="degen")
