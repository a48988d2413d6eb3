"""Draw the README's picture, images/report.png: two figures of the demo's page, in a headless Chromium.

python docs/draw_picture.py RUN    (RUN: what bare `degen scan` wrote; after `make browser`, which installs playwright)
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import degen
from degen.report.write import write_page

PICTURE = Path(__file__).parent / "images" / "report.png"
WIDTH, MARGIN = 1180, 24  # CSS pixels


def draw(run: Path) -> None:
    """Write the picture of a run's page."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "report.html"
        write_page([degen.read_run(run)], page_file, lambda line: None)
        browser = playwright.chromium.launch(executable_path=chromium, chromium_sandbox=False)
        page = browser.new_page(viewport={"width": WIDTH, "height": 1000})
        page.goto(page_file.as_uri())
        page.wait_for_selector("html[data-drawn]", state="attached", timeout=240_000)
        first, second = (page.locator("section figure").nth(i).bounding_box() for i in (0, 1))
        assert first is not None
        assert second is not None
        top, bottom = first["y"] - MARGIN, second["y"] + second["height"]
        box = {"x": first["x"] - MARGIN, "y": top, "width": first["width"] + 2 * MARGIN, "height": bottom - top}
        PICTURE.parent.mkdir(exist_ok=True)
        page.screenshot(path=PICTURE, full_page=True, clip=box)
        browser.close()


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
