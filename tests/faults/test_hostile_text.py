"""Text as it is on the web, and names that would speak to a terminal or to a CI job."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path

import pytest
from faults.command import SMALL, CommandResult, degen
from hypothesis import given
from hypothesis import strategies as st
from tiny import library_texts

import degen as degen_package
from degen import read_run
from degen.printable import escape_json, printable

NAMES = {
    "a workflow command": "a\n::error::x",
    "a workflow command at once": "::error::x",
    "a command of Azure": "##[error]x",
    "colours": "a\x1b[31mred\x1b[0m",
    "a title of the terminal": "a\x1b]0;owned\x07",
    "a carriage return": "ok\rfailed",
    "a C1 control": "a\x9b31mred",
    "a turn of direction": "a\u202egpj.exe",
    "a line separator": "a\u2028::error::x",
    "half a character": "a\udcffb",
}
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def assert_nothing_is_obeyed(text: str) -> None:
    """No control character but ends of lines, and no line that a CI job would take for a command of the name's."""
    assert not OBEYED.search(text), repr(text)
    for line in text.splitlines():
        assert "##[" not in line
        if line.strip().startswith("::"):  # one of degen's own
            assert line.startswith("::error title=degen gate"), line


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory, series: Path) -> Path:
    """A series whose folders have such names: models whole, damaged, and a copy."""
    folder = tmp_path_factory.mktemp("named") / "\x1b[2Jseries"
    for i, name in enumerate(NAMES.values()):
        shutil.copytree(series / ("step0", "step100")[i % 2], folder / name)
        if i % 3 == 0:
            (folder / name / "config.json").write_text('{"model_type": "a\\u001b[31m\\n::error::y"}')
    return folder


def assert_silent(result: CommandResult) -> None:
    assert_nothing_is_obeyed(result.out)
    assert_nothing_is_obeyed(result.err)
    result.assert_no_fault()


def test_names_are_shown_and_never_obeyed(
    named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    usable = [p for p in sorted(named.iterdir()) if "\udcff" not in p.name]
    out, summary = tmp_path / "run", tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    scanned = degen("scan", *usable, "--probes", "spectrum", "--out", out)
    assert scanned.code == 4
    rule = ("--rule", "singular_entropy[step=all] < -1")
    for result in (
        scanned, degen("show", out), degen("show", out, "--json"), degen("scan", named, "--out", out),
        degen("scan", named, "--dry-run"), degen("audit", *usable), degen("audit", named, "--json"),
        degen("gate", out, *rule, "--github", "--junit", tmp_path / "junit.xml"),
        degen("gate", out, *rule, "--json"), degen("saturation", out, "--metric", "singular_entropy"),
        degen("export", out, "--table", "a\x1b[31m\n::error::x", "--to", tmp_path / "a.csv"),
        degen("export", out, "--table", "spectrum", "--to", tmp_path / "a\n::error::x.csv"),
        degen("scan", "a\n::error::x"), degen("gate", "nosuch\x1b[31m", *rule), degen("\x1b[31m"),
        degen("gate", out, "--rule", "loss\x1b[31m\n::error::x < 3"), degen("scan", "--tokens", "\x1b[31m"),
    ):  # fmt: skip
        assert_silent(result)
    assert_nothing_is_obeyed(summary.read_text())
    assert not OBEYED.search((tmp_path / "junit.xml").read_text())
    assert len(read_run(out).checkpoints()) == len(usable)
    with caplog.at_level(logging.INFO, "degen"):
        degen_package.scan([str(p) for p in usable], probes="spectrum", out=tmp_path / "again")
    assert "\\x3a:error" in caplog.text
    for record in caplog.records:
        assert_nothing_is_obeyed(record.getMessage())


def test_a_name_that_is_no_utf_8_is_a_message(named: Path, tmp_path: Path) -> None:
    result = degen("scan", named, "--probes", "spectrum", "--out", tmp_path / "run")
    assert_silent(result)
    assert result.code in (2, 4)


@given(st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_what_is_printed_controls_nothing(text: str) -> None:
    shown = printable(text)
    assert_nothing_is_obeyed(shown)
    assert "\n" not in shown
    assert printable(shown) == shown
    document = json.dumps({"name": text}, indent=2, ensure_ascii=False)
    assert json.loads(escape_json(document)) == json.loads(json.dumps({"name": text}))
    assert not OBEYED.search(escape_json(document))


def test_ordinary_names_are_printed_as_they_are() -> None:
    for name in ("step1000", "Ünïcödé", "Ελληνικά 日本語 😀", "loss[domain=Github]", "a:b", "σ² ≥ 1e-3", "\\x1b"):
        assert printable(name) == name


WEB = {
    "half a character": b'{"text": "LINE \\ud800 more"}',
    "the other half": b'{"text": "LINE \\udfff"}',
    "NUL": b'{"text": "a\\u0000b LINE"}',
    "CR": b'{"text": "a\\rb\\r\\nLINE"}\r',
    "a byte order mark": b'\xef\xbb\xbf{"text": "LINE"}',
    "an escape": b'{"text": "\\u001b[31mLINE"}',
    "a turn of direction": b'{"text": "\\u202eLINE"}',
    "a character beyond the first plane": b'{"text": "\\ud83d\\ude00LINE"}',
    "no character": b'{"text": "\\uffff LINE"}',
}


@pytest.mark.parametrize("kind", WEB)
def test_a_document_of_the_web_is_scanned_or_passed_over_and_counted(kind: str, series: Path, tmp_path: Path) -> None:
    words = [text[i : i + 400] for text in library_texts()[:2] for i in range(0, 4000, 400)]
    odd = WEB[kind].replace(b"LINE", b"some words of a document that is long enough to be a window of its own " * 3)
    lines = [json.dumps({"text": w}).encode() for w in words]
    corpus = tmp_path / "web.jsonl"
    corpus.write_bytes(b"\n".join([odd, *lines[:10], odd, *lines[10:]]) + b"\n")
    args = ("--tokens", 4096, "--context", 64, "--threads", 1, "--probes", "loss", "--steps", "0")
    result = degen("scan", series, "--corpus", corpus, *args, "--out", tmp_path / "run")
    assert result.code == 0
    assert_silent(result)
    info = read_run(tmp_path / "run").info["sample"]
    if kind in ("half a character", "the other half"):
        assert f"{corpus}: 2 documents passed over" in result.err
        assert re.search(r"the first is .*web.jsonl, line (1|12)", result.err)
        assert info["passed_over"] == 2
    else:
        assert "passed over, whose text" not in result.err
        assert "passed_over" not in info
        assert read_run(tmp_path / "run").checkpoints()[0]["loss"] > 0


def test_a_text_file_keeps_its_ends_of_lines_and_loses_its_byte_order_mark(tmp_path: Path) -> None:
    from degen.text.open_corpus import open_corpus

    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\x00")
    (document,) = open_corpus(str(tmp_path / "a.txt")).draw(0, 1)
    assert document.text == "one\r\ntwo\rthree\x00"


def test_a_corpus_of_nothing_but_halves_of_characters_is_a_message(series: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "web.jsonl"
    corpus.write_bytes(b'{"text": "\\ud800"}\n' * 5)
    result = degen("scan", series, "--corpus", corpus, *SMALL, "--out", tmp_path / "run")
    assert result.code == 2
    assert "no document has a sound text" in result.message
