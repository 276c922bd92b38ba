"""A headless Chromium for the tests of pages, and a page that watches itself: errors, and every request it makes."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
Opened = Callable[..., Any]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    found = os.environ.get("ROPEWALK_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no Chromium: set ROPEWALK_CHROMIUM to one, or install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, headless=True, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any, tmp_path: Path) -> Iterator[Opened]:
    """open_page(html or address, width=, height=, **context) -> a Playwright page; nothing may go wrong on it."""
    contexts, troubles = [], []

    def opened(
        source: str, width: int = 1200, height: int = 800, expect_errors: bool = False, **how: Any
    ) -> Any:
        how.setdefault("reduced_motion", "reduce")
        context = chromium.new_context(viewport={"width": width, "height": height}, **how)
        contexts.append(context)
        context.set_default_timeout(90_000)  # a machine in use may be slow; nothing waits that long otherwise
        page = context.new_page()
        page.requests = []
        page.on("request", lambda request: page.requests.append(request.url))
        if not expect_errors:
            page.on("console", lambda m: troubles.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        if source.startswith("http"):
            page.goto(source)
        else:
            path = tmp_path / f"page{len(contexts)}.html"
            path.write_text(source, encoding="utf-8")
            page.goto(path.as_uri())
        page.wait_for_function("() => window.ropewalk")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []
