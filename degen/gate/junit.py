"""Verdicts as JUnit XML, which continuous integration shows as tests."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from .format import describe, format_location
from .judge import Verdicts

# Characters that XML 1.0 cannot even escape, most control characters and lone surrogates; and others that a terminal
# obeys.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def junit_xml(verdicts: Verdicts) -> str:
    """Return an XML document with a test case for every outcome and every checkpoint that could not be measured.

    A rule that failed is a `failure`; an undecidable one and an unmeasured checkpoint are an `error`. The encoding is
    UTF-8.
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
        case = _add_case(suite, verdicts.target, f"{outcome.rule} at {format_location(outcome.measured)}")
        text = _xml_safe(describe(outcome))
        tag = {"failed": "failure", "undecidable": "error", "passed": "system-out"}[outcome.verdict]
        attributes = {} if outcome.verdict == "passed" else {"message": text, "type": outcome.verdict}
        ElementTree.SubElement(case, tag, attributes).text = text
    for name in verdicts.incomplete:
        case = _add_case(suite, verdicts.target, f"{name} is measured")
        ElementTree.SubElement(case, "error", {"message": "could not be measured", "type": "incomplete"})
    ElementTree.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suites, encoding="unicode")}\n'


def _add_case(suite: ElementTree.Element, target: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", {"classname": _xml_safe(target), "name": _xml_safe(name)})


def _xml_safe(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)
