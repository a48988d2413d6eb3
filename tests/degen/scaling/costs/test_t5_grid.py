"""Shapes of T5 and grids of them, from texts."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degen.errors import DegenError
from degen.model.t5_shape import T5Shape
from degen.scaling.costs.grid import combinations, count_combinations, parse_grid
from degen.scaling.costs.t5_grid import t5_name, t5_shapes

SMALL = "NL=6,DM=512,FF=2048,NH=8"


def test_a_shape_has_the_defaults_of_version_1_0() -> None:
    assert t5_shapes([SMALL]) == {"NL6-DM512-FF2048-NH8": T5Shape(6, 6, 512, 2048, 8, 64, 32_128)}


def test_names_say_what_is_not_by_default() -> None:
    (name, shape), *_ = t5_shapes(["el=12,dl=4,dm=512,ff=1024,nh=6,kv=64,v=250112,gated=1"]).items()
    assert name == "EL12-DL4-DM512-FF1024-NH6-KV64-V250112-GATED"
    assert shape == T5Shape(12, 4, 512, 1024, 6, 64, 250_112, gated=True, tied=False)
    (shape,) = t5_shapes([f"{SMALL},DL=2"]).values()
    assert (shape.encoder_layers, shape.decoder_layers) == (6, 2)


def test_every_combination_of_the_values_is_a_shape() -> None:
    shapes = t5_shapes(["NL=4:8:16,DM=512:1024,FF=2048,NH=8:16"])
    found = [(s.encoder_layers, s.d_model, s.heads, s.d_kv) for s in shapes.values()]
    assert found == [(nl, dm, nh, dm // nh) for nl, dm, nh in itertools.product((4, 8, 16), (512, 1024), (8, 16))]
    assert len(t5_shapes([SMALL, "NL=6:12,DM=512,FF=2048,NH=8:8"])) == 2  # equal ones count once


widths = st.sampled_from([64, 128, 512])


@given(st.integers(1, 40), st.integers(1, 40), widths, widths, st.integers(1, 16), st.integers(1, 128), st.booleans())
def test_a_name_is_a_text_that_gives_the_same_shape(
    el: int, dl: int, dm: int, ff: int, nh: int, kv: int, gated: bool
) -> None:
    shape = T5Shape(el, dl, dm, ff, nh, kv, gated=gated, tied=not gated)
    text = re.sub(r"([A-Z]+)(\d+)", r"\1=\2", t5_name(shape)).replace("GATED", "GATED=1").replace("-", ",")
    assert t5_shapes([text]) == {t5_name(shape): shape}


WRONG = {
    "NX=4,DM=512,FF=2048,NH=8": r"there is no 'NX'; there are NL \(blocks",
    "NL=4": r"lacks DM \(width of the model\), FF .*, NH \(heads\); write it as NL=4:8:16",
    "EL=4,DM=512,FF=2048,NH=8": "lacks NL",
    "NL=4,EL=4,DL=4,DM=512,FF=2048,NH=8": "NL, EL and DL together say the layers twice",
    "NL=0,DM=512,FF=2048,NH=8": "NL=0 must be a whole number from 1 to 4,096",
    "NL=5000,DM=512,FF=2048,NH=8": "NL=5000 must be a whole number from 1 to 4,096",
    "NL=4,DM=-512,FF=2048,NH=8": "DM=-512 must be a whole number from 1 to 1,048,576",
    "NL=4,DM=5e2,FF=2048,NH=8": "DM=5e2 must be a whole number",
    "NL=4,DM=٥,FF=2048,NH=8": "DM=٥ must be a whole number",
    f"NL=4,DM={10**30},FF=2048,NH=8": "must be a whole number from 1 to 1,048,576",
    "NL=4,DM=512,FF=2048,NH=7": "DM=512 is no multiple of NH=7; give the width of a head",
    "NL=4,DM=512,FF=2048,NH=8,GATED=2": "GATED=2 must be a whole number from 0 to 1",
    "NL=4,DM=512,FF=2048,NH=8,nl=5": "NL occurs twice",
    "NL=4,DM=512,DM=4,FF=2048,NH=8": "DM occurs twice",
    "NL=4:,DM=512,FF=2048,NH=8": "'NL=4:' must be a name and its values",
    "NL,DM=512,FF=2048,NH=8": "'NL' must be a name and its values, as in NL=4:8:16",
    "": "must be a name and its values",
    "NL=4096,DM=1048576,FF=1048576,NH=8": "parameters are more than any model has",
}


@pytest.mark.parametrize("text", WRONG)
def test_texts_that_are_no_shape_are_refused(text: str) -> None:
    with pytest.raises(DegenError, match=f"^--t5 .*{WRONG[text]}"):
        t5_shapes([text])


def test_a_grid_that_is_too_large_is_refused_before_it_is_made() -> None:
    values = ":".join(map(str, range(1, 1001)))
    with pytest.raises(DegenError, match="a grid of 1,000,000,000,000 models; at most 10,000 fit"):
        t5_shapes([f"NL={values},DM={values},FF={values},NH={values}"])
    twice = "NL=4,DM=512,NH=8,FF=" + ":".join(map(str, range(1, 5001)))
    assert len(t5_shapes([twice])) == 5_000
    with pytest.raises(DegenError, match="a grid of 10,001 models"):
        t5_shapes([twice, twice, SMALL])


def test_a_grid_without_names_has_the_one_combination_of_nothing() -> None:
    assert list(combinations({})) == [{}]
    assert count_combinations(parse_grid("--set", "a=1:2,b=x", "")) == 2
