"""Shapes of T5 from texts such as `NL=4:8:16,DM=512,FF=2048,NH=8`, in the words of the papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from degen.errors import DegenError
from degen.model.configuration import MAX_COUNT
from degen.model.t5_shape import VOCABULARY, T5Shape

from .grid import check_size, combinations, count_combinations, parse_grid

OPTION = "--t5"
EXAMPLE = "NL=4:8:16,DM=512,FF=2048,NH=8"
MEANINGS: Mapping[str, str] = {
    "NL": "blocks of encoder and decoder each",
    "EL": "blocks of the encoder",
    "DL": "blocks of the decoder",
    "DM": "width of the model",
    "FF": "width of the feed-forward layer",
    "NH": "heads",
    "KV": "width of a head",
    "V": "vocabulary",
    "GATED": "1 for the gate and the untied head of version 1.1",
}
MAX_WIDTH = 1 << 20  # of anything but layers and vocabulary
MAX_VOCABULARY = 1 << 24
MAX_PARAMETERS = 10**15


def t5_shapes(texts: Sequence[str]) -> dict[str, T5Shape]:
    """Return a dict: name -> shape, as `NL16-DM512-FF2048-NH8`, for every combination of the values of each text.

    KV is DM/NH unless it is given, V is 32,128, GATED is 0, EL and DL are NL. Shapes that occur twice count once.

    Raises:
        DegenError: an unknown or missing name, a value out of range, or too many combinations.
    """
    grids = [_named(text, parse_grid(OPTION, text, EXAMPLE)) for text in texts]
    check_size(sum(map(count_combinations, grids)), OPTION)
    shapes: dict[str, T5Shape] = {}
    for text, grid in zip(texts, grids, strict=True):
        for values in combinations(grid):
            shape = _shape(text, {name: _number(text, name, value) for name, value in values.items()})
            shapes[t5_name(shape)] = shape
    return shapes


def t5_name(shape: T5Shape) -> str:
    """Return the name of a shape; what it has by default is left out."""
    el, dl = shape.encoder_layers, shape.decoder_layers
    parts = [f"NL{el}" if el == dl else f"EL{el}-DL{dl}", f"DM{shape.d_model}", f"FF{shape.d_ff}", f"NH{shape.heads}"]
    parts += [f"KV{shape.d_kv}"] if shape.attention_size != shape.d_model else []
    parts += [f"V{shape.vocab_size}"] if shape.vocab_size != VOCABULARY else []
    parts += ["GATED"] if shape.gated else []
    return "-".join(parts)


def _named(text: str, grid: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return a grid with its names in capitals.

    Raises:
        DegenError: a name is unknown, or one that every shape needs is missing.
    """
    named: dict[str, list[str]] = {}
    for name, values in grid.items():
        if name.upper() not in MEANINGS:
            known = ", ".join(f"{key} ({meaning})" for key, meaning in MEANINGS.items())
            raise DegenError(f"{OPTION} {text}: there is no {name!r}; there are {known}")
        if name.upper() in named:
            raise DegenError(f"{OPTION} {text}: {name.upper()} occurs twice; name it once")
        named[name.upper()] = values
    missing = [key for key in ("DM", "FF", "NH") if key not in named]
    if "NL" not in named and not {"EL", "DL"} <= set(named):
        missing.insert(0, "NL")
    if missing:
        listed = ", ".join(f"{key} ({MEANINGS[key]})" for key in missing)
        raise DegenError(f"{OPTION} {text}: lacks {listed}; write it as {EXAMPLE}")
    if {"NL", "EL", "DL"} <= set(named):
        raise DegenError(f"{OPTION} {text}: NL, EL and DL together say the layers twice; leave out one of them")
    return named


def _number(text: str, name: str, value: str) -> int:
    """Return the whole number that a value is.

    Raises:
        DegenError: it is none, or out of the range of its name.
    """
    least = 0 if name == "GATED" else 1
    most = {"GATED": 1, "V": MAX_VOCABULARY}.get(name, MAX_COUNT if name in ("NL", "EL", "DL") else MAX_WIDTH)
    number = int(value) if value.isascii() and value.isdecimal() and len(value) <= 18 else None
    if number is None or not least <= number <= most:
        raise DegenError(f"{OPTION} {text}: {name}={value} must be a whole number from {least} to {most:,}")
    return number


def _shape(text: str, values: Mapping[str, int]) -> T5Shape:
    """Return the shape of one combination of values.

    Raises:
        DegenError: the width of a head does not follow from the others, or it has more parameters than can be counted.
    """
    d_model, heads = values["DM"], values["NH"]
    if "KV" not in values and d_model % heads:
        raise DegenError(
            f"{OPTION} {text}: DM={d_model} is no multiple of NH={heads}; give the width of a head as KV=64"
        )
    encoder, decoder = (values[own] if own in values else values["NL"] for own in ("EL", "DL"))
    gated = bool(values.get("GATED", 0))
    shape = T5Shape(
        encoder, decoder, d_model, values["FF"], heads, values.get("KV", d_model // heads),
        values.get("V", VOCABULARY), gated, tied=not gated,
    )  # fmt: skip
    if shape.parameters > MAX_PARAMETERS:
        raise DegenError(
            f"{OPTION} {text}: {shape.parameters:.3g} parameters are more than any model has; are the values right?"
        )
    return shape
