"""The packages that make and draw specifications, imported when a figure is wanted."""

from __future__ import annotations

from typing import Any

from degen.errors import DegenError

MISSING = "figures need an extra: pip install 'degen-lm[report]'"


def import_altair() -> Any:
    """Return the module `altair`, which makes specifications.

    Raises:
        DegenError: it is not installed.
    """
    try:
        import altair
    except ImportError as error:
        raise DegenError(MISSING) from error
    return altair


def import_converter() -> Any:
    """Return the module `vl_convert`, which draws specifications.

    Raises:
        DegenError: it is not installed.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise DegenError(MISSING) from error
    return vl_convert


def import_templates() -> Any:
    """Return the module `jinja2`, which fills the page.

    Raises:
        DegenError: it is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise DegenError(MISSING) from error
    return jinja2
