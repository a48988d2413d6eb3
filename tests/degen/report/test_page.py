"""The page of a run: whole and valid without a browser, its numbers those of the run, hostile names harmless."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Any

import altair
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import make_run
from pages import Page, fields_of

import degen
from degen.report.page import build_page, csv_text, escape_script
from degen.report.registry import FIRST, LAST
from degen.tables import Column, file_name, schema_of, write_part

HOSTILE = ("</script><script>alert(1)</script>", "\"'><img src=x onerror=alert(2)>", "x" * 200, 'a,b\nc"d', "=1+1")


def page_of(*folders: Path) -> Page:
    return Page(build_page([degen.read_run(folder) for folder in folders]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made") / "run", ranks=(1, 4, 16))


@pytest.fixture(scope="module")
def page(made: Path) -> Page:
    return page_of(made)


def test_every_section_has_its_figures(page: Page) -> None:
    titles = {figure.title for figure in page.figures}
    assert titles == {
        "Loss", "Anisotropy of the last layer", "Singular entropy of the head", "Bottleneck rank",
        "Anisotropy by depth: good", "Anisotropy by depth: bad", "Spectrum of the head: good",
        "Spectrum of the head: bad", "Loss above the full head", "W-error of the head", "Loss on books", "Loss on code",
    }  # fmt: skip
    shown = {title for level, title in page.headings if level == "h2"}
    assert shown >= {"What happened", "Over training", "By depth", "Duplicates and failures"}


def test_specifications_are_valid_and_draw_columns_that_are_there(page: Page) -> None:
    for figure in page.figures:
        altair.Chart.from_dict(figure.spec, validate=True)
        for table, fields in fields_of(figure.spec).items():
            rows = figure.tables[table]
            assert rows, figure.title
            known = set(rows[0])
            lacking = fields - known
            assert lacking <= {"tokens", "low", "high", "tokens_low", "tokens_high"}, (figure.title, lacking)


def test_figures_have_words_and_numbers_behind_them(page: Page) -> None:
    assert len(page.figures) == 12
    for figure in page.figures:
        assert len(figure.description.split()) >= 8
        assert figure.spec["description"] == figure.description
        assert all(figure.tables.values())


def test_curves_are_those_of_the_run(page: Page, made: Path) -> None:
    drawn = next(figure for figure in page.figures if figure.title == "Loss").tables["values"]
    rows = degen.read_run(made).checkpoints()
    assert [(row["model"], int(row["step"])) for row in drawn] == [(row["model"], row["step"]) for row in rows]
    assert [float(row["value"]) for row in drawn] == pytest.approx([row["loss"] for row in rows], rel=1e-5)
    assert all(float(row["low"]) < float(row["value"]) < float(row["high"]) for row in drawn)
    reach = float(drawn[0]["high"]) - float(drawn[0]["value"])
    assert reach == pytest.approx(2.0227 * 0.02, rel=1e-3)  # Student's t of 39 degrees of freedom


def test_heat_map_has_a_cell_for_every_layer_and_checkpoint(page: Page, made: Path) -> None:
    drawn = next(figure for figure in page.figures if figure.title == "Anisotropy by depth: bad").tables["values"]
    rows = [row for row in degen.read_run(made).table("layers").to_pylist() if row["model"] == "bad"]
    assert [float(row["value"]) for row in drawn] == pytest.approx([row["anisotropy"] for row in rows], rel=1e-5)
    assert [row["layer"] for row in drawn][:5] == ["0 embedding", "1", "2", "3", "3 head input"]


def test_a_model_that_breaks_is_told_from_one_that_does_not(page: Page) -> None:
    assert re.search(r"good\s+did not get worse\.", page.text)
    assert re.search(r"bad\s+broke from step [\d,]+ on \(between [\d,]+ and [\d,]+\)", page.text)
    assert "got worse and stayed worse" in page.text
    onsets = next(figure for figure in page.figures if figure.title == "Loss").tables["onsets"]
    assert [row["model"] for row in onsets] == ["bad"]
    assert 4000 <= int(onsets[0]["step_low"]) <= 6000 <= int(onsets[0]["step_high"]) <= 8000


def test_the_page_asks_nothing_of_any_network(made: Path, page: Page) -> None:
    html = build_page([degen.read_run(made)])
    assert all(link.startswith(("#", "data:,")) for link in page.links)
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert len(policy) == 1
    assert "default-src &#39;none&#39;" in policy[0] or "default-src 'none'" in policy[0]
    for script in page.scripts:
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy[0].replace("&#43;", "+")
    assert len(html.encode()) < 3e6


def test_ids_and_headings_are_in_order(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    levels = [int(level[1]) for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_hostile_names_are_text(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "<b>run", HOSTILE, 4, 2, ranks=(1, 4))
    html = build_page([degen.read_run(folder)])
    page = Page(html)  # checks that elements are closed in order
    assert len(page.scripts) == 2
    assert page.tags.count("img") == page.tags.count("b") == 0
    assert "alert(1)</script>" in page.text
    loss = next(figure for figure in page.figures if figure.title == "Loss")
    names = list(dict.fromkeys(row["model"] for row in loss.tables["values"]))
    assert len(names) == len(HOSTILE)
    assert names == loss.spec["layer"][-1]["encoding"]["color"]["scale"]["domain"]
    assert max(map(len, names)) <= 60


def test_a_table_without_a_section_gets_a_plain_one(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", ("good",), 3, 2)
    schema = schema_of([Column("model", "string", "", "label"), Column("share", "float64", "%", "of the <own> probe")])
    write_part(folder / "own_table" / f"{file_name('good')}.parquet", schema, [{"model": "good", "share": 12.5}], {})
    page = page_of(folder)
    assert ("h2", "Table own_table") in page.headings
    assert "12.5" in page.text
    assert "of the <own> probe (%)" in page.text


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", ("good", "bad"), 4, 2, tables=("checkpoints",))
    path = folder / "checkpoints" / "bad" / "step3000.parquet"
    part = pq.read_table(path)
    for name, value in (("status", "failed"), ("reason", "NaN in <weights>"), ("loss", None)):
        i = part.schema.get_field_index(name)
        part = part.set_column(i, part.schema.field(i), pa.array([value], part.schema.field(i).type))
    pq.write_table(part, path)
    page = page_of(folder)
    assert "1 checkpoint failed" in page.text
    assert "NaN in <weights>" in page.text
    assert "loss at restricted rank of the head: degen scan … --probes rank" in page.text


def test_a_run_of_heads_alone_has_a_page(series: Path, tmp_path: Path) -> None:
    run = degen.scan(series, probes=("spectrum",), out=tmp_path / "run")
    page = Page(build_page([run]))
    assert "Singular entropy of the head" in {figure.title for figure in page.figures}
    assert "The loss: scan with a corpus" in page.text


def test_the_command_of_a_real_run_makes_it_again(run: degen.Run) -> None:
    html = build_page([run])
    command = re.search(r"<code>(degen scan [^<]*)</code>", html)
    assert command is not None
    for words in ("--tokens 512", "--context 32", "--threads 1", f"-o {run.path}"):
        assert words in command[1]


def test_sections_name_tables_and_have_anchors_of_their_own() -> None:
    sections = (*FIRST, *LAST)
    assert len({section.name for section in sections}) == len(sections)
    assert {section.table for section in sections} >= {"checkpoints", "layers", "windows", "spectrum", "ranks"}


@given(st.text(), st.text())
def test_script_data_survives_escaping(key: str, value: str) -> None:
    escaped = escape_script(json.dumps({key: value}, ensure_ascii=False))
    assert json.loads(escaped) == {key: value}
    assert not set(escaped) & set("<>&\u2028\u2029")


@pytest.mark.parametrize("value", [None, True, 3, 0.1, float("nan"), 'a"b', "a\nb"])
def test_csv_of_a_page_is_one_line_a_row(value: Any) -> None:
    assert csv_text(["x"], [{"x": value}]).count("\n") == 2


def test_what_the_head_receives_stands_by_domain_at_the_last_checkpoint(run: degen.Run) -> None:
    html = build_page([run])
    assert "What the head of tiny receives, by domain, at step1000" in html
    (row,) = [r for r in run.table("domains").to_pylist() if r["revision"] == "step1000" and r["domain"] == "Github"
              and r["site"] == "head_input"]  # fmt: skip
    found = re.search(r"<tr>\s*<t[dh][^>]*>Github.*?</tr>", html, re.DOTALL)
    assert found is not None
    assert f"{row['max_activation']:.4g}" in found[0]
