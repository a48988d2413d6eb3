"""JUnit XML and what GitHub shows, whatever names are in it."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degen.gate import Outcome, Verdicts, parse_rule
from degen.gate.github import MOST, SHOWN, annotations, in_github, step_summary
from degen.gate.junit import junit_xml
from degen.gate.metric_values import MetricValue
from degen.gate.rule import Bound, Rule

NASTY = "a%0A,b:c::d\"e'<f>&|`g`\n::warning::h\r\x00\x1b[31m\ud800\ufffe]]>é"


def outcome(
    verdict: Any = "failed", name: str = "m", rule: Rule | None = None, value: float | None = 0.7, **more: Any
) -> Outcome:
    measured = MetricValue(name, "step5", 5, more.pop("place", None), value, 0.01)
    return Outcome(rule or parse_rule("x < 0.6"), verdict, measured, 0.6, None, None, -0.1, more.pop("reason", None))


def test_every_outcome_is_a_test_case() -> None:
    verdicts = Verdicts(
        "run",
        (outcome(), outcome("undecidable", value=None, reason="is NaN"), outcome("passed", "n", place="layer 2 block")),
        ("m@step9",),
    )
    suite = ElementTree.fromstring(junit_xml(verdicts))
    (inner,) = suite.findall("testsuite")
    assert (inner.get("tests"), inner.get("failures"), inner.get("errors")) == ("4", "1", "2")
    failed, undecidable, passed, incomplete = inner.findall("testcase")
    assert failed.get("name") == "x < 0.6 at m step 5"
    assert failed.get("classname") == "run"
    assert [child.tag for child in failed] == ["failure"]
    assert failed[0].get("message") == "0.7 ± 0.01 fails < 0.6"
    assert [child.tag for child in undecidable] == ["error"]
    assert undecidable[0].get("message") == "is NaN"
    assert [child.tag for child in passed] == ["system-out"]
    assert passed.get("name") == "x < 0.6 at n step 5, layer 2 block"
    assert incomplete.get("name") == "m@step9 is measured"
    assert [(child.tag, child.get("type")) for child in incomplete] == [("error", "incomplete")]


@pytest.mark.parametrize("verdict", ["failed", "undecidable", "passed"])
def test_xml_is_valid_with_any_name(verdict: str) -> None:
    rule = Rule(NASTY, "<", Bound(0.6), model=NASTY)
    verdicts = Verdicts(NASTY, (outcome(verdict, NASTY, rule, place=NASTY, reason=NASTY),), (NASTY,))
    text = junit_xml(verdicts)
    element = ElementTree.fromstring(text.encode("utf-8")).find("testsuite/testcase")
    assert "a%0A,b:c::d\"e'<f>&|`g`\n::warning::h" in str(element.get("name"))
    assert "\ufffd[31m" in str(element.get("name"))


@given(st.text())
def test_xml_is_valid_with_any_text(text: str) -> None:
    made = junit_xml(Verdicts(text, (outcome(name=text, reason=text),)))
    assert len(ElementTree.fromstring(made.encode("utf-8")).findall("testsuite/testcase")) == 1


def test_annotations_are_ten_at_most_and_of_every_rule_the_worst_first() -> None:
    outcomes = [outcome(rule=parse_rule("x < 0.6"), name=f"m{i}") for i in range(30)]
    other = outcome(rule=parse_rule("y < 0.6"))
    unknown = outcome("undecidable", value=None, reason="is NaN", rule=parse_rule("z < 0.6"))
    lines = annotations(Verdicts("run", (*outcomes, other, unknown, outcome("passed"))))
    assert len(lines) == MOST == 10
    assert lines[0] == "::error title=degen gate%3A failed::x < 0.6 at m0 step 5: 0.7 ± 0.01 fails < 0.6"
    assert "::y < 0.6 at m step 5" in lines[1]
    assert "::x < 0.6 at m1 " in lines[2]
    assert annotations(Verdicts("run", (unknown,))) == [
        "::error title=degen gate%3A undecidable::z < 0.6 at m step 5: is NaN"
    ]
    assert annotations(Verdicts("run", (outcome("passed"),))) == []
    (line,) = annotations(Verdicts("run", (outcome("passed"),), ("m@step9",)))
    assert line == "::error title=degen gate%3A incomplete::not measured: m@step9"


def test_workflow_commands_cannot_be_forged() -> None:
    rule = Rule(NASTY, "<", Bound(0.6))
    (line,) = annotations(Verdicts(NASTY, (outcome(name=NASTY, rule=rule, place=NASTY, reason=NASTY),)))
    assert "\n" not in line
    assert "\r" not in line
    head, _, message = line.removeprefix("::error ").partition("::")
    assert head == "title=degen gate%3A failed"
    assert "a%250A" in message
    assert "%0A::warning::h%0D" in message  # in the message, where no line begins
    assert not re.search(r"%(?!25|0A|0D)", message)


def test_the_summary_is_one_table() -> None:
    rule = Rule(NASTY, "<", Bound(0.6))
    rise = MetricValue("m", "step5", 5, None, 3.1, 0.1, None, 3.0, 4, 0.1, 0.01)
    verdicts = Verdicts(
        NASTY,
        (
            outcome(name=NASTY, rule=rule, place=NASTY, reason=NASTY),
            Outcome(parse_rule("x.rise < 1%"), "failed", rise, 0.03, None, None, -0.07, None),
        ),
        (NASTY,),
    )
    lines = step_summary(verdicts).splitlines()
    assert lines[0] == "### degen gate: failed"
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 4
    for row in table:
        assert len(re.findall(r"(?<!\\)\|", row)) == 10
    assert "+0.1 ± 0.01" in table[3]
    assert "3.1 against 3 at step 4" in table[3]
    assert not any(re.search(r"(?<!\\)[<`]", line) for line in lines)


def test_a_summary_of_many_outcomes_stays_small() -> None:
    verdicts = Verdicts("run", tuple(outcome(name=f"m{i}") for i in range(9000)), tuple(f"m@{i}" for i in range(9000)))
    summary = step_summary(verdicts)
    assert len(summary.encode()) < 100_000
    assert summary.count("| failed |") == SHOWN
    assert f"… and {9000 - SHOWN} more" in summary


def test_the_environment_tells_whether_it_is_github() -> None:
    assert in_github({"GITHUB_ACTIONS": "true"})
    assert not in_github({})
    assert not in_github({"GITHUB_ACTIONS": "false"})
