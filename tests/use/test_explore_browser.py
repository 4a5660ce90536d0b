"""The explorer as a person uses it, in a browser: every flow, on a wide screen and on a phone, light and dark."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.browser import LUMINANCE, chromium, cut_off, expect
from tests.report.conftest import make_run
from vlm_tsc.archive.store import read_splits
from vlm_tsc.evaluate.predictions import read_predictions
from vlm_tsc.use.address import listening
from vlm_tsc.use.explorer.app import make_app
from vlm_tsc.use.explorer.asking import open_model
from vlm_tsc.use.explorer.model_thread import ModelThread

CUT_OFF = cut_off(".wide, .scroll, pre, select")
DROP = """([area, text]) => {
    const data = new DataTransfer();
    data.items.add(new File([text], "new.csv", {type: "text/csv"}));
    area.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
}"""
CASE = "test-00003"


@pytest.fixture(scope="module")
def browser():
    with chromium() as launched:
        yield launched


@contextmanager
def explorer(folder: Path) -> Iterator[str]:
    """The address of an explorer over a folder."""
    import uvicorn

    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        app = make_app(folder.resolve(), ModelThread(lambda run: open_model(run, {})), "127.0.0.1", port)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(scope="module")
def runs(a_run, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browsed") / "runs"
    shutil.copytree(a_run.path, folder / "mine" / "r")
    names = tuple(f"a class with the long name {i}" for i in range(12))
    for seed in (0, 1):
        make_run(folder, seed=seed, class_names=names, n_cases=240, skill=1.0)
    make_run(folder, dataset="ADatasetWithALongName" * 3)
    return folder


@pytest.fixture(scope="module")
def address(runs):
    with explorer(runs) as address:
        yield address


@pytest.fixture
def page(browser):
    """A page; that it fetched from elsewhere, or complained, is an error."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(30_000)
    fetched, told = [], []
    page.on("request", lambda request: fetched.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    yield page
    page.close()
    assert [url for url in fetched if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))] == []
    assert [text for text in told if "status of 400" not in text] == []


def wrong_ids(runs: Path, seed: int = 0) -> list[str]:
    rows = read_predictions(runs / f"Waves/model-seed{seed}/predictions.jsonl")
    return [row.id for row in rows if row.true != row.predicted]


def names_on(page) -> list[str]:
    page.wait_for_load_state()  # a click returns while the next page is still coming in
    return page.locator("span.name").all_text_contents()


def test_a_run_is_picked_filtered_paged_and_opened(page, address, runs):
    wrong = wrong_ids(runs)
    page.goto(address)
    page.click("section[aria-label=Waves] a >> nth=0")
    page.select_option("select[name=show]", "wrong")
    page.wait_for_url("**show=wrong**")
    assert names_on(page) == wrong[:24]
    page.click("text=Next ›")
    assert names_on(page) == wrong[24:48]
    page.keyboard.press("ArrowLeft")
    expect(page.locator("span.name").first).to_have_text(wrong[0])
    page.click(f"text={wrong[0]}")
    assert page.text_content("h1").startswith(wrong[0])
    assert page.evaluate("document.querySelector('.sheet img').naturalWidth") == 48
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**{wrong[1]}**")


def test_a_case_shows_its_tokens_and_what_mattered(page, address):
    page.goto(f"{address}/case?run=mine/r&id={CASE}")
    page.click("text=Show its tokens")
    page.wait_for_selector(".token.picture")
    page.click("button:has-text('Show what mattered')")
    page.wait_for_selector("#map svg polygon, #map svg polyline")
    assert "nats less likely" in page.text_content("#map") and page.locator("#map polyline.series").count() == 1


def test_another_question_and_picture_are_tried_and_marked(page, address):
    page.goto(f"{address}/case?run=mine/r&id={CASE}")
    page.select_option("select[name=mode]", "IMAGE_ONLY")
    page.click("text=Write the question anew")
    expect(page.locator("textarea").first).not_to_have_value(re.compile("Values"))
    page.select_option("select[name=limits]", "case")
    page.click("button:text-is('Ask')")
    page.wait_for_selector("#reply .warning")
    assert "Not the run's own answer: the question and the picture" in " ".join(page.text_content("#reply").split())
    page.fill("textarea", "")
    page.evaluate("document.querySelector('textarea').required = false")
    page.click("button:text-is('Ask')")
    page.wait_for_selector("#reply .problem")
    assert "this is no question" in page.text_content("#reply")


def test_a_file_is_dropped_and_classified(page, address, a_run):
    values = read_splits(a_run.series).test.X[0, 0].tolist()
    page.goto(f"{address}/cases?run=mine/r")
    page.click("text=Classify new series")
    page.evaluate(DROP, [page.query_selector("textarea"), ",".join(map(str, values))])
    expect(page.locator("textarea").first).to_have_value(re.compile(".{20,}"))
    page.click("button:text-is('Classify')")
    page.wait_for_selector("#answers h3")
    assert page.text_content("#answers h3 strong") in ("up", "down")
    assert page.locator("#answers svg polyline.series").count() == 1


def test_two_runs_are_compared_case_by_case(page, address, runs):
    page.goto(f"{address}/cases?run=Waves/model-seed0")
    page.click("button:text-is('Compare')")
    page.click("text=neither is right")
    both = set(wrong_ids(runs, 1))
    assert names_on(page) == [one for one in wrong_ids(runs) if one in both][:24]


def test_an_empty_folder_and_a_broken_run_are_told_of(page, tmp_path):
    (tmp_path / "runs").mkdir()
    with explorer(tmp_path / "runs") as address:
        page.goto(address)
        assert "There is no run in this folder yet" in page.text_content("main")
        run = make_run(tmp_path / "runs", n_cases=6)
        run.predictions.write_text("{broken\n")
        page.reload()
        page.click("text=model-seed0")
        assert "line 1" in page.text_content(".problem")
        run.metrics.unlink()
        page.goto(address)
        assert "not finished" in page.text_content(".problem") and "Traceback" not in page.content()


PLACES = {
    "runs": "/",
    "cases": "/cases?run=Waves/model-seed0",
    "case": "/case?run=Waves/model-seed0&id=test-00000",
    "asked": f"/case?run=mine/r&id={CASE}",
    "compare": "/compare?run=Waves/model-seed0&with=Waves/model-seed1",
    "classify": "/classify?run=mine/r",
    "problem": "/cases?run=none",
}


@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_and_follows_the_scheme(browser, address, scheme, width):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    for name, place in PLACES.items():
        page.goto(address + place)
        if name == "asked":
            page.click("text=Show its tokens")
            page.wait_for_selector(".token.picture")
        assert page.evaluate(CUT_OFF) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert (page.evaluate(LUMINANCE) > 600) is (scheme == "light"), name
    page.close()
