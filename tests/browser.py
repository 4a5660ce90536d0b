"""A browser for tests of pages, and what they ask of a page; without Playwright its importers are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")
expect = playwright.expect  # waits; `wait_for_function` polls by `eval`, which the pages' policy forbids
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
LUMINANCE = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number).reduce((a, b) => a + b)"


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser that has no window; its caller is skipped where there is none."""
    with playwright.sync_playwright() as started:
        try:  # without a path: the browser that Playwright has installed itself
            launched = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        except playwright.Error:
            pytest.skip("there is no Chromium that starts: apt-get install chromium, or playwright install chromium")
        yield launched
        launched.close()


def cut_off(scrolls: str) -> str:
    """JavaScript for the elements that end right of the window, but for those inside one of the selector `scrolls`."""
    return f"""[...document.querySelectorAll("body *")]
        .filter(one => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest("{scrolls}"))
        .map(one => one.outerHTML)"""
