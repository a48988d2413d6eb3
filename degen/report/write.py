"""The page written to a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from degen.errors import DegenError, one_line
from degen.figures.packages import import_altair, import_converter, import_templates
from degen.paths import atomic, expand_user
from degen.runs.output_files import check_output
from degen.runs.run import Run

from .page import build_page


def check_page(file: Path, sources: Sequence[str | Path]) -> None:
    """Refuse a file that the page cannot be written to, before anything is read.

    Args:
        file: the page.
        sources: the runs.

    Raises:
        DegenError: a package is missing, the file ends otherwise than a page, or `check_output` refuses it.
    """
    import_converter()
    import_altair()
    import_templates()
    if file.suffix.lower() not in (".html", ".htm"):
        raise DegenError(f"--out {file}: must end in .html")
    if not check_output(file, sources, "--out").absolute().parent.is_dir():
        raise DegenError(f"--out {file}: no such folder")


def write_page(runs: Sequence[Run], file: Path, warn: Callable[[str], None]) -> int:
    """Write the page of some runs to a file, whole or not at all.

    Args:
        runs: the runs, at least one.
        file: the page.
        warn: called with each line of warning.

    Returns:
        The size of the file in bytes.

    Raises:
        DegenError: a run cannot be read, or the file cannot be written.
    """
    content = build_page(runs, warn).encode()
    try:
        with atomic(expand_user(file)) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise DegenError(f"{file}: cannot be written ({one_line(error)})") from error
    return len(content)
