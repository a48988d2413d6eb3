"""Pages of `degen report` in a headless Chromium, with everything watched that they say or ask for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "browser"
MARKS, FAULTS = ((Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("marks.js", "faults.js"))


class Opened:
    """A page that is open.

    Attributes:
        page: Playwright's.
        messages: what it wrote to the console, and its errors.
        requests: every address that it asked for, itself first.
        dialogs: messages of boxes that it opened.
    """

    def __init__(self, page: Any, file: Path) -> None:
        self.page = page
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-drawn]", state="attached", timeout=240_000)

    def marks(self) -> list[dict[str, Any]]:
        """Return how many marks each figure has by kind, and how many points of each model."""
        found: list[dict[str, Any]] = self.page.evaluate(MARKS)
        return found

    def settle(self) -> None:
        """Wait until every figure shows what was asked of it."""
        self.page.evaluate(
            "async () => { for (const entry of window.degenViews.values()) await entry.view.runAsync(); }"
        )

    def faults(self) -> list[str]:
        """Return what is cut off or lies on each other."""
        found: list[str] = self.page.evaluate(FAULTS)
        return found

    def screenshot(self, name: str) -> None:
        """Keep a picture of the whole page, to be looked at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def assert_silent(self, file: Path) -> None:
        """Check that the page wrote nothing to the console and asked for nothing but itself."""
        assert self.messages == []
        assert self.dialogs == []
        assert [url for url in self.requests if not url.startswith(("data:", "blob:"))] == [file.as_uri()]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Yield a browser: that of the environment variable CHROMIUM, or the system's."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert path is not None, "no chromium; apt-get install chromium, or name one in CHROMIUM"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, chromium_sandbox=False)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Any) -> Any:
    """Return a context manager that opens a file at a width."""

    @contextmanager
    def open_page(file: Path, width: int = 1280, media: str = "screen") -> Iterator[Opened]:
        context = chromium.new_context(viewport={"width": width, "height": 900}, offline=True)
        page = context.new_page()
        page.emulate_media(media=media)
        yield Opened(page, file)
        context.close()

    return open_page
