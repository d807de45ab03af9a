"""The report page in a browser, from disk: slider, hover, keyboard, phone width, and no request beyond the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ardcube.extent.grid import Grid
from ardcube.planning.jobs import ChunkKey
from ardcube.report.html.write import write_page
from tests.ardcube.report.reported_cube import make

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ERROR = "SceneError: scene S2A_1</script><img src=x onerror=alert(1)>: the file is truncated"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of three months of 4 x 6 chunks, of which one failed and one was not built."""
    folder = tmp_path_factory.mktemp("report")
    made = make(folder, errors={ChunkKey("2023-02", 1, 2): ERROR}, missing=[ChunkKey("2023-03", 3, 5)])
    write_page(made.place, {}, made.ledger, made.cube, folder / "page.html")
    return folder / "page.html"


@pytest.fixture(scope="module")
def long_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 70 months of one chunk."""
    folder = tmp_path_factory.mktemp("long-report")
    grid = Grid.from_bounds((500_000.0, 5_180_000.0, 500_320.0, 5_180_320.0), 20.0, "EPSG:32633")
    made = make(folder, grid=grid, months=70)
    write_page(made.place, {}, made.ledger, made.cube, folder / "page.html")
    return folder / "page.html"


@pytest.fixture
def opened(page: Page, report: Path) -> Iterator[Page]:
    """Open the page; fail after the test if it logged an error or requested anything but itself."""
    requested, problems = list[str](), list[str]()
    page.on("request", lambda request: requested.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.goto(report.as_uri())
    yield page
    assert [url for url in requested if not url.startswith("data:image/webp;base64,")] == [report.as_uri()]
    assert problems == []


def point(page: Page, selector: str, x: float, y: float) -> None:
    """Move the mouse to a place of an element, given as shares of its width and height."""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])


def test_the_slider_changes_picture_map_and_numbers(opened: Page, picture: Callable[[str], Path]) -> None:
    slider, label, shown = (
        opened.get_by_role("slider", name="Period"),
        opened.locator("#label"),
        opened.locator("#picture"),
    )
    expect(label).to_have_text("2023-03 2023-03-01 to 2023-03-31")
    expect(shown).to_have_attribute("alt", "Composite of 2023-03, 2023-03-01 to 2023-03-31")
    last, map_before = shown.get_attribute("src"), opened.locator("#map").screenshot()
    slider.focus()
    opened.keyboard.press("ArrowLeft")
    expect(label).to_have_text("2023-02 2023-02-01 to 2023-02-28")
    assert shown.get_attribute("src") != last
    assert shown.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") == 96
    assert opened.locator("#map").screenshot() != map_before
    expect(opened.locator(".chart[data-measure=days] h3 span")).to_have_text("2023-02: 2.00 days")
    expect(slider).to_have_attribute("aria-valuetext", "2023-02, 2023-02-01 to 2023-02-28")
    opened.get_by_role("button", name="Period before").click()
    expect(label).to_have_text(re.compile("2023-01"))
    expect(opened.get_by_role("button", name="Period before")).to_be_disabled()
    opened.locator(".chart[data-measure=seconds] .bars > div").nth(2).click()
    expect(label).to_have_text(re.compile("2023-03"))
    opened.get_by_text("Clear days", exact=True).first.click()
    expect(shown).to_have_attribute("alt", "Map of clear days of 2023-03, 2023-03-01 to 2023-03-31")
    expect(opened.locator("#picture-legend")).to_be_visible()
    picture("report-clear-days")


def test_hover_shows_the_numbers_of_a_chunk_and_coordinates(opened: Page, picture: Callable[[str], Path]) -> None:
    opened.get_by_role("button", name="Period before").click()
    chunk, position = opened.locator("#chunk"), opened.locator("#position")
    point(opened, "#map", 0.05, 0.1)
    expect(chunk).to_have_text("2023-02_y0000_x0000: written\n2 scenes and 2.0 clear days, 1.5 s, 1 attempt")
    point(opened, "#map", 2.5 / 6, 1.5 / 4)
    expect(chunk).to_have_text(f"2023-02_y0001_x0002: failed\n4.0 s, 2 attempts\n{ERROR}")
    # The centre of the grid in EPSG:32633, 960 m east of its central meridian.
    point(opened, "#picture", 0.5, 0.5)
    expect(position).to_have_text(
        re.compile(r"^46\.77\d+° N  15\.012\d+° E\nx 5009[56]\d  y 51806[34]\d  \(EPSG:32633\)$")
    )
    expect(chunk).to_have_text(re.compile("^2023-02_y000[12]_x000[23]: "))
    expect(opened.locator("#outline")).to_be_visible()
    opened.get_by_role("button", name="Period after").click()
    point(opened, "#map", 5.5 / 6, 3.5 / 4)
    expect(chunk).to_have_text("2023-03_y0003_x0005: not built yet")
    picture("report-hover")


def test_the_map_is_operated_by_keyboard(opened: Page) -> None:
    chunk, chart = opened.get_by_role("status"), opened.get_by_role("application", name="Map of chunks")
    chart.focus()
    expect(chunk).to_have_text(re.compile("^2023-03_y0000_x0000: written"))
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        opened.keyboard.press(key)
    expect(chunk).to_have_text(re.compile("^2023-03_y0001_x0001: written"))
    for _ in range(9):
        opened.keyboard.press("ArrowDown")
    expect(chunk).to_have_text(re.compile("^2023-03_y0003_x0001: written"))
    before = chart.screenshot()
    opened.get_by_role("combobox", name="Chunks by").select_option("days")
    assert chart.screenshot() != before
    expect(opened.locator("#map-legend")).to_contain_text("3.0 clear days")


def test_pictures_have_the_proportions_of_the_ground(opened: Page) -> None:
    for selector in ("#picture", "#map"):
        box = opened.locator(selector).bounding_box()
        assert box is not None
        assert box["width"] / box["height"] == pytest.approx(96 / 64, rel=0.02)
    bar, shown = opened.locator("#bar").bounding_box(), opened.locator("#picture").bounding_box()
    assert bar is not None
    assert shown is not None
    expect(opened.locator("#bar-text")).to_have_text("500 m")
    assert bar["width"] / shown["width"] == pytest.approx(500 / (96 * 20), rel=0.02)


def test_the_page_fits_a_phone_in_light_and_dark(opened: Page, picture: Callable[[str], Path]) -> None:
    opened.set_viewport_size({"width": 360, "height": 740})
    for details in opened.locator("summary").all():
        details.click()
    assert opened.evaluate("document.documentElement.scrollWidth") == 360
    for selector in ("#picture", "#map", "#period"):
        box = opened.locator(selector).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
    point(opened, "#map", 0.5 / 6, 0.5 / 4)
    expect(opened.locator("#chunk")).to_have_text(re.compile("^2023-03_y0000_x0000: written"))
    opened.locator("#period").scroll_into_view_if_needed()
    brightness = []
    for scheme in ("light", "dark"):
        opened.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness.append(sum(int(number) for number in re.findall(r"\d+", paper)))
        picture(f"report-phone-{scheme}")
    assert brightness[0] > 600 > 200 > brightness[1]


def test_charts_of_many_periods_fit_a_phone(page: Page, long_report: Path, picture: Callable[[str], Path]) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(long_report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    bars = page.locator(".chart[data-measure=days] .bars > div > i")
    expect(bars).to_have_count(70)
    boxes = bars.evaluate_all("bars => bars.map(bar => bar.getBoundingClientRect().toJSON())")
    heights = [box["height"] for box in boxes]
    assert heights[-1] == pytest.approx(110, abs=2)
    assert heights == sorted(heights)  # each month has one clear day more than the month before
    assert min(box["width"] for box in boxes) > 2
    expect(page.get_by_role("slider", name="Period")).to_have_attribute("max", "59")
    expect(page.get_by_text("60 of 70 periods, evenly spread")).to_be_visible()
    bars.last.scroll_into_view_if_needed()
    picture("report-many-periods")
