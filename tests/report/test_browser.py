"""The pages as a browser shows them: nothing is cut off, nothing is fetched, dark mode is dark, the button copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import LUMINANCE, chromium, cut_off
from tests.report.conftest import make_run
from vlm_tsc.report import write_report

CUT_OFF = cut_off(".wide, .scroll, pre")


@pytest.fixture(scope="module")
def browser():
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    runs = tmp_path_factory.mktemp("runs")
    names = tuple(f"a class with the long name {i}" for i in range(30))
    one = make_run(runs, has_validation=True, class_names=names, n_cases=120)
    make_run(runs, seed=1)
    return {"one": write_report([one.path]), "several": write_report([runs])}


@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["one", "several"])
def test_it_fits_fetches_nothing_and_follows_the_scheme(browser, pages, name, scheme, width):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    fetched, told = [], []
    page.on("request", lambda request: fetched.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.goto(pages[name].as_uri())
    assert [url for url in fetched if not url.startswith(("file:", "data:"))] == [] and told == []
    assert page.evaluate(CUT_OFF) == [] and page.evaluate("document.documentElement.scrollWidth") <= width
    assert (page.evaluate(LUMINANCE) > 600) is (scheme == "light")
    page.close()


def test_the_button_copies_the_command_and_prompts_unfold(browser, pages):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(pages["one"].as_uri())
    page.click("button[data-copy]")
    page.wait_for_function("document.querySelector('button').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == page.text_content("#command")
    assert not page.locator("details pre").first.is_visible()
    page.click("details summary >> nth=0")
    assert page.locator("details pre").first.is_visible()
    context.close()


def test_it_prints(browser, pages):
    page = browser.new_page()
    for path in pages.values():
        page.goto(path.as_uri())
        assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()
