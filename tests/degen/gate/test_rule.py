"""The grammar of rules, both ways, and errors that point at the character."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degen import DegenError
from degen.gate.parser import parse_rule
from degen.gate.rule import Bound, Rule, StepRange

FORMS: list[tuple[str, Rule]] = [
    ("loss < 3", Rule("loss", "<", Bound(3.0))),
    ("loss<=3", Rule("loss", "<=", Bound(3.0))),
    ("acc_norm,none > .5", Rule("acc_norm,none", ">", Bound(0.5))),
    ("pass@1 >= 5.", Rule("pass@1", ">=", Bound(5.0))),
    ("lambada/acc-x+%2 > -1e-3", Rule("lambada/acc-x+%2", ">", Bound(-0.001))),
    ("Größe_2 < +1E2", Rule("Größe_2", "<", Bound(100.0))),
    ('"eval.loss" < 3', Rule("eval.loss", "<", Bound(3.0))),
    ('"a ""b"" [c]" < 3', Rule('a "b" [c]', "<", Bound(3.0))),
    ("loss.rise < 0.02", Rule("loss", "<", Bound(0.02), "rise")),
    ("acc.drop < 2%", Rule("acc", "<", Bound(None, 2.0), "drop")),
    ("loss.rise < max(0.02, 1%)", Rule("loss", "<", Bound(0.02, 1.0), "rise")),
    ("loss.rise<max( 1 % ,0.02 )", Rule("loss", "<", Bound(0.02, 1.0), "rise")),
    ("anisotropy[layer=last] < 0.6", Rule("anisotropy", "<", Bound(0.6), layer="last")),
    ("anisotropy[layer=all] < 0.6", Rule("anisotropy", "<", Bound(0.6), layer="all")),
    ("anisotropy[layer=03,site=block] < 0.6", Rule("anisotropy", "<", Bound(0.6), layer=3, site="block")),
    ("loss[step=latest] < 3", Rule("loss", "<", Bound(3.0))),
    ("loss[step=all] < 3", Rule("loss", "<", Bound(3.0), step="all")),
    ("loss[step=1000] < 3", Rule("loss", "<", Bound(3.0), step=StepRange(1000, 1000))),
    ("loss[step=1000:] < 3", Rule("loss", "<", Bound(3.0), step=StepRange(1000, None))),
    ("loss[step=:5000] < 3", Rule("loss", "<", Bound(3.0), step=StepRange(None, 5000))),
    ("loss[step=1000:5000] < 3", Rule("loss", "<", Bound(3.0), step=StepRange(1000, 5000))),
    ("loss[model=org/a=b<c,domain=Github] < 3", Rule("loss", "<", Bound(3.0), model="org/a=b<c", domain="Github")),
    (' loss . rise [ domain = "a, b]" , step = 5: ] < 3 ',
     Rule("loss", "<", Bound(3.0), "rise", domain="a, b]", step=StepRange(5, None))),
    ("delta.rank < 8", Rule("delta.rank", "<", Bound(8.0))),
    ("delta.effective_rank.rise < 1", Rule("delta.effective_rank", "<", Bound(1.0), "rise")),
    ("delta.rise < 1", Rule("delta", "<", Bound(1.0), "rise")),
    ('"delta.rise" < 1', Rule("delta.rise", "<", Bound(1.0))),
    ('"delta.rank" < 8', Rule("delta.rank", "<", Bound(8.0))),
    ("delta.rank[module=model.layers.0.self_attn.q_proj,step=all] < 8",
     Rule("delta.rank", "<", Bound(8.0), step="all", module="model.layers.0.self_attn.q_proj")),
    ("loss[\n model=a,\n domain=b\n] < 3", Rule("loss", "<", Bound(3.0), model="a", domain="b")),
]  # fmt: skip

MISTAKES = [
    ("loss.rize < 0.1", 6, "rise or drop must follow the dot, not 'rize'; did you mean 'rise'?"),
    (
        "eval.loss < 3",
        6,
        "rise or drop must follow the dot, not 'loss'; if the dot is part of the name, put quotes around it",
    ),
    ("loss. < 3", 7, "rise or drop must follow the dot"),
    ("", 1, "a rule must begin with a metric"),
    ("   ", 4, "this one is empty"),
    ("< 3", 1, "a rule must begin with a metric"),
    ("[step=1] < 3", 1, "this one begins with '['"),
    ('"loss < 3', 1, "the quotation mark here is never closed"),
    ('"" < 3', 1, "the name of the metric is empty"),
    ("loss", 5, "the comparison and the bound are missing"),
    ("loss == 3", 6, "'==' is no comparison; write <, <=, > or >="),
    ("loss =< 3", 6, "'=<' is no comparison"),
    ("loss is 3", 6, "a comparison must stand here (<, <=, > or >=), not 'is'"),
    (
        "lm loss validation.rise < 3",
        4,
        "not 'loss'; if the name goes on, put quotes around it, as in \"my metric\" < 3",
    ),
    ("accuracy (norm) > 0.5", 10, "not '('; if the name goes on, put quotes around it"),
    ("loss <", 7, "a number must stand here, as in 0.6"),
    ("loss < three", 8, "a number must stand here, as in 0.6, not 'three'"),
    ("loss < nan", 8, "not 'nan'"),
    ("loss < inf", 8, "not 'inf'"),
    ("loss < -inf", 8, "a number must stand here"),
    ("loss < 1e999", 8, "1e999 is too large; write a number below 1e308"),
    ("loss < ٣", 8, "a number must stand here"),
    ("loss < 3 4", 10, "nothing may follow the bound, and here follows '4'"),
    ("loss < 3 # why", 10, "nothing may follow the bound"),
    ("loss < 2%", 9, "a percentage is allowed only after .rise or .drop"),
    ("loss < max(1, 2%)", 16, "a percentage is allowed only after .rise or .drop"),
    ("loss.rise < max(1, 2)", 13, "max must have a number and a percentage"),
    ("loss.rise < max(1%, 2%)", 13, "max must have a number and a percentage"),
    ("loss.rise < max 1, 2%", 17, "'(' is missing here"),
    ("loss.rise < max(1; 2%)", 18, "',' is missing here"),
    ("loss.rise < max(1, 2%", 22, "')' is missing here"),
    ("loss[] < 3", 6, "a selector is missing here; there are model, step, layer, site, domain"),
    ("loss[layr=1] < 3", 6, "no selector 'layr'; did you mean 'layer'?"),
    ("loss[x=1] < 3", 6, "no selector 'x'; there are model"),
    ("loss[step] < 3", 10, "= must follow step"),
    ("loss[model=] < 3", 12, "model needs a value, as in model=pythia-70m"),
    ('loss[model=""] < 3', 12, "the name of the model is empty"),
    ("loss[step=1,step=2] < 3", 13, "the selector step is given twice"),
    ("loss[step=1 layer=2] < 3", 13, "a comma or ] must follow a selector"),
    ("loss[step=lates] < 3", 11, "did you mean 'latest'?"),
    ("loss[step=:] < 3", 11, "':' are no steps; write latest, all, 1000"),
    ("loss[step=1:2:3] < 3", 11, "'1:2:3' are no steps"),
    ("loss[step=-5] < 3", 11, "'-5' are no steps"),
    ("loss[step=10:5] < 3", 11, "end before they begin"),
    ("loss[layer=-1] < 3", 12, "'-1' is no layer; write last, all or a number"),
    ("loss[layer=lst] < 3", 12, "did you mean 'last'?"),
    ("loss[domain=a].rise < 3", 15, "a relation stands before the selectors"),
    ("loss[domain=a", 14, "a comma or ] must follow a selector"),
    ("loss[domain=Moby Dick] < 3", 18, 'put quotes around names with spaces, as in domain="a b"'),
]


@pytest.mark.parametrize(("text", "rule"), FORMS)
def test_every_form_reads_and_is_written_again(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule
    assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize(("text", "at", "why"), MISTAKES)
def test_errors_of_rules_name_the_character(text: str, at: int, why: str) -> None:
    with pytest.raises(DegenError) as error:
        parse_rule(text)
    assert str(error.value).startswith(f'rule "{text}": character {at}: ')
    assert why in str(error.value)
    assert error.value.exit_code == 2


def assert_points(text: str, error: DegenError) -> None:
    message = str(error)
    assert len(message.splitlines()) == 1
    match = re.search(r'": character (\d+): \S', message, re.DOTALL)
    assert match, message
    assert 1 <= int(match[1]) <= len(text) + 1
    assert len(message) < 500


def test_three_hundred_rules_gone_wrong_are_errors_of_one_line() -> None:
    draw = random.Random(0)
    signs = ' \n\x00\x1b\x85\u2028\ud800"[](),.:<>=!%#0aé\\'
    seen: set[str] = set()
    while len(seen) < 300:
        text = draw.choice(FORMS)[0]
        for _ in range(draw.randint(1, 3)):
            at = draw.randint(0, len(text))
            text = text[:at] + draw.choice(["", draw.choice(signs)]) + text[at + draw.randint(0, 2) :]
        try:
            rule = parse_rule(text)
        except DegenError as error:
            assert_points(text, error)
            seen.add(text)
        else:
            assert parse_rule(str(rule)) == rule


@given(st.text(max_size=60))
def test_any_text_is_a_rule_or_an_error_of_one_line(text: str) -> None:
    try:
        rule = parse_rule(text)
    except DegenError as error:
        assert_points(text, error)
    else:
        assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize(
    "text", ["x" * 5000 + " <", "loss[step=" + "9" * 5000 + "] < 1", "loss < " + "9" * 5000, "(" * 5000]
)
def test_a_long_mistake_is_a_short_error(text: str) -> None:
    with pytest.raises(DegenError) as error:
        parse_rule(text)
    assert_points(text, error.value)


WORDS = st.text(min_size=1, max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
STEPS = st.one_of(
    st.sampled_from(["latest", "all"]),
    st.builds(lambda a, b: StepRange(min(a, b), max(a, b)), st.integers(0, 10**9), st.integers(0, 10**9)),
    st.builds(StepRange, st.integers(0, 10**9), st.none()),
    st.builds(StepRange, st.none(), st.integers(0, 10**9)),
)


@st.composite
def rules(draw: Any) -> Rule:
    relation = draw(st.sampled_from([None, "rise", "drop"]))
    bound = Bound(draw(NUMBERS))
    if relation is not None:
        bound = draw(st.sampled_from([bound, Bound(None, draw(NUMBERS)), Bound(bound.absolute, draw(NUMBERS))]))
    return Rule(
        draw(WORDS), draw(st.sampled_from(["<", "<=", ">", ">="])), bound, relation,
        model=draw(st.none() | WORDS), step=draw(STEPS),
        layer=draw(st.none() | st.sampled_from(["last", "all"]) | st.integers(0, 999)),
        site=draw(st.none() | WORDS), domain=draw(st.none() | WORDS),
    )  # fmt: skip


@given(rules())
def test_any_rule_is_parsed_from_its_text(rule: Rule) -> None:
    assert parse_rule(str(rule)) == rule


def test_bounds_of_both_kinds_are_the_larger() -> None:
    assert Bound(0.02, 1.0).of(-3.0) == pytest.approx(0.03)
    assert Bound(0.02, 1.0).of(1.0) == 0.02
    assert Bound(None, 2.0).of(5.0) == pytest.approx(0.1)
    assert [c for c in ("<", "<=", ">", ">=") if Rule("x", c, Bound(1.0)).keeps(1.0, 1.0)] == ["<=", ">="]
    assert not any(Rule("x", c, Bound(1.0)).keeps(float("nan"), 1.0) for c in ("<", "<=", ">", ">="))
