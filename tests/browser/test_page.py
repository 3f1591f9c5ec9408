"""The report in a real browser: no errors, no requests, rendered, usable by keyboard and on a phone.

Needs Chromium (``make test-report`` installs it on Debian); CALVARIA_CHROMIUM names another one.
"""

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from calvaria.report.page import write_report
from calvaria.stages import STAGES
from tests.unit.made_up import a_config, write_run

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Chromium's software renderer replaces a graphics card.
OPTIONS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 800}


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium."""
    named = os.environ.get("CALVARIA_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium found; `make test-report` installs one, or set CALVARIA_CHROMIUM")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync.sync_playwright() as play:
        started = play.chromium.launch(executable_path=found, args=list(OPTIONS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The report of a made-up run."""
    config = a_config()
    run = write_run(tmp_path_factory.mktemp("browser") / "run", config)
    write_report(run, config, [stage.name for stage in STAGES])
    return run.report


class Watched:
    """A page with its console errors and network requests."""

    def __init__(self, browser, report: Path, size: dict, script: str = "") -> None:
        self.page = browser.new_page(viewport=size)
        self.trouble: list[str] = []
        self.page.on("console", lambda said: said.type == "error" and self.trouble.append(said.text))
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("request", self._asked)
        if script:
            self.page.add_init_script(script)
        self.page.goto(report.as_uri())

    def _asked(self, request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.trouble.append(f"requested {request.url}")

    def drawn(self) -> None:
        """Wait until the 3-D view shows the selection."""
        self.page.locator("#viewer").scroll_into_view_if_needed()
        self.page.wait_for_selector("#viewer[data-state=drawn]", timeout=30_000)

    def pixels(self) -> np.ndarray:
        """Return the 3-D view as it is on the screen, (h, w, 3) int."""
        picture = self.page.locator("#viewer canvas").screenshot()
        return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def wide(browser, report):
    watched = Watched(browser, report, WIDE)
    watched.drawn()
    yield watched
    watched.page.close()


def changed(before: np.ndarray, after: np.ndarray) -> float:
    """Return the share of pixels that differ."""
    return float((np.abs(before - after).max(axis=-1) > 8).mean())


def test_the_3d_view_draws_and_says_what_it_draws(wide):
    picture = wide.pixels()
    assert (np.abs(picture - picture[3, 3]).max(axis=-1) > 20).mean() > 0.05
    assert "DSC" in wide.page.inner_text("#viewer [role=status]")
    assert "plain" in wide.page.inner_text("#viewer [name=arm]")
    assert not wide.page.is_visible("#viewer .still")


@pytest.mark.parametrize("name", ["bone", "predicted", "coloured", "glass"])
def test_every_switch_changes_the_picture_and_changes_it_back(wide, name):
    before = wide.pixels()
    for _ in range(2):
        wide.page.focus(f"#viewer [name={name}]")
        wide.page.keyboard.press("Space")
        wide.drawn()
        after = wide.pixels()
        assert changed(before, after) > 0.001
        before = after


def test_the_view_turns_and_zooms_by_keyboard_and_mouse(wide):
    before = wide.pixels()
    wide.page.focus("#viewer canvas")
    for key in ("ArrowLeft", "ArrowUp", "+"):
        wide.page.keyboard.press(key)
        wide.page.wait_for_timeout(150)
        after = wide.pixels()
        assert changed(before, after) > 0.005, key
        before = after
    box = wide.page.locator("#viewer canvas").bounding_box()
    wide.page.mouse.move(box["x"] + 200, box["y"] + 200)
    wide.page.mouse.down()
    wide.page.mouse.move(box["x"] + 300, box["y"] + 220, steps=3)
    wide.page.mouse.up()
    wide.page.wait_for_timeout(150)
    assert changed(before, wide.pixels()) > 0.005
    wide.page.click("#viewer [data-look=defect]")


def test_another_arm_is_shown_and_an_empty_prediction_is_said_to_be_one(wide):
    wide.page.select_option("#viewer [name=arm]", "plain")
    wide.drawn()
    said = []
    for value in range(wide.page.locator("#viewer [name=case] option").count()):
        wide.page.select_option("#viewer [name=case]", str(value))
        wide.drawn()
        said.append(wide.page.inner_text("#viewer [role=status]"))
    assert any("empty" in text for text in said)
    assert all(text.startswith("plain") for text in said)


def test_tables_sort_by_click_and_by_keyboard_and_back(wide):
    table = wide.page.locator("table.sortable").first
    title = table.locator("thead button").last  # empty predictions
    column = "rows => rows.map(row => row.cells[row.cells.length - 1].textContent.trim())"

    def values() -> list[str]:
        return table.locator("tbody tr").evaluate_all(column)

    first = values()
    assert first == ["1", "0"]
    title.click()
    assert values() == ["0", "1"]
    assert table.locator("[aria-sort=ascending]").count() == 1
    title.focus()
    wide.page.keyboard.press("Enter")
    assert values() == ["1", "0"]
    assert table.locator("[aria-sort=descending]").count() == 1
    wide.page.keyboard.press("Space")
    assert values() == first
    assert table.locator("[aria-sort]").count() == 0


def test_the_page_is_silent_and_needs_no_network(wide):
    assert wide.trouble == []


def test_nothing_is_wider_than_a_phone(browser, report):
    phone = Watched(browser, report, NARROW)
    phone.drawn()
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    assert phone.trouble == []
    phone.page.close()


def test_without_webgl_a_still_picture_stays_and_all_else_works(browser, report):
    bare = Watched(browser, report, WIDE, "HTMLCanvasElement.prototype.getContext = () => null")
    bare.page.locator("#viewer").scroll_into_view_if_needed()
    bare.page.wait_for_selector("#viewer[data-state=still]")
    assert bare.page.is_visible("#viewer .still img")
    assert not bare.page.is_visible("#viewer form")
    assert all("WebGL" in text for text in bare.trouble)
    assert bare.page.locator("thead button").count() > 10
    bare.page.close()


def test_it_prints_with_a_still_picture_in_place_of_the_view(wide):
    wide.page.emulate_media(media="print")
    assert wide.page.is_visible("#viewer .still img")
    assert not wide.page.is_visible("#viewer form")
    assert len(wide.page.pdf(format="A4")) > 10_000
    wide.page.emulate_media(media="screen")
