"""Verdicts as JUnit XML, which continuous integration shows as tests."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from .format import describe, place_of
from .judge import Outcome, Verdicts

# What XML 1.0 can say; the rest, such as most control characters and lone surrogates, it cannot even escape.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(verdicts: Verdicts) -> str:
    """Return a suite with one test case for every outcome.

    A rule that failed is a `failure`, one that is undecidable an `error`, and so is a checkpoint that could not be
    measured.

    Args:
        verdicts: what became of the rules.

    Returns:
        The document, with a line that says it is UTF-8.
    """
    counts = {
        "tests": str(len(verdicts.outcomes) + len(verdicts.incomplete)),
        "failures": str(verdicts.count("failed")),
        "errors": str(verdicts.count("undecidable") + len(verdicts.incomplete)),
        "skipped": "0",
    }
    suites = ElementTree.Element("testsuites", {"name": "degen gate", **counts})
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "degen gate", **counts})
    for outcome in verdicts.outcomes:
        _add_case(suite, verdicts.target, outcome)
    for name in verdicts.incomplete:
        case = {"classname": _xml_safe(verdicts.target), "name": _xml_safe(f"{name} is measured")}
        missing = ElementTree.SubElement(suite, "testcase", case)
        ElementTree.SubElement(missing, "error", {"message": "could not be measured", "type": "incomplete"})
    ElementTree.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suites, encoding="unicode")}\n'


def _add_case(suite: ElementTree.Element, target: str, outcome: Outcome) -> None:
    name = _xml_safe(f"{outcome.rule} at {place_of(outcome.figure)}")
    case = ElementTree.SubElement(suite, "testcase", {"classname": _xml_safe(target), "name": name})
    kinds = {"failed": "failure", "undecidable": "error"}
    text = _xml_safe(describe(outcome))
    if outcome.verdict in kinds:
        found = ElementTree.SubElement(case, kinds[outcome.verdict], {"message": text, "type": outcome.verdict})
        found.text = text
    else:
        ElementTree.SubElement(case, "system-out").text = text


def _xml_safe(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)
