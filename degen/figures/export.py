"""Figures written to files: SVG, PDF or PNG without a browser, with their numbers as CSV beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args
from xml.sax.saxutils import quoteattr

from degen.errors import DegenError, one_line
from degen.paths import atomic

from .figure import Figure
from .packages import import_altair, import_converter
from .style import COLUMN_WIDTH, HEIGHT

Format = Literal["svg", "pdf", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)
LEGEND_SYMBOL, LEGEND_LETTER = 30, 6.5  # pixels of a legend's symbol and of one letter
DESCRIBED = 'role="graphics-document" aria-roledescription="visualization"'  # as vega marks it in a page
PNG_SCALE = 3.0  # pixels of the file for one of the figure


def check_figure(file: Path, option: str = "--plot") -> None:
    """Check that a figure can be written to a file.

    Raises:
        DegenError: a package is missing, or the format is none of `FORMATS`, or the folder does not exist.
    """
    import_converter()
    import_altair()
    if file.suffix.lstrip(".").lower() not in FORMATS:
        raise DegenError(f"{option} {file}: not a format of figures; there are {', '.join(FORMATS)}")
    if not file.absolute().parent.is_dir():
        raise DegenError(f"{option} {file}: no such folder")


def save_figure(figure: Figure, file: Path, width: int = COLUMN_WIDTH, height: int | None = None) -> None:
    """Write a figure to a file, whole or not at all.

    Args:
        figure: the figure.
        file: ends in `.svg`, `.pdf` or `.png`.
        width: of the plot in pixels of 1/96 inch, where the figure takes any width.
        height: of the plot where it has the usual one; None to leave it.

    Raises:
        DegenError: it cannot be drawn, or the file cannot be written.
    """
    spec = figure.with_data()
    if spec.get("width") == "container":
        spec["width"] = width
        if height is not None and spec.get("height") == HEIGHT:
            spec["height"] = height
    spec["config"] = {
        **spec["config"],
        "legend": {**spec["config"]["legend"], "columns": _legend_columns(figure, width)},
    }
    try:
        content = _draw(spec, file.suffix.lstrip(".").lower())
        with atomic(file) as temporary:
            temporary.write_bytes(content)
    except (OSError, ValueError) as error:
        raise DegenError(f"{file}: cannot be written ({one_line(error)})") from error


def _legend_columns(figure: Figure, width: int) -> int:
    """Return how many entries of the legend stand beside each other within the width of a plot."""
    longest = max(map(len, figure.models), default=8)
    return max(1, int(width / (LEGEND_SYMBOL + LEGEND_LETTER * longest)))


def _draw(spec: dict[str, Any], ending: str) -> bytes:
    converter = import_converter()
    if ending == "svg":
        svg = str(converter.vegalite_to_svg(spec, allowed_base_urls=[]))
        described = f"<svg {DESCRIBED} aria-label={quoteattr(str(spec['description']))}"
        return svg.replace("<svg", described, 1).encode()
    if ending == "pdf":
        return bytes(converter.vegalite_to_pdf(spec, allowed_base_urls=[]))
    return bytes(converter.vegalite_to_png(spec, scale=PNG_SCALE, allowed_base_urls=[]))
