"""Figures: checked before the work begins, made, and written to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import DegenError, one_line
from .paths import atomic


def check_plot(file: Path) -> None:
    """Check that a figure can be written to a file.

    Raises:
        DegenError: matplotlib is missing or does not know the format, or the folder does not exist.
    """
    formats = new_figure(1, 1).canvas.get_supported_filetypes()
    if file.suffix.lstrip(".").lower() not in formats:
        raise DegenError(f"--plot {file}: not a format of figures; there are {', '.join(sorted(formats))}")
    if not file.absolute().parent.is_dir():
        raise DegenError(f"--plot {file}: no such folder")


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure.

    Args:
        width: in inches.
        height: in inches.

    Raises:
        DegenError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DegenError("figures need an extra: pip install 'degen-lm[plot]'") from error
    return Figure(figsize=(width, height))


def label_axes(panel: Any) -> None:
    """Set few labels on the axes of a panel, and plain numbers on logarithmic axes of less than a decade."""
    from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter

    for axis, (low, high) in ((panel.xaxis, panel.get_xlim()), (panel.yaxis, panel.get_ylim())):
        if axis.get_scale() == "linear":
            axis.set_major_locator(MaxNLocator(5))
        elif high < 10 * low:
            axis.set_major_locator(MaxNLocator(5))
            axis.set_major_formatter(ScalarFormatter())
            axis.set_minor_locator(NullLocator())


def save_figure(figure: Any, file: Path) -> None:
    """Write a figure to a file, whole or not at all, without empty margins.

    Raises:
        DegenError: the file cannot be written.
    """
    try:
        with atomic(file) as temporary:
            figure.savefig(temporary, dpi=150, bbox_inches="tight", format=file.suffix.lstrip(".").lower())
    except (OSError, ValueError) as error:
        raise DegenError(f"{file}: cannot be written ({one_line(error)})") from error
