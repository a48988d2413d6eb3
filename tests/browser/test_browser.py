"""Pages as a reader has them: drawn, silent, without any network, whole at every width, usable and accessible."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from browser.conftest import ROOT, SCREENSHOTS, Opened
from made_runs import make_run
from pages import Page

import degen
from degen.report.write import write_page

pytestmark = pytest.mark.browser
Open = Callable[..., AbstractContextManager[Opened]]
HOSTILE = ("</script><script>alert(1)</script>", "\"'><img src=x onerror=alert(2)>", "long" * 50, 'a,b "c"')
AXE = ROOT / "build" / "browser" / "node_modules" / "axe-core" / "axe.min.js"


def page_of(folder: Path, *runs: Path) -> Path:
    file = folder / "page.html"
    write_page([degen.read_run(run) for run in runs], file, lambda line: None)
    return file


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of the bundled series, with ranks."""
    folder = tmp_path_factory.mktemp("demo")
    degen.scan(
        None, probes=("loss", "anisotropy", "spectrum", "rank"), out=folder / "run", tokens=20_000,
        options={"rank": {"ranks": (4, 16), "methods": ("whitened",)}},
    )  # fmt: skip
    return page_of(folder, folder / "run")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a run with tokens, ranks and eight models."""
    folder = tmp_path_factory.mktemp("made")
    names = [f"EleutherAI/pythia-{size}" for size in ("14m", "31m", "70m", "160m", "410m", "1b", "1.4b", "2.8b")]
    return page_of(folder, make_run(folder / "run", names, 20, 12, ranks=(4, 16, 64), width=64))


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("which", ["demo", "made"])
def test_every_figure_is_drawn_in_silence(which: str, width: int, request: pytest.FixtureRequest, opened: Open) -> None:
    file = request.getfixturevalue(which)
    figures = Page(file.read_text(encoding="utf-8")).figures
    with opened(file, width) as page:
        for figure, marks in zip(figures, page.marks(), strict=True):
            assert marks["title"] == figure.title
            rows = len(figure.tables["values"])
            of_rows = max(
                marks["counts"].get("symbol", 0), marks["counts"].get("rect", 0), marks["counts"].get("line", 0)
            )
            assert of_rows >= rows, marks
        page.screenshot(f"{which}-{width}")
        assert page.faults() == []
        page.assert_silent(file)


@pytest.mark.parametrize("which", ["demo", "made"])
def test_the_print_is_whole(which: str, request: pytest.FixtureRequest, opened: Open) -> None:
    file = request.getfixturevalue(which)
    with opened(file, 794, "print") as page:  # A4 in pixels of 1/96 inch
        page.screenshot(f"{which}-print")
        assert page.faults() == []
        page.page.pdf(path=SCREENSHOTS / f"{which}.pdf", format="A4")
        page.assert_silent(file)


def test_a_click_on_a_legend_hides_the_model_everywhere_and_another_brings_it_back(demo: Path, opened: Open) -> None:
    with opened(demo) as page:
        before = page.marks()
        legend = page.page.locator("figure").first.locator(".role-legend-symbol path")
        legend.nth(1).click()
        page.page.wait_for_function("() => !document.querySelector('input[data-model=broken]').checked")
        page.settle()
        for was, now in zip(before, page.marks(), strict=True):
            assert now["models"] == {model: n for model, n in was["models"].items() if model != "broken"}
        legend.nth(1).click()
        page.page.wait_for_function("() => document.querySelector('input[data-model=broken]').checked")
        page.settle()
        assert page.marks() == before
        page.assert_silent(demo)


def test_a_box_hides_the_model_from_the_keyboard(demo: Path, opened: Open) -> None:
    with opened(demo) as page:
        page.page.focus("input[data-model=overfit]")
        page.page.keyboard.press("Space")
        page.settle()
        marks = page.marks()
        assert marks[0]["models"].keys() == {"healthy", "broken"}


def test_training_is_counted_in_tokens_and_on_a_logarithm(made: Path, opened: Open) -> None:
    with opened(made) as page:
        before = page.marks()[0]
        for choice, title in (("tokens", "training tokens"), ("log", "training tokens")):
            page.page.check(f"input[value={choice}]")
            page.page.wait_for_function(
                "(title) => [...document.querySelectorAll('figure[data-over-training]')].every((figure) => "
                "figure.querySelector('svg').textContent.includes(title))", arg=title,
            )  # fmt: skip
        assert {m["title"]: m["counts"] for m in page.marks()}["Loss"] == before["counts"]
        page.screenshot("made-tokens-log")
        assert page.faults() == []
        page.assert_silent(made)


def test_hovering_tells_the_value(demo: Path, opened: Open) -> None:
    with opened(demo) as page:
        page.page.locator("figure").first.locator(".mark-symbol.role-mark path").last.hover()
        text = page.page.locator("#vg-tooltip-element.visible").inner_text()
        assert "model" in text
        assert "loss (nats/token)" in text


def test_hostile_names_harm_nothing(tmp_path: Path, opened: Open) -> None:
    run = make_run(tmp_path / "<img src=x onerror=alert(3)> run", HOSTILE, 6, 2, ranks=(1, 4))
    file = page_of(tmp_path, run)
    for width in (1280, 390):
        with opened(file, width) as page:
            page.screenshot(f"hostile-{width}")
            assert page.faults() == []
            page.page.locator("figure").first.locator(".role-legend-symbol path").first.click()
            page.page.locator("figure").first.locator(".mark-symbol.role-mark path").last.hover()
            assert page.page.locator("main img").count() == 0
            page.assert_silent(file)


def test_axe_finds_no_serious_fault(demo: Path, opened: Open) -> None:
    with opened(demo) as page:
        for details in page.page.locator("details").all():
            details.evaluate("(element) => { element.open = true; }")
        page.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = page.page.evaluate(
            "async () => (await axe.run()).violations.map((v) => [v.impact, v.id, v.nodes[0].html])"
        )
        assert [violation for violation in found if violation[0] in ("serious", "critical")] == []


def test_a_page_of_fifty_thousand_cells_is_small_and_scrolls(tmp_path: Path, opened: Open) -> None:
    names = [f"EleutherAI/pythia-{i}" for i in range(10)]
    run = make_run(tmp_path / "run", names, 154, 32, windows=40, width=768)
    file = page_of(tmp_path, run)
    assert file.stat().st_size < 8e6
    with opened(file) as page:
        maps = [marks for marks in page.marks() if marks["title"].startswith("Anisotropy by depth")]
        assert [marks["counts"]["rect"] for marks in maps] == [154 * 34] * 10
        page.page.keyboard.press("End")
        page.page.wait_for_function("() => window.scrollY + window.innerHeight >= document.body.scrollHeight - 100")
        assert page.faults() == []
        page.assert_silent(file)
