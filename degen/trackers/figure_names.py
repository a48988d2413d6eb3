"""The names of figures in a tracker, the same from a finished run and from a callback during training."""

from __future__ import annotations

PREFIX = "degen/"


def figure_name(column: str, prefix: str = PREFIX) -> str:
    """Return the name of a figure of the whole checkpoint, such as `degen/loss`.

    Args:
        column: of table `checkpoints`.
        prefix: in front of every name.
    """
    return f"{prefix}{column}"


def layer_figure_name(column: str, layer: int, site: str, prefix: str = PREFIX) -> str:
    """Return the name of a figure of a layer: `degen/layer_07/anisotropy`, or `degen/head_input/anisotropy` by site.

    Args:
        column: of table `layers`.
        layer: number of the block, counted from 1.
        site: `block`, `embedding` or `head_input`; a model has one each of the last two.
        prefix: in front of every name.
    """
    return f"{prefix}{f'layer_{layer:02d}' if site == 'block' else site}/{column}"
